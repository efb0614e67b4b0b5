/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct cr: one run of the tool. Nothing else holds state: each module hangs its own opaque struct
 * here and defines it in its .c. A member is NULL until the step that makes it has run.
 */
#ifndef CRIU_CR_H
#define CRIU_CR_H

struct cr {
	const struct options *opts; /* options.h: what was asked for */
	struct log *log;            /* util/log.h */
	struct report *report;      /* util/report.h: first cause, timings; in shared memory */
	struct features *features;  /* kernel/features.h: what this kernel can do */
	struct pool *pool;          /* util/pool.h: workers */
	struct image_dir *images;   /* images/lib/image.h: the image directory (-D) */
	int work_dir;               /* fd of the work directory (-W) */
	struct run *run;            /* run.h, engine/plan.h: the plan being run */
	struct guardian *guardian;  /* engine/guardian.h, run.h: undo journal */
	struct stats *stats;        /* util/stats.h */
	struct tree *tree;          /* task/task.h: the process tree */
	struct dump *dump;          /* task/dump.h: what is known while it is being dumped */
	struct files *files;        /* files/files.h: open file descriptions */
	struct mem *mem;            /* mem/mem.h */
	struct ns *ns;              /* ns/ns.h */
	struct plugins *plugins;    /* plugin/plugin.h */
	struct hold *hold;          /* engine/hold.h: the tree is to be held; its holder's */
	struct restore *restore;    /* task/restore.h: what is known while it is being restored */
};

#endif
