/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The recording plugin: it writes a line for each call it gets and each return (record.c), does
 * what a plugin of the fake device has to do (dump.c, restore.c), and fails where its option says
 * so (inject.c). plugin.c declares it, in variants.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include "criu/criu-plugin.h"
#include "fakedev.h"

/* Between plugins and the host there is one lookup of names: ours stay ours, CRIU_PLUGIN is the
 * only one that is exported (-fvisibility=hidden). */

/* The plugin's own, in call->context. */
struct recorder {
	unsigned int n_calls;
	pid_t tool; /* where it was made: the tool itself */
	char log[1024], device[1024];
};

/* One call of a hook, from its beginning to its end. */
struct entry {
	struct criu_call *call;
	const char *hook; /* "pause.task", "barrier.files": as options and log name it */
	const struct criu_task *task;
	const struct criu_file *file;
	const struct criu_mapping *mapping;
	char about[512]; /* task, file and so on, as text */
};

/* What a task's context says on dump. */
enum { IS_LOCKED = 1, IS_PAUSED = 2 };

/* What is saved of an open file, under "file.ID"; the buffer is in an image of its own. */
struct saved {
	struct fakedev_state state;
	uint64_t registers[FAKEDEV_REGISTERS];
	uint64_t words[FAKEDEV_WORDS];
	char node[16];
};

/* What recover() gets. */
struct record {
	uint32_t undo; /* IS_LOCKED or IS_PAUSED */
	uint32_t owner;
	pid_t pid;
	uint64_t start;
	char log[1024], device[1024];
};

/* ---- record.c ---- */

/* Made at the first call; NULL if there is no memory. */
struct recorder *recorder_of(struct criu_call *call);
void recorder_free(struct criu_call *call);
/* Writes the first line; then does what the option "fail" asks for: 0 if the hook is to go on. */
int enter(struct entry *entry);
/* Writes the second line; gives back the result. */
int leave(const struct entry *entry, int result);
void record_line(const char *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- inject.c ---- */

int inject(const struct entry *entry, const struct recorder *recorder);
/* Of the task in tree order, from 0; -1 if it is not there. */
int index_of(const struct criu_call *call, const struct criu_task *task);

/* ---- work.c ---- */

/* The number by which the device knows this plugin. */
uint32_t owner_of_plugin(const struct criu_call *call);
int device_process(struct criu_call *call, unsigned long what, pid_t pid);
uint64_t start_of(pid_t pid);
int undo_record(const struct record *record);
const char *node_of(const char *path);
/* Keys and names. */
const char *file_key(const struct criu_file *file, char key[64]);
const char *image_name(const struct criu_call *call, const struct criu_file *file, char name[64]);

/* ---- dump.c, restore.c: the hooks ---- */

#define DECLARE_PHASE(name_)                                                         \
	int recorder_##name_##_begin(struct criu_call *call);                        \
	int recorder_##name_##_task(struct criu_call *call, struct criu_task *task); \
	int recorder_##name_##_end(struct criu_call *call);
DECLARE_PHASE(pause)
DECLARE_PHASE(pre_dump)
DECLARE_PHASE(post_dump)
DECLARE_PHASE(resume)
int recorder_dump_file(struct criu_call *call, struct criu_file *file, int fd);
int recorder_dump_mapping(struct criu_call *call, struct criu_mapping *mapping);
int recorder_recover(struct criu_call *call, const void *record, size_t size);

int recorder_restore_begin(struct criu_call *call);
int recorder_barrier(struct criu_call *call, enum criu_stage stage);
int recorder_task_stage(struct criu_call *call, struct criu_task *task, enum criu_stage stage);
int recorder_restore_file(struct criu_call *call, struct criu_file *file, int *fd);
int recorder_update_mapping(struct criu_call *call, struct criu_mapping *mapping, uint64_t *offset,
			    int *fd);
int recorder_resume_late(struct criu_call *call, struct criu_task *task);
int recorder_restore_end(struct criu_call *call);

#endif
