// SPDX-License-Identifier: LGPL-2.1-only
/*
 * The process's memory from outside. process_vm_writev respects the mapping's protection, and all
 * we write to is writable; writes through /proc/pid/mem would go where the program itself could
 * not.
 */
#include <errno.h>
#include <sys/uio.h>

#include "compel/lib/session-priv.h"

typedef ssize_t (*copy_fn)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
			   unsigned long, unsigned long);

/* The kernel stops at 2 GiB a call, and at the first page it cannot reach. */
static int copy(copy_fn how, pid_t pid, uint64_t remote, void *local, size_t size)
{
	while (size) {
		struct iovec here = {local, size};
		struct iovec there = {(void *)remote, size};
		ssize_t n = how(pid, &here, 1, &there, 1, 0);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -EFAULT;
		local = (char *)local + n;
		remote += n;
		size -= n;
	}
	return 0;
}

int session_memory_read(pid_t pid, uint64_t from, void *to, size_t size)
{
	return copy(process_vm_readv, pid, from, to, size);
}

int session_memory_write(pid_t pid, uint64_t to, const void *from, size_t size)
{
	return copy(process_vm_writev, pid, to, (void *)from, size);
}

int compel_read(struct compel_session *s, struct raddr from, void *to, size_t size)
{
	int err = session_memory_read(s->pid, from.value, to, size);

	return err < 0 ? session_say(s, COMPEL_ERROR, err, "read %zu bytes at %#llx", size,
				     (unsigned long long)from.value)
		       : 0;
}

int compel_write(struct compel_session *s, struct raddr to, const void *from, size_t size)
{
	int err = session_memory_write(s->pid, to.value, from, size);

	return err < 0 ? session_say(s, COMPEL_ERROR, err, "write %zu bytes at %#llx", size,
				     (unsigned long long)to.value)
		       : 0;
}
