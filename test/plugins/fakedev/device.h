/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device behind the file system: handles, buffers, quiet processes (device.c), the ioctls
 * (operations.c), events and faults (events.c, commands.c). Nothing here knows FUSE but server.c.
 * All that is below struct device is looked at with its lock held.
 */
#ifndef FAKEDEV_DEVICE_H
#define FAKEDEV_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fakedev.h"

enum { NODES_OF_CLASS = 3, MAX_C_NODES = 10000 };

struct node {
	char class_of; /* 'a', 'b', 'c' */
	unsigned int number;
	char name[16];
	uint64_t ino;
};

/* Shared by the handle that made it and those that imported it. */
struct buffer {
	struct buffer *next;
	unsigned int refs;
	uint32_t exported;
	uint64_t ino; /* of the node whose file it is a part of */
	uint64_t size, offset;
	uint64_t words[FAKEDEV_WORDS];
	uint64_t stamp; /* what the device wrote last to its start and end */
	unsigned char *data;
};

struct handle {
	struct handle *next;
	uint32_t id;
	struct node node;
	pid_t opener;
	uint64_t opener_start; /* in clock ticks since boot: tells a pid that was given again */
	bool is_running, is_halted, is_used;
	uint32_t owner; /* who is to resume it */
	uint64_t counter;
	uint64_t registers[FAKEDEV_REGISTERS];
	struct buffer *buffer, *imported;
};

struct quiet {
	struct quiet *next;
	pid_t pid;
	uint64_t start;
	uint32_t owner;
	uint32_t state; /* FAKEDEV_LOCKED, FAKEDEV_PAUSED */
};

/* Who asks. */
struct caller {
	pid_t tid, pid;
};

struct fault {
	struct fault *next;
	char op[16], node[16];
	unsigned int after, times; /* how many to let pass, how many to strike; times 0: all */
	int error, delay_ms, signal;
	bool is_hang, is_hard;
};

/* What faults have in store for one operation. */
struct verdict {
	int error, delay_ms, signal;
	bool is_hang, is_hard;
};

struct device {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_ticking; /* the device writes, without the lock */
	struct handle *handles;
	struct buffer *buffers;
	struct quiet *quiet;
	struct fault *faults;
	uint32_t last_handle, last_export;
	uint64_t last_offset;
	/* Settings, by commands. */
	bool is_strict;
	unsigned int tick_ms;
	/* Events. */
	char *log;
	size_t log_size, log_room;
	unsigned long n_events, n_wrong;
	/* Makes bytes that the device wrote seen by those who map them; set by the server. */
	void (*store)(void *context, uint64_t ino, uint64_t offset, const void *data, size_t size);
	void *context;
};

/* ---- device.c ---- */

bool node_by_name(const char *name, struct node *ret_node);
bool node_by_ino(uint64_t ino, struct node *ret_node);

struct handle *handle_open(struct device *device, const struct node *node, pid_t opener);
void handle_close(struct device *device, struct handle *handle);
struct buffer *buffer_new(struct device *device, uint64_t ino, uint64_t size);
void buffer_put(struct device *device, struct buffer *buffer);
struct buffer *buffer_by_export(struct device *device, uint32_t number);
/* The buffer that has this byte of a node; NULL in a gap. */
struct buffer *buffer_at(struct device *device, uint64_t ino, uint64_t offset);
/* Contents of a node as the device has them: gaps are zeros, and cannot be written. */
void node_read(struct device *device, uint64_t ino, uint64_t offset, void *data, size_t size);
void node_write(struct device *device, uint64_t ino, uint64_t offset, const void *data,
		size_t size);

/* Makes the entry if create; NULL if there is none, or no such process. */
struct quiet *quiet_of(struct device *device, const struct fakedev_process *process, bool create);
uint32_t handle_state(struct device *device, const struct handle *handle);

/* A numeric field of /proc/TID/status, -1 if it cannot be had. */
long status_field(pid_t tid, const char *name);
uint64_t process_start(pid_t pid);

/* One step of all that runs. Takes the lock. */
void device_tick(struct device *device);
/* Returns when what the device was writing can be seen by all. */
void device_settle(struct device *device);

/* ---- operations.c ---- */

struct request {
	unsigned int cmd;
	const struct caller *caller;
	struct handle *handle;   /* NULL on control */
	unsigned char data[128]; /* the structure, in and out */
	size_t size;
};

/* The name of the operation for log and faults, NULL if there is no such. */
const char *operation_name(unsigned int cmd);
/* Takes the lock; 0 or -errno, logged. */
int operation_run(struct device *device, struct request *request);

/* ---- events.c ---- */

struct event {
	const char *op, *node;
	const struct caller *caller;
	uint32_t handle, opener, state;
	const struct fakedev_process *about;
	int result;
	const char *wrong; /* what rule was broken, NULL if none */
	const char *fault;
};

void event_log(struct device *device, const struct event *event);
/* Text of the file "state"; the caller's. */
char *state_text(struct device *device);

/* ---- commands.c ---- */

/* 0 or -EINVAL. */
int command_run(struct device *device, const char *text);
/* What becomes of this operation; counts it. */
struct verdict faults_apply(struct device *device, const char *op, const char *node);

#endif
