/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A session: one process, some of whose threads are stopped, being made to run code that is not its
 *own. For example:
 *
 *	compel_seize(pid, 0), compel_interrupt(pid), compel_wait_stop(pid, -1, NULL)     ... for
 *each thread compel_session_new(pid, &options, &s) compel_syscall(s, pid, __NR_getpid, args, &ret)
 *a system call, nothing mapped compel_blob_load(s, &blob_x, NULL) a blob ... compel_call(s, tid,
 *BLOB_X_measure, arg, &ret)                                    ... a function of it, in any thread
 *	compel_rpc(s, &rpc)                                                               ... its
 *command loop, in the main thread compel_session_free(s) everything as it was compel_detach(pid, 0)
 *... for each thread
 *
 * The caller keeps every thread of the process stopped (seized by the calling thread) for as long
 *as a session exists, or accepts that threads that run may see the mapping and the descriptor, and
 *may inherit them to children.
 *
 * If the process using this library is killed, at any instant, the kernel lets the threads go with
 *the registers they have then. Registers are therefore only ever set to what ends, by itself, in
 *the state the thread was found in: signal frames with the original registers are laid out before,
 *and the blob leaves through them as soon as its socket has no other end. What remains then is only
 *bytes in memory that is dead to the program (never touched pages of its stack, or below the stack
 *pointer), and a system call that was being slept in begins anew with its full timeout. This needs
 *the instruction pairs `syscall; ret` to exist somewhere in the process's code;
 *compel_session_is_kill_safe() says so.
 *
 * Unless stated otherwise functions return 0, or a negative errno after logging one line. -ESRCH:
 *the thread died. A session is used from the thread that seized its threads.
 */
#ifndef COMPEL_SESSION_H
#define COMPEL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compel/base/raddr.h"
#include "compel/blob.h"
#include "compel/log.h"

struct compel_session;
struct compel_regs;

/* Where useful instructions were found in one process; see compel_session_hint(). Zeroed: nothing.
 */
struct compel_hint {
	uint64_t addresses[4];
};

struct compel_options {
	compel_log_fn log; /* NULL: silent */
	void *log_opaque;
	pid_t main_tid; /* thread that maps things and runs the command loop; 0: the leader, pid */
	const struct compel_hint *hint; /* where to look first; NULL: search all code */
	/* Of the main thread, where the caller has read them with compel_regs_get() since it
	 * stopped; the session's own are copied from them. NULL: they are read. */
	const struct compel_regs *main_regs;
	bool refuse_unsafe; /* fail with -ENOTSUP where a kill of this process would do harm */
};

/* Begins; changes nothing in the process. options may be NULL. The threads must be stopped already.
 */
int compel_session_new(pid_t pid, const struct compel_options *options,
		       struct compel_session **ret_session);

/*
 * What spares a session with a process that has the same program at the same addresses (a forked
 * one) the search through its code. It is checked there before it is believed.
 */
void compel_session_hint(const struct compel_session *s, struct compel_hint *ret_hint);

/* Cures (see compel_cure) and frees; s may be NULL. The threads stay stopped and seized. */
void compel_session_free(struct compel_session *s);

/* Would the process survive unharmed if this process were killed now or later in the session? */
bool compel_session_is_kill_safe(const struct compel_session *s);

/*
 * The registers the thread was found with, by which it will go on. Owned by the session. NULL when
 * the session has not touched this thread: read them with compel_regs_get() then. Its thread-local
 * segments are there only if this is called while the thread is stopped.
 */
struct compel_regs *compel_session_regs(struct compel_session *s, pid_t tid);

/*
 * Runs one system call in a thread. *ret is its result, negative errno included. What the call
 * leaves behind (a descriptor, a mapping) is the caller's to undo.
 */
int compel_syscall(struct compel_session *s, pid_t tid, long nr, const uint64_t args[6], long *ret);

