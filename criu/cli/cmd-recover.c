// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu recover: where both criu and its guardian were killed, takes back what they had begun, from
 * the journals that they left on disk.
 */
#include "cli/commands.h"
#include "cr.h"
#include "engine/engine.h"

int cmd_recover(struct cr *cr)
{
	return engine_recover(cr);
}
