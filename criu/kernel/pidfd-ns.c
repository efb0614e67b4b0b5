// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctl(2) of a pidfd opens a namespace of the task. The kernel makes the inode of a namespace when
 * it is opened and drops it with its last user; so whoever looks at many tasks that share theirs
 * had better keep each open once.
 */
#include "kernel/pidfd-ns.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "compel/base/cleanup.h"

/* PIDFS_IOCTL_MAGIC: newer than the headers that we may be built with. */
#define MAGIC 0xff

int pidfd_namespace(int pidfd, enum pidfd_ns kind, uint64_t *ret_inode)
{
	_cleanup_close_ int fd = ioctl(pidfd, _IO(MAGIC, kind), 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_inode = st.st_ino;
	return 0;
}
