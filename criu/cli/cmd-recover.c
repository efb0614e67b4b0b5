// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu recover: where both criu and its guardian were killed, takes back what they had begun, from
 * the journals that they left on disk.
 */
#include "cli/commands.h"
#include "cli/session.h"
#include "cr.h"
#include "engine/engine.h"

int cmd_recover(struct cr *cr)
{
	int ret = session_open_log(cr);

	if (ret == 0)
		ret = engine_recover(cr);
	session_close_log(cr);
	return ret;
}