/* Copies memory of the process; the whole length or an error (-EFAULT). */
int compel_read(struct compel_session *s, struct raddr from, void *to, size_t length);
int compel_write(struct compel_session *s, struct raddr to, const void *from, size_t length);

/* How much room a blob gets. 0 stands for the default. */
struct compel_layout {
	size_t args_size; /* bytes shared by caller and blob for arguments and results; default 64
			     KiB */
	unsigned int threads; /* threads other than the main one that run in it at one time; default
				 32 */
	size_t stack_size;    /* of each thread, and of the command loop; default 16 KiB */
};

/* Maps one area in the process and copies the blob there. One blob a session at a time. layout may
 * be NULL. */
int compel_blob_load(struct compel_session *s, const struct compel_blob *blob,
		     const struct compel_layout *layout);

/* Where the blob and its argument area are, as the process sees them; null address when none is
 * loaded. */
struct raddr compel_blob_address(const struct compel_session *s);
struct raddr compel_args_address(const struct compel_session *s);
size_t compel_args_size(const struct compel_session *s);

/*
 * Runs a function of the blob, `long f(uint64_t arg)`, in one thread to its end. function is an
 * offset (BLOB_X_f). arg is a number or an address in the process, such as compel_args_address().
 * In the main thread it is run by the command loop.
 */
int compel_call(struct compel_session *s, pid_t tid, uint64_t function, uint64_t arg, long *ret);

struct compel_thread_call {
	pid_t tid;
	uint64_t arg;
	long ret;                       /* out */
	const struct compel_regs *regs; /* of this thread, as main_regs of the options */
};

/* The same in many threads at once, which costs each thread one stop. Fails as a whole. */
int compel_call_threads(struct compel_session *s, uint64_t function,
			struct compel_thread_call *calls, unsigned int count);

/*
 * The command loop: the main thread runs and serves compel_rpc(). Commands of one's own are what
 * the blob's compel_command() (compel/pie/runtime.h) understands. Starting what runs and stopping
 * what does not is no error; compel_rpc() and compel_call() start it when needed. It is stopped
 * while the main thread is needed otherwise.
 */
int compel_daemon_start(struct compel_session *s);
int compel_daemon_stop(struct compel_session *s);

enum { COMPEL_RPC_FDS_MAX = 64 };

struct compel_rpc {
	uint32_t command;
	const void *in; /* copied to the argument area, at most compel_args_size(); NULL: what is
			   there is left */
	size_t in_size;
	void *out;           /* filled from the argument area; NULL: not wanted */
	size_t out_size;     /* in: room; out: bytes the blob said it wrote, cut to the room */
	const int *send_fds; /* duplicates go to the blob */
	unsigned int nr_send_fds;
	int *fds;            /* receives what the blob sent, O_CLOEXEC, the caller's to close */
	unsigned int nr_fds; /* in: room; out: how many came (more than the room: -EMSGSIZE, all
				closed) */
};

/* One command and its answer. Returns what compel_command() returned, or a negative errno of its
 * own. */
long compel_rpc(struct compel_session *s, struct compel_rpc *rpc);

/*
 * The two halves, to let the loops of several processes work at the same time. Between them nothing
 * else may be asked of the session.
 */
int compel_rpc_send(struct compel_session *s, const struct compel_rpc *rpc);
long compel_rpc_receive(struct compel_session *s, struct compel_rpc *rpc);

/* The socket of the command loop (for poll), or -1. Owned by the session. */
int compel_rpc_fd(const struct compel_session *s);

/* Gives one thread its own registers and mask back, dead memory included. The main thread: only
 * when no blob is loaded. */
int compel_cure_thread(struct compel_session *s, pid_t tid);
/* The same for all of these; the first error counts. What calls left in slots of theirs need not be
 * taken away when slots are used again. */
int compel_cure_threads(struct compel_session *s, const struct compel_thread_call *calls,
			unsigned int count);

/* Undoes everything: command loop, area, registers of all threads. Doing it twice does no harm. */
int compel_cure(struct compel_session *s);

#endif
