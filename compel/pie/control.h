/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What host library and runtime say to each other: the control block inside the blob's data, one
 * slot for each thread that is let in, and the two messages on the socket. Both sides are built
 * from the same tree, so the layout may change freely.
 */
#ifndef COMPEL_PIE_CONTROL_H
#define COMPEL_PIE_CONTROL_H

#include <stdint.h>

/*
 * inside is set by the host before the thread gets registers that lead into the area, and cleared
 * by the kernel (FUTEX_WAKE_OP) after the thread has left it for good: who unmaps the area waits
 * for it.
 */
struct compel_slot {
	uint32_t inside;
	uint32_t unused;
	uint64_t function; /* address */
	uint64_t arg;
	int64_t ret;
	uint64_t leave_frame; /* signal frame that leads out: clear inside, then the thread's own
				 registers */
	uint64_t unused2;
};

struct compel_control {
	uint64_t args, args_size;
	uint64_t image;       /* address of the blob */
	uint64_t leave_frame; /* signal frame that leads out: unmap the area, then the main thread's
				 own registers */
	uint64_t slots, slot_stride;
	uint32_t nr_slots;
	uint32_t running; /* threads that have not finished their function */
	int32_t pair[2];  /* the host's end (until it has it) and ours; -1: none */
};

enum {
	COMPEL_SYSTEM_CALL = 0xffffffff,  /* run function(arg) in the main thread */
	COMPEL_THREADS_DONE = 0xfffffffe, /* answer only: the last of the threads has finished */
	COMPEL_CLOSED = 0xfffffffd, /* answer only: descriptors of the answer before are closed */
};

struct compel_request {
	uint32_t command;
	uint32_t unused;
	uint64_t in_size;
	uint64_t function, arg; /* of COMPEL_SYSTEM_CALL */
};

struct compel_answer {
	uint32_t command;      /* which this answers */
	uint32_t is_to_follow; /* COMPEL_CLOSED comes after it */
	int64_t ret;
	uint64_t out_size;
};

#endif
