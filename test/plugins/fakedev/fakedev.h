/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fake device, as its clients and its plugins see it: a folder (a FUSE file system) with
 *
 *	a0 a1 a2      nodes of class A
 *	b0 b1 b2      nodes of class B
 *	c0 ... c9999  nodes of class C, there when they are asked for
 *	control       takes commands, see commands.c; also takes the ioctls that name a process
 *	log           one line for each event, see events.c
 *	state         one line for each open file of a node, then one for each quiet process
 *
 * Each open file of a node (a *handle*) has state that is nowhere but in the device: registers, a
 * counter, one buffer, and one imported buffer. The buffer can be mapped: it lies at an offset that
 * the device chooses, another one each time, and the device writes there by itself while it runs.
 *
 * A process is locked, then paused, by those who look at its state. Lock: the device stops running,
 * anybody who is root may ask. Pause: in addition every use by a client is wrong and refused; only
 * the process itself or who traces it may ask, and only they may read the state. A restored handle
 * is halted until its process is resumed.
 */
#ifndef FAKEDEV_H
#define FAKEDEV_H

#include <stdint.h>
#include <sys/ioctl.h>

#define FAKEDEV_REGISTERS 16
/* Words of a buffer that are not mapped: who shares the buffer sees the same words. */
#define FAKEDEV_WORDS 8
/* What indices of registers mean. */
#define FAKEDEV_OWN_WORD(n)      (0x100 + (n))
#define FAKEDEV_IMPORTED_WORD(n) (0x200 + (n))

/* All nodes are that large, always. */
#define FAKEDEV_FILE_SIZE (1ULL << 50)
#define FAKEDEV_MAX_SIZE  (64ULL << 20)

enum fakedev_state_flags {
	FAKEDEV_RUNNING = 1 << 0,
	FAKEDEV_LOCKED = 1 << 1,
	FAKEDEV_PAUSED = 1 << 2,
	FAKEDEV_HALTED = 1 << 3, /* restored, and not yet resumed */
};

struct fakedev_info {
	uint32_t handle;       /* number of the open file, given once */
	uint32_t opener;       /* process that opened it */
	uint32_t state;        /* enum fakedev_state_flags */
	uint32_t exported;     /* number of its buffer as an exported one, or 0 */
	uint64_t size, offset; /* of its buffer; size 0: none */
	uint64_t counter;
};

struct fakedev_register {
	uint32_t index, unused;
	uint64_t value;
};

/* Reads or writes registers by way of an array in the caller's memory. */
struct fakedev_registers {
	uint32_t n;
	uint32_t is_write;
	/* struct fakedev_register *; reading fills in the values of the given indices. */
	uint64_t registers;
};

/*
 * Makes the buffer. The device writes its counter into the first and the last eight bytes; all
 * between is the client's.
 */
struct fakedev_buffer {
	uint64_t size;   /* a multiple of the page size, up to FAKEDEV_MAX_SIZE */
	uint64_t offset; /* out: for mmap(2), pread(2) and pwrite(2) */
};

struct fakedev_number {
	uint32_t number; /* of an exported buffer, from 1; or on or off */
};

/*
 * A process as one plugin sees it: several plugins may lock and pause it, each under a number of
 * its own, and it is locked or paused as long as one has it so.
 */
struct fakedev_process {
	uint32_t pid;
	uint32_t owner;
};

/* All of the state but the contents of the buffer, which are read and written as the file's. */
struct fakedev_state {
	uint32_t handle;
	uint32_t exported; /* number of its buffer as an exported one, or 0 */
	uint32_t imported; /* number of the imported buffer, or 0 */
	uint32_t is_running;
	uint64_t counter;
	uint64_t size, offset; /* of the buffer; offset is only told, never taken */
	uint64_t registers;    /* uint64_t[FAKEDEV_REGISTERS] in the caller's memory */
	uint64_t words;        /* uint64_t[FAKEDEV_WORDS] in the caller's memory */
	uint32_t owner;        /* restore: whose RESUME it waits for */
	uint32_t unused;
};

#define FAKEDEV_MAGIC 0xfa

/* For clients, on a node. EBUSY while the process is paused, or the handle halted. */
#define FAKEDEV_REGS   _IOWR(FAKEDEV_MAGIC, 1, struct fakedev_registers)
#define FAKEDEV_BUFFER _IOWR(FAKEDEV_MAGIC, 2, struct fakedev_buffer)
#define FAKEDEV_RUN    _IOW(FAKEDEV_MAGIC, 3, struct fakedev_number)
#define FAKEDEV_EXPORT _IOR(FAKEDEV_MAGIC, 4, struct fakedev_number)
#define FAKEDEV_IMPORT _IOW(FAKEDEV_MAGIC, 5, struct fakedev_number)

/* For anybody, on a node. */
#define FAKEDEV_INFO _IOR(FAKEDEV_MAGIC, 6, struct fakedev_info)

/*
 * About a process, on any node or on control. EALREADY: it is so already. PAUSE, UNPAUSE and RESUME
 * are for the process itself and who traces it, others get EPERM.
 */
#define FAKEDEV_LOCK    _IOW(FAKEDEV_MAGIC, 16, struct fakedev_process)
#define FAKEDEV_UNLOCK  _IOW(FAKEDEV_MAGIC, 17, struct fakedev_process)
#define FAKEDEV_PAUSE   _IOW(FAKEDEV_MAGIC, 18, struct fakedev_process)
#define FAKEDEV_UNPAUSE _IOW(FAKEDEV_MAGIC, 19, struct fakedev_process)
#define FAKEDEV_RESUME  _IOW(FAKEDEV_MAGIC, 20, struct fakedev_process)

/* On a node, for its opener or who traces the opener; others get EBADF. */
#define FAKEDEV_CHECKPOINT _IOWR(FAKEDEV_MAGIC, 24, struct fakedev_state)
/* On a handle that is new, for its opener: takes the state, makes buffer and export anew (other
 * numbers), and halts the handle. */
#define FAKEDEV_RESTORE _IOWR(FAKEDEV_MAGIC, 25, struct fakedev_state)

#endif
