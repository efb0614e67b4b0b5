// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu release: lets a tree run that criu restore --hold has left restored and stopped.
 */
#include "cli/commands.h"
#include "cr.h"
#include "engine/engine.h"

int cmd_release(struct cr *cr)
{
	return engine_release(cr);
}
