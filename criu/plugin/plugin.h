/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plugins as the tool sees them: which are loaded, what they own, in which order it is handled, and
 * the phases of a dump and the stages of a restore in which they are called. What plugins see is
 * plugins/include/criu/criu-plugin.h; the promises are in Documentation/PLUGIN-CONTRACT.md, whose
 * numbers (G1 to G20) are named where they are kept.
 *
 * All functions cope with a cr that has loaded nothing: then nobody claims anything.
 */
#ifndef CRIU_PLUGIN_PLUGIN_H
#define CRIU_PLUGIN_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "criu/criu-plugin.h"

struct cr;
struct plugin;
struct plugin_class;

/* The core's own work, as nodes of the order. */
enum anchor {
	ANCHOR_NAMESPACES,
	ANCHOR_FILES,
	ANCHOR_SOCKETS,
	ANCHOR_MAPPINGS,
	ANCHOR_MEMORY,
	ANCHORS
};

/* ---- load ---- */

/*
 * A round of copying memory before a dump, beside the operations of the public header: no device is
 * dumped in it, so that plugins of the contract take no part. Those of v0.2 hear of it by init()
 * and exit(), as their stage PRE_DUMP.
 */
#define PLUGINS_PRE_DUMP ((enum criu_operation)(1 << 2))

/*
 * Which plugins are to be loaded: all; or, where nothing names any, all but those that say in a
 * note that they are absent here (CRIU_PLUGIN_ABSENT_WITHOUT), unless options are given.
 */
enum plugins_wanted { PLUGINS_ALL, PLUGINS_PRESENT };

/*
 * Loads the plugins of the directory (--libdir, CRIU_LIBS_DIR, the standard one) into cr->plugins,
 * reads their options, settles the order. operation is one of the above. 0 or -errno,
 * logged: a directory that was named and is not there, names twice, a cycle of rules, an option
 * that is not one (G1, G3).
 */
int plugins_load(struct cr *cr, enum criu_operation operation, enum plugins_wanted wanted);
/*
 * Settles the order of all plugins that are neither absent nor idle (G3): once it is known who
 * takes part. -ELOOP, -ENOENT, -EEXIST, logged.
 */
int plugins_settle(struct cr *cr);
/* As plugins_load() for a single file, which must be a good plugin. */
int plugins_load_file(struct cr *cr, enum criu_operation operation, const char *path);
/* exit() of those that are active, then unloads all. */
void plugins_free(struct cr *cr);

/* Is any plugin loaded, of whichever interface? */
bool plugins_are_loaded(const struct cr *cr);
/* Is any contract plugin loaded that is neither absent nor idle? */
bool plugins_are_active(const struct cr *cr);
/* Does any plugin take part, of whichever interface: is one loaded that is neither absent nor idle?
 */
bool plugins_take_part(const struct cr *cr);
/* The contract plugin of that name if it is active, else NULL. */
struct plugin *plugins_find(const struct cr *cr, const char *name);
const char *plugin_name(const struct plugin *plugin);
const char *plugin_version(const struct plugin *plugin);

/* What the calls of each hook took so far; with the hook "images", what the plugin put there. */
struct plugin_statistic {
	const char *plugin, *hook;
	uint64_t calls, microseconds, bytes;
};
/* NULL: none. The caller's. */
struct plugin_statistic *plugins_statistics(const struct cr *cr, size_t *ret_n);

/* ---- the tree ---- */

/*
 * A live task, told in tree order (again where the tree was read again: known pids stay what they
 * were, plugins_end_tasks() drops those not told again from the list). parent_pid is 0 for the
 * root.
 */
void plugins_begin_tasks(struct cr *cr);
void plugins_add_task(struct cr *cr, pid_t pid, pid_t host_pid, pid_t parent_pid);
void plugins_end_tasks(struct cr *cr);
/* Restore: the task has a process now. */
void plugins_set_host_pid(struct cr *cr, pid_t pid, pid_t host_pid);

/* Asks probe(), and checks needs of those that are there. Once, before anything is touched (G1). */
int plugins_probe(struct cr *cr);

/* ---- owners ---- */

/*
 * The class that claims the candidate into *ret, NULL if none does. -EEXIST, logged, if two do and
 * none overrides the other (G2). With an empty set of plugins this costs a comparison.
 */
int plugins_claim(struct cr *cr, const struct criu_candidate *candidate, struct plugin_class **ret);
/* Is there anything that two classes may both claim? And may they what has this path, or text of
 * its link? Where the answer is no, they cannot. */
