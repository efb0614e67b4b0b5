/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The session's insides. Who does what: maps.c and gadget.c look at the process and find places;
 * thread.c takes one thread's registers away and gives them back; blob.c maps and unmaps the area;
 * rpc.c drives the command loop in the main thread; call.c sends other threads in.
 */
#ifndef COMPEL_LIB_SESSION_PRIV_H
#define COMPEL_LIB_SESSION_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compel/lib/arch.h"
#include "compel/lib/regs-priv.h"
#include "compel/regs.h"
#include "compel/session.h"

enum { PAGE = 4096 };

struct vma {
	uint64_t start, end;
	uint64_t offset, inode; /* of the file, or 0 */
	bool is_readable, is_writable, is_executable, is_private;
	bool is_stack; /* the main thread's, which the kernel made */
	bool is_libc;  /* by its name: a good place to begin to look */
};

struct maps {
	struct vma *vmas;
	size_t count;
};

enum thread_state {
	THREAD_OWN,     /* has its own registers, as far as we are concerned */
	THREAD_RESTING, /* stopped, with registers that lead back to its own */
	THREAD_RUNNING, /* in the blob */
};

/* Memory that is of no use to the program, and its contents. */
struct dead {
	uint64_t address;
	size_t size;
	void *saved; /* NULL: the pages had never been touched */
};

struct thread {
	pid_t tid;
	enum thread_state state;
	bool is_at_syscall; /* stopped at a system call: where the kernel does not look at restarts
			     */
	bool is_out;        /* resting with registers that clear a slot first */
	bool is_faulted; /* stopped where it was about to receive a signal for what it executed */
	struct compel_regs *regs;
	struct dead dead;
	uint64_t unmap_link; /* in dead, as the following; of the main thread only */
	uint64_t final_link, fpu_image;
};

struct area {
	uint64_t address, size; /* 0: nothing mapped */
	uint64_t args, args_size;
	uint64_t slots, slot_stride;
	unsigned int nr_slots;
	uint64_t stacks, stack_size; /* the first is the main thread's */
	uint64_t leave_link;
	uint64_t control, serve, leave, thread; /* addresses of the blob's parts */
};

struct compel_session {
	pid_t pid, main_tid;
	struct compel_options options;
	int pidfd;
	struct maps maps;
	struct gadgets gadgets;
	size_t fpu_limit;
	bool is_safe;
	uint64_t pool, pool_end; /* never touched pages of the stack */
	struct thread **threads; /* ordered by tid */
	size_t nr_threads;
	struct area area;
	int sock; /* -1: not connected */
};

/* log.c: returns err, after one line. */
int session_say(const struct compel_session *s, enum compel_level level, int err,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

/* maps.c */
int session_maps_read(pid_t pid, struct maps *ret_maps);
const struct vma *session_maps_find(const struct maps *maps, uint64_t address);
bool session_maps_is_thread_stack(const struct maps *maps, const struct vma *vma);
int session_maps_find_hole(const struct maps *maps, uint64_t size, pid_t tid,
			   uint64_t *ret_address);
int session_maps_find_untouched_stack(pid_t pid, const struct maps *maps, uint64_t *ret_start,
				      uint64_t *ret_end);

/* gadget.c */
void session_gadgets_find(pid_t pid, const struct maps *maps, struct gadgets *ret_gadgets);
/* Is all that is needed where the hint (may be NULL) says? Then *ret_gadgets has it. */
bool session_gadgets_try(pid_t pid, const struct maps *maps, const struct compel_hint *hint,
			 struct gadgets *ret_gadgets);

/* memory.c: -EFAULT unless all of it was copied. */
int session_memory_read(pid_t pid, uint64_t from, void *to, size_t size);
int session_memory_write(pid_t pid, uint64_t to, const void *from, size_t size);

/* thread.c */
struct thread *session_thread_find(const struct compel_session *s, pid_t tid);
/* Where it is in the ordered array, or would be. */
size_t session_thread_index(const struct compel_session *s, pid_t tid);
/*
 * Its way back is laid out; it has its own registers, unless it had been hijacked before. regs: as
 * in struct compel_thread_call.
 */
int session_thread_prepare(struct compel_session *s, pid_t tid, const struct compel_regs *regs,
			   struct thread **ret_thread);
/* A prepared thread has been given registers that lead back. */
int session_thread_block(struct compel_session *s, struct thread *t);
/* The two, with registers of session_thread_rest() between. */
int session_thread_hijack(struct compel_session *s, pid_t tid, const struct compel_regs *regs,
			  struct thread **ret_thread);
int session_thread_rest(struct compel_session *s, struct thread *t);
int session_thread_set(struct compel_session *s, struct thread *t,
		       const struct user_regs_struct *r);
int session_thread_resume(struct compel_session *s, struct thread *t, bool stop_at_syscall);
int session_thread_wait_syscall(struct compel_session *s, struct thread *t);
int session_thread_wait_trap(struct compel_session *s, struct thread *t);
int session_thread_look_after(struct compel_session *s, struct thread *t);
int session_thread_syscall(struct compel_session *s, struct thread *t, long nr,
			   const uint64_t args[6], uint64_t stack, long *ret);
int session_thread_cure(struct compel_session *s, struct thread *t);
void session_thread_free(struct thread *t);
bool session_thread_is_main(const struct compel_session *s, const struct thread *t);

/* blob.c */
int session_area_unload(struct compel_session *s);

/* rpc.c */
int session_main_serve(struct compel_session *s);
int session_main_stop(struct compel_session *s);
int session_wait_answer(struct compel_session *s);
long session_main_call(struct compel_session *s, uint64_t function, uint64_t arg, long *ret);
int session_receive_done(struct compel_session *s);

#endif
