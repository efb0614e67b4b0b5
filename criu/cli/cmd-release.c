// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu release: lets a tree run that criu restore --hold has left restored and stopped.
 */
#include "cli/commands.h"
#include "cli/session.h"
#include "cr.h"
#include "engine/engine.h"

int cmd_release(struct cr *cr)
{
	int ret = session_open_log(cr);

	if (ret == 0)
		ret = engine_release(cr);
	session_close_log(cr);
	return ret;
}
