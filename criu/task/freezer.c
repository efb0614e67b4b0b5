// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control group of --freeze-cgroup: its freezer holds all tasks at once, so that none can fork
 * away while they are being seized. A frozen task does not come to its ptrace stop under the
 * freezer of cgroup v1, and runs no code of ours under either, so the group is let go again as soon
 * as every task was told to stop. It ends as it was found: frozen, if it was.
 */
#include "task/dump-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "cr.h"
#include "options.h"
#include "run.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"
#include "util/time.h"

struct freezer_version {
	const char *file; /* that is written */
	const char *frozen, *thawed;
	const char *state;   /* that tells whether it is frozen by now */
	const char *settled; /* a line of it then */
};

static const struct freezer_version versions[] = {
	{"cgroup.freeze", "1", "0", "cgroup.events", "frozen 1"},
	{"freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN"},
};

struct freezer {
	const struct freezer_version *version;
	int dir;
	bool was_frozen;
	int undo;
};

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (strncmp(at, line, length) == 0 && (at[length] == '\n' || !at[length]))
			return true;
	return false;
}

static int is_frozen(const struct freezer *freezer)
{
	char text[256];
	ssize_t n = fd_read_file_into(freezer->dir, freezer->version->state, text, sizeof(text));

	return n < 0 ? (int)n : has_line(text, freezer->version->settled);
}

static int wait_frozen(struct cr *cr, const struct freezer *freezer, uint64_t deadline)
{
	struct timespec pause = {.tv_nsec = 50000};
	const char *path = cr->opts->freeze_cgroup;
	int frozen;

	for (;;) {
		frozen = is_frozen(freezer);
		if (frozen > 0)
			return 0;
		if (frozen < 0)
			return log_err(cr, frozen, "%s: read %s", path, freezer->version->state);
		if (plan_is_cancelled(cr))
			return -ECANCELED;
		if (deadline && time_now_us() > deadline)
			return log_refuse(cr, -ETIMEDOUT, "%s: did not freeze within %u s", path,
					  cr->opts->timeout);
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 5000000)
			pause.tv_nsec *= 2;
	}
}

static const struct freezer_version *find_version(int dir)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (faccessat(dir, versions[i].file, W_OK, 0) == 0)
			return &versions[i];
	return NULL;
}

/* Is the task in that group, or in one below, which is frozen with it? */
static bool has_task(const char *path, pid_t pid)
{
	char *roots[] = {(char *)path, NULL}, line[16];
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	bool is_there = false;
	FTSENT *e;

	snprintf(line, sizeof(line), "%d", pid);
	while (fts && !is_there && (e = fts_read(fts))) {
		_cleanup_free_ char *text = NULL;

		if (strcmp(e->fts_name, "cgroup.procs") == 0 &&
		    fd_read_file(AT_FDCWD, e->fts_accpath, &text, NULL) >= 0)
			is_there = has_line(text, line);
	}
	if (fts)
		fts_close(fts);
	return is_there;
}

int freezer_freeze(struct cr *cr, uint64_t deadline, struct freezer **ret_freezer)
{
	const char *path = cr->opts->freeze_cgroup;
	struct freezer *freezer;
	char text[64];
	ssize_t n;
	int err;

	*ret_freezer = NULL;
	if (!path)
		return 0;
	freezer = xcalloc(1, sizeof(*freezer));
	freezer->dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (freezer->dir < 0) {
		err = log_err(cr, -errno, "%s: open the control group", path);
		goto failed;
	}
	freezer->version = find_version(freezer->dir);
	if (!freezer->version) {
		err = log_refuse(cr, -EINVAL, "%s: has neither cgroup.freeze nor freezer.state",
				 path);
		goto failed;
	}
	if (!has_task(path, cr->opts->tree))
		log_warn(cr, "--freeze-cgroup %s: has no effect on process %d, which is not in it",
			 path, cr->opts->tree);
	n = fd_read_file_into(freezer->dir, freezer->version->file, text, sizeof(text));
	if (n < 0) {
		err = log_err(cr, (int)n, "%s: read %s", path, freezer->version->file);
		goto failed;
	}
	/* FREEZING counts as frozen: somebody wants it so. */
	freezer->was_frozen = !str_starts_with(text, freezer->version->thawed);
	err = freezer->undo = undo_add_write(cr, freezer->dir, freezer->version->file,
					     freezer->was_frozen ? freezer->version->frozen
								 : freezer->version->thawed);
	if (err < 0)
		goto failed;
	*ret_freezer = freezer;

	err = fd_write_file(freezer->dir, freezer->version->file, freezer->version->frozen);
	if (err < 0)
		return log_err(cr, err, "%s: freeze", path);
	return wait_frozen(cr, freezer, deadline);

failed:
	close_at(&freezer->dir);
	free(freezer);
	return err;
}

int freezer_thaw(struct cr *cr, struct freezer *freezer)
{
	int err;

	if (!freezer)
		return 0;
	err = fd_write_file(freezer->dir, freezer->version->file, freezer->version->thawed);
	if (err < 0)
		return log_err(cr, err, "%s: thaw", cr->opts->freeze_cgroup);
	return 0;
}

void freezer_release(struct cr *cr, struct freezer *freezer)
{
	int err;

	if (!freezer)
		return;
	err = fd_write_file(freezer->dir, freezer->version->file,
			    freezer->was_frozen ? freezer->version->frozen
						: freezer->version->thawed);
	if (err < 0)
		log_warn(cr, "%s: could not be put back into its state: %s",
			 cr->opts->freeze_cgroup, strerror(-err));
	else
		undo_forget(cr, freezer->undo);
	close_at(&freezer->dir);
	free(freezer);
}
