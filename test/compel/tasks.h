/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads of a process under test: found, stopped, let go; and a victim to do it to. */
#ifndef TEST_COMPEL_TASKS_H
#define TEST_COMPEL_TASKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "test/compel/victim.h"

struct threads {
	pid_t tids[VICTIM_THREADS_MAX];
	unsigned int count; /* the leader is the first */
};

/* Stops all threads; prints and exits the program if that cannot be. */
void threads_stop(pid_t pid, struct threads *threads);
void threads_detach(const struct threads *threads, int signal);

struct victim {
	pid_t pid;
	struct victim_report *report;
	unsigned int nr_threads;
	char *maps, *fds; /* how they are when all is well */
	unsigned int nr_sent;
	bool is_kept_stopped;
};

/* Starts a victim with these kinds of threads and waits until all have begun. The last of kinds is
 * NULL. */
void victim_start(struct victim *v, const char *program, const char *const *kinds);
void victim_stop(struct victim *v);

/*
 * Is it as if nothing had ever been done to it: no complaint, mappings and descriptors as before,
 * nobody tracing, signals not blocked, and every thread gets on with its work? Waits for a while
 * for that to be. Prints what is wrong.
 */
bool victim_is_well(struct victim *v);

/* Stops it with SIGSTOP and lets it go again, if it is_kept_stopped. */
void victim_pause(struct victim *v);
void victim_continue(struct victim *v);

/* Waits until the process is in this state, as the letter in /proc/pid/stat. */
void wait_state(pid_t pid, char wanted);

/* Queues the next SIGRTMIN. */
void victim_signal(struct victim *v);

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
