// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu dump: checkpoints the tree of -t into -D. The exit status is that of a post-dump script that
 * failed, else 0 or 1.
 */
#include "cli/commands.h"
#include "cli/session.h"
#include "cr.h"
#include "engine/engine.h"
#include "engine/stats.h"
#include "options.h"

int cmd_dump(struct cr *cr)
{
	struct session session;
	int ret = session_open(cr, &session, true);

	if (ret == 0)
		ret = engine_dump(cr);
	if (ret == 0 && cr->opts->display_stats)
		stats_display(cr, STATS_OF_DUMP);
	return session_close(cr, &session, "dump", ret);
}
