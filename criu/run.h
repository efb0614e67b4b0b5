/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What code of any layer may ask of the run it works for, and tell it: was it cancelled, is this
 * point to fail, how far has the work come, and what has to be taken back should the tool die here
 * and now. It stands beside cr.h, above no layer, because the lower ones need it; engine/
 * implements it. Everything here copes with a cr that has no run and no guardian (unit tests,
 * --dry-run): then nothing is cancelled, nothing fails, nothing is kept.
 */
#ifndef CRIU_RUN_H
#define CRIU_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cr;
struct rlimit;
struct stat;

/*
 * Cancellation: SIGINT, SIGTERM and SIGHUP set a flag that all processes and threads of the run
 * share. While a run is being undone, or past the step from which it can only succeed, nothing is
 * cancelled any more.
 */

/* True once a signal asked this run to stop; long loops look at it (one load) and return
 * -ECANCELED, unlogged. */
bool plan_is_cancelled(const struct cr *cr);
/* The same for a wait of the tool with signals blocked, where it costs a system call. Processes
 * that it has forked know of the signal then as well. */
bool plan_is_cancelled_blocked(const struct cr *cr);

/* The limits that the tool was started with: getrlimit(2) but for those that a run changes. */
int plan_own_limit(const struct cr *cr, int resource, struct rlimit *ret);

/*
 * Waits until fd has one of events (POLLIN …), for timeout_ms at most (-1: for ever); shows
 * progress meanwhile. Returns 1 when it has (or hung up), 0 after the timeout, -ECANCELED when the
 * run was cancelled, or -errno.
 */
int plan_wait_fd(struct cr *cr, int fd, short events, int timeout_ms);

/* Becomes readable with cancellation, for callers with a poll(2) of their own; -1 outside a run.
 * Never read from it. */
int plan_cancel_fd(const struct cr *cr);

/* In a forked child, before it executes a foreign program: default dispositions, nothing blocked.
 */
void plan_reset_signals(void);

/*
 * Fault injection: a point that CRIU_FAIL_STEP can name. The plan lists the names of its points
 * (struct plan, points). Returns 0, or, where this point is to fail, a logged -errno; not at all
 * where the tool is to be killed.
 */
int fault_hit(struct cr *cr, const char *name);
/* The same for a process that outlives the tool: it goes on when the tool is killed. */
int fault_hit_outliving(struct cr *cr, const char *name);

/* Progress of the step that runs, in units of the caller's choice (bytes of memory mostly). Any
 * thread or process. */
void progress_set_total(struct cr *cr, uint64_t total);
void progress_add(struct cr *cr, uint64_t amount);

/*
 * Undo records. Add the record *before* doing what it takes back. Should the tool be killed, its
 * guardian takes back in reverse order what is recorded and not forgotten; should the run fail, the
 * tool does so itself once all steps were undone; should the guardian be killed as well, `criu
 * recover` does it from disk. A record is on disk when the call returns. All return an id > 0 (0:
 * there is no guardian) or -errno, logged. Any thread of the tool may call them.
 */

/* Unlink dirfd/name, be it a file or an empty directory. */
int undo_add_remove(struct cr *cr, int dirfd, const char *name);
/* Unlink dirfd/name if by then it is a link to this file. */
int undo_add_remove_link(struct cr *cr, int dirfd, const char *name, const struct stat *st);
/*
 * An image directory that is being written: as long as it has no inventory.img, remove those of its
 * images that came to be after this call.
 */
int undo_add_images(struct cr *cr, int dirfd);
/* Write text into the existing file dirfd/name: thaw a cgroup, put a sysctl back. */
int undo_add_write(struct cr *cr, int dirfd, const char *name, const char *text);
/* Send sig to the process pid, unless that is gone (start times are compared): SIGKILL a helper,
 * SIGCONT what we stopped. */
int undo_add_signal(struct cr *cr, pid_t pid, int sig);
/* Kill the process pid and all its descendants: a tree that is being restored. */
int undo_add_kill_tree(struct cr *cr, pid_t pid);
/* Detach what is mounted at path (absolute, in the tool's mount namespace) by then, unless it was
 * mounted before the call. */
int undo_add_umount(struct cr *cr, const char *path);
/* Any kind of engine/undo.c, by name, with its fields. */
int undo_add(struct cr *cr, const char *kind, const char *const *fields, size_t n_fields);

/* What the record takes back was taken back, or is to stay. */
void undo_forget(struct cr *cr, int id);

/* Takes it back now, while the run goes on; what fails is logged and stays on record. */
void undo_now(struct cr *cr, int id);

#endif
