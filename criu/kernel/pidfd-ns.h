/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Namespaces of a task by its pidfd (kernel 6.11). /proc would tell the same, but makes an entry of
 * its own for each link that is looked at, which costs once more when the task ends.
 */
#ifndef CRIU_KERNEL_PIDFD_NS_H
#define CRIU_KERNEL_PIDFD_NS_H

#include <stdint.h>

/* The kernel's numbers. */
enum pidfd_ns {
	PIDFD_NS_CGROUP = 1,
	PIDFD_NS_IPC = 2,
	PIDFD_NS_NET = 4,
	PIDFD_NS_PID_FOR_CHILDREN = 6,
	PIDFD_NS_TIME_FOR_CHILDREN = 8,
	PIDFD_NS_UTS = 10,
};

/*
 * Its inode. Much cheaper while somebody has the same namespace open. -errno: -ENOTTY from older
 * kernels, -EOPNOTSUPP where the kernel has no such kind.
 */
int pidfd_namespace(int pidfd, enum pidfd_ns kind, uint64_t *ret_inode);

#endif
