/* SPDX-License-Identifier: GPL-2.0-only */
/* Steps of the dump that go over all tasks of the tree. Each returns 0 or -errno, logged. */
#ifndef CRIU_ENGINE_DUMP_TASKS_H
#define CRIU_ENGINE_DUMP_TASKS_H

struct cr;

/* Reads all that can be seen of the frozen tasks from outside: workers /proc, this thread what
 * ptrace(2) tells. */
int dump_collect(struct cr *cr);
/* What sets the clocks of the tree apart from ours, where it has a time namespace. After the ids.
 */
int dump_collect_clocks(struct cr *cr);
/* Writes core-N.img of every thread and zombie, and seccomp.img. */
int dump_write_cores(struct cr *cr);
/* Writes mm-N.img of every task. */
int dump_write_mms(struct cr *cr);
/* Writes pstree.img, ids-N.img and timens-0.img. */
int dump_write_tree(struct cr *cr);
/* --dry-run: says on standard output what would be dumped. */
int dump_print(struct cr *cr);

#endif