bool plugins_may_dispute(struct cr *cr);
bool plugins_may_dispute_path(struct cr *cr, const char *path);
/* The class of that name of an active plugin, or NULL. */
struct plugin_class *plugins_find_class(const struct cr *cr, const char *name);
const char *plugin_class_name(const struct plugin_class *class);
struct plugin *plugin_class_owner(const struct plugin_class *class);
/* Its place in the settled order, from 1. */
unsigned int plugin_class_position(const struct plugin_class *class);
/* Where the anchor is in that order. */
unsigned int plugins_anchor_position(const struct cr *cr, enum anchor anchor);
/* Must all files of before, of all tasks, be there before the first of after? */
bool plugin_class_is_tree_before(const struct cr *cr, const struct plugin_class *before,
				 const struct plugin_class *after);

/* What is known of an open file or mapping when it gets its owner; texts are copied. */
struct device_facts {
	uint32_t id; /* of the file, in the images */
	pid_t pid;   /* as in the images, of the task on whose behalf it is handled */
	int fd;
	const char *path;
	uint32_t flags;
	uint64_t pos;
	uint64_t dev, ino, rdev;
	mode_t mode;
};

struct device_mapping_facts {
	pid_t pid;
	uint64_t start, length, offset;
	int prot;
	bool is_shared;
	const char *path;
	uint64_t dev, ino, rdev;
	mode_t mode;
};

struct device_file;
struct device_mapping;

struct device_file *plugins_add_file(struct cr *cr, struct plugin_class *class,
				     const struct device_facts *facts);
/* In tree order, ascending numbers. */
void device_file_add_holder(struct cr *cr, struct device_file *file, pid_t pid, int fd,
			    bool is_cloexec);
struct device_mapping *plugins_add_mapping(struct cr *cr, struct plugin_class *class,
					   const struct device_mapping_facts *facts);
/* When all are added: the manifests, which change no more (G6). */
void plugins_settle_manifest(struct cr *cr);
struct plugin_class *device_file_class(const struct device_file *file);
/* Among all files of plugins, in the settled order, from 1; once the manifest is settled. */
uint32_t device_file_flags(const struct device_file *file);
unsigned int device_file_position(const struct device_file *file);
struct plugin_class *device_mapping_class(const struct device_mapping *mapping);
/* The file or mapping with that id, or at that address of that task; NULL: none is a plugin's. */
struct device_file *plugins_find_file(const struct cr *cr, uint32_t id);
struct device_mapping *plugins_find_mapping(const struct cr *cr, pid_t pid, uint64_t start);
/*
 * Restore: the file of images that do not say whose it is, or the mapping; NULL: nobody takes it,
 * or *err.
 */
struct device_file *plugins_adopt_file(struct cr *cr, uint32_t id, int *err);
struct device_mapping *plugins_adopt_mapping(struct cr *cr,
					     const struct device_mapping_facts *facts, int *err);
/* Is there a mapping of that path that a plugin owns? It says what is mapped, on restore. */
bool plugins_map_path(const struct cr *cr, const char *path);

/* ---- dump ---- */

enum plugin_phase { PHASE_PAUSE, PHASE_PRE_DUMP };

/*
 * Calls the opening hooks of the phase for all tasks in tree order that it was not called for yet,
 * and stops at the first failure. plugins_close() calls, in reverse order, the closing hooks for
 * all for which the opening ones succeeded (G8), tells them the outcome, goes on past failures and
 * returns the first.
 */
int plugins_open(struct cr *cr, enum plugin_phase phase);
int plugins_close(struct cr *cr, enum plugin_phase phase, const struct criu_outcome *outcome);
/*
 * Undoes, as after a crash, what plugins have recorded and what their closing hooks failed to undo:
 * for a dump that is past the point where its failure would do so.
 */
void plugins_undo_records(struct cr *cr);
/* Was pause.task() called for this task? */
bool plugins_is_paused(const struct cr *cr, pid_t pid);

/* How the tool gives a plugin a duplicate of an open file: a descriptor or -errno, logged. */
typedef int (*device_borrow)(struct cr *cr, uint32_t id);
void plugins_set_borrow(struct cr *cr, device_borrow borrow);

/* Calls dump_file() and dump_mapping() of all classes that come before the anchor and were not
 * dumped yet; ANCHORS: of all that are left. */
int plugins_dump_until(struct cr *cr, enum anchor anchor);

