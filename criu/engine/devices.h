/* SPDX-License-Identifier: GPL-2.0-only */
/* Where plugins come in: steps of the plans (engine/dump.c, engine/restore.c). */
#ifndef CRIU_ENGINE_DEVICES_H
#define CRIU_ENGINE_DEVICES_H

#include <stdbool.h>

struct cr;

/* ---- dump ---- */

int devices_load(struct cr *cr);
/* The tree is listed and runs. */
int devices_probe(struct cr *cr);
/* Refuses what two plugins claim, while nothing has been touched. */
int devices_look(struct cr *cr);
int devices_pause(struct cr *cr);
/* Undo of devices_pause(): after the tree was let go. */
void devices_unpause(struct cr *cr);
/* Freezes the tree, with every task of it paused before. */
int devices_freeze(struct cr *cr);
int devices_pre_dump(struct cr *cr);
void devices_abort_dump(struct cr *cr);
/* Up to memory, up to files, up to mappings, all that is left. */
int devices_dump_first(struct cr *cr);
int devices_dump_before_files(struct cr *cr);
int devices_dump_before_mappings(struct cr *cr);
int devices_dump_rest(struct cr *cr);
int devices_post_dump(struct cr *cr);
int devices_dump_image(struct cr *cr);
/* The tree goes on, is stopped or killed: what became of it is in cr->dump. Always 0: a plugin that
 * fails here cannot undo that; what it returned is in cr->dump->resume_error. */
int devices_resume(struct cr *cr);

/* ---- restore ---- */

int devices_load_images(struct cr *cr);
/* Undo of it. */
void devices_unload(struct cr *cr);
int devices_begin(struct cr *cr);
/* Undo and done of it. */
void devices_fail(struct cr *cr);
void devices_conclude(struct cr *cr);
int devices_barrier_forked(struct cr *cr);
int devices_barrier_files(struct cr *cr);
/* The stage in which mappings that plugins own are made, and its barrier. */
int devices_mappings(struct cr *cr);
int devices_barrier_memory(struct cr *cr);
int devices_resume_late(struct cr *cr);

/* ---- both ---- */

/* The owners of all devices, for --dry-run. */
int devices_print(struct cr *cr);

#endif
