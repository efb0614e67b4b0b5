/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of testgpu.ko: a device that is a real character device, which the emulators on
 * FUSE are not. Each open file has registers and at most one buffer. A buffer can be mapped at an
 * offset that the driver chooses, with bit 63 set, by the open file that has made it, and exported
 * as a dma-buf. While the file is not paused, an engine counts in the buffer's last word and in the
 * last register.
 */
#ifndef TESTGPU_H
#define TESTGPU_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TESTGPU_REGISTERS 4

struct testgpu_alloc {
	__u64 size;
	__u64 offset; /* answer */
};

struct testgpu_state {
	__u64 registers[TESTGPU_REGISTERS];
	__u64 size;
	__u64 offset;   /* answer */
	__u64 inode;    /* of the dma-buf that was exported; 0: none */
	__u64 contents; /* pointer to size bytes; 0: not asked for */
};

/* For anybody who has the file. */
#define TESTGPU_ALLOC  _IOWR('t', 1, struct testgpu_alloc)
#define TESTGPU_EXPORT _IOR('t', 2, __s32)
/* For the owner of the file, or who traces it (EBADF). READ: only while it is paused (EINVAL).
 * WRITE: on a fresh file, which is paused then. PAUSE and UNPAUSE twice: EALREADY. */
#define TESTGPU_READ    _IOWR('t', 3, struct testgpu_state)
#define TESTGPU_WRITE   _IOWR('t', 4, struct testgpu_state)
#define TESTGPU_PAUSE   _IO('t', 5)
#define TESTGPU_UNPAUSE _IO('t', 6)

#endif