/* Writes what restore needs to know: owners, order, data of the plugins (plugins). */
int plugins_dump_image(struct cr *cr);
/* Names for the inventory: plugins without which the images cannot be restored. Ends with NULL; the
 * caller frees the array. */
const char **plugins_needed(const struct cr *cr, size_t *ret_n);

/* ---- restore ---- */

/*
 * Reads plugins and checks that every plugin it names, and every name of the inventory's, is
 * here, compatible and not absent (G14). Before the files of the tree are loaded.
 */
int plugins_load_image(struct cr *cr, const char *const *inventory, size_t n_inventory);
/* restore_begin() of all; plugins_end() calls restore_end() of those for which it succeeded, once
 * (G20). */
int plugins_begin(struct cr *cr);
void plugins_end(struct cr *cr, const struct criu_outcome *outcome);
/* In the coordinator: every task has finished the stage (G15). */
int plugins_barrier(struct cr *cr, enum criu_stage stage);
/* In the task's process. */
int plugins_task_stage(struct cr *cr, pid_t pid, enum criu_stage stage);
/* What a file waits for: a key of its plugin, or a class. */
struct plugin_wait {
	char what[160];
	bool is_class;
};
#define PLUGIN_WAITS 1
/* In the process of the owner. 0 and *ret_fd; PLUGIN_WAITS and *ret_wait, then it is to be called
 * again; or -errno. */
int plugins_restore_file(struct cr *cr, struct device_file *file, int *ret_fd,
			 struct plugin_wait *ret_wait);
/* In the task's process: *offset as saved on entry; *ret_fd -1: open the path. */
int plugins_update_mapping(struct cr *cr, struct device_mapping *mapping, uint64_t *offset,
			   int *ret_fd);
int plugins_resume_late(struct cr *cr);

/* How many files of the core's own the task with that pid makes. */
typedef uint32_t (*plugin_count_files)(struct cr *cr, pid_t pid);
/* In the coordinator, when files and tasks are known: memory in which all processes meet. */
int plugins_meet(struct cr *cr, int first_free_fd, plugin_count_files count);
/* Just before the first fork. */
int plugins_prepare_fork(struct cr *cr);
/* In the process of the task: from now on calls are those of a task. 0: a helper's process, which
 * takes no part. */
void plugins_enter_task(struct cr *cr, pid_t pid);
/* In each process, once all have ended stage MAPPINGS: nothing is exchanged any more. */
void plugins_leave_meeting(struct cr *cr);

/*
 * Waits until every file of classes that come before this one in the whole tree is made; NULL: the
 * core's own files. 0 or -errno: logged, but for -ECANCELED.
 */
int plugins_wait_turn(struct cr *cr, const struct plugin_class *class);
void plugins_file_made(struct cr *cr, const struct plugin_class *class);
/* Does any rule put the files of one before those of the other? NULL: the core's own. */
bool plugins_is_before(const struct cr *cr, const struct plugin_class *before,
		       const struct plugin_class *after);
/* For files that wait: see share_generation(). An empty wait is over whenever something changed. */
uint32_t plugins_generation(const struct cr *cr);
bool plugins_wait_is_over(struct cr *cr, const struct plugin_class *class,
			  const struct plugin_wait *wait);
int plugins_sleep(struct cr *cr, uint32_t generation, const char *text);
struct futex;
/*
 * A wait of the core's own, so that waiting in circles is noticed: on is the task that it depends
 * on, 0 for any. As futex_wait(), or -ECANCELED, or -EDEADLK, logged.
 */
int plugins_wait_word(struct cr *cr, struct futex *word, uint32_t expected, pid_t on,
		      const char *text, int timeout_ms);
/* In the coordinator: the restore has failed, nobody waits any more. */
void plugins_give_up(struct cr *cr);

/*
 * In the coordinator: is a hook in some task's process past its deadline? Then -ETIMEDOUT, logged.
 */
int plugins_check_deadlines(struct cr *cr);
/* In the coordinator: the process of that task has died: says so if it was calling a plugin, and
 * lets nobody wait for it. 0, or -EFAULT, logged. */
int plugins_task_died(struct cr *cr, pid_t pid);

/* ---- what users see ---- */

/* `criu plugin list`, `explain`: to out. */
void plugins_print_list(struct cr *cr, FILE *out);
void plugins_print_order(struct cr *cr, FILE *out);
/* The device part of --dry-run: which file of which task, class, owner, position, why (G4). */
void plugins_print_devices(struct cr *cr, FILE *out);

#endif
