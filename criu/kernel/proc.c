// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/PID: its directory, and the files that hold one value or a list of numbers. The directory
 * is held as an O_PATH descriptor: the kernel ties it to the task itself, not to the number, so
 * nothing read through it can come from another task.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/auxvec.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "kernel/proc-priv.h"
#include "util/alloc.h"
#include "util/fd.h"

static int open_number(int dir, const char *prefix, pid_t number)
{
	char path[64], *end;
	int fd;

	if (number <= 0)
		return -EINVAL;
	end = proc_put_decimal(stpcpy(path, prefix), (uint64_t)number);
	*end = '\0';
	fd = openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

int proc_open(pid_t host_pid)
{
	return open_number(AT_FDCWD, "/proc/", host_pid);
}

int proc_open_task(int dir, pid_t host_tid)
{
	return open_number(dir, "task/", host_tid);
}

int proc_read_comm(int dir, char ret[PROC_COMM_LEN])
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "comm", &text);
	size_t len;

	if (err < 0)
		return err;
	if (text.size == 0 || text.data[text.size - 1] != '\n')
		return -EBADMSG;
	len = MIN(text.size - 1, (size_t)PROC_COMM_LEN - 1);
	memcpy(ret, text.data, len);
	ret[len] = '\0';
	return 0;
}

/* A file that holds one number. */
static int read_number(int dir, const char *name, unsigned int base, int64_t min, int64_t max,
		       int64_t *ret)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, name, &text);
	struct scan s;
	int64_t value;

	if (err < 0)
		return err;
	s = scan_of(text.data, text.size);
	value = scan_i64(&s, base);
	scan_end(&s);
	if (!scan_ok(&s) || value < min || value > max)
		return -EBADMSG;
	*ret = value;
	return 0;
}

int proc_read_loginuid(int dir, uint32_t *ret)
{
	int64_t value;
	int err = read_number(dir, "loginuid", 10, 0, UINT32_MAX, &value);

	if (err == 0)
		*ret = (uint32_t)value;
	return err;
}

int proc_read_oom_score_adj(int dir, int *ret)
{
	int64_t value;
	int err = read_number(dir, "oom_score_adj", 10, -1000, 1000, &value);

	if (err == 0)
		*ret = (int)value;
	return err;
}

int proc_read_personality(int dir, uint32_t *ret)
{
	int64_t value;
	int err = read_number(dir, "personality", 16, 0, UINT32_MAX, &value);

	if (err == 0)
		*ret = (uint32_t)value;
	return err;
}

int proc_read_auxv(int dir, uint64_t (**ret)[2], size_t *ret_n)
{
	_cleanup_text_ struct proc_text text;
	int err = proc_text_read(dir, "auxv", &text);
	size_t n = 0;
	uint64_t pair[2];

	if (err < 0)
		return err;
	for (; (n + 1) * sizeof(pair) <= text.size; n++) {
		memcpy(pair, text.data + n * sizeof(pair), sizeof(pair));
		if (pair[0] == AT_NULL)
			break;
	}
	/* A task without memory has none; else the end must be marked. */
	if (text.size && (n + 1) * sizeof(pair) > text.size)
		return -EBADMSG;
	*ret = xmemdup(text.data, n * sizeof(pair));
	*ret_n = n;
	return 0;
}

int proc_read_link(int dir, const char *name, char **ret)
{
	int err = fd_read_link(dir, name, ret);

	/* -ENOENT also means that a kernel thread or zombie has no such thing, so only the task's
	 * directory can tell. */
	if (err == -ENOENT && faccessat(dir, "stat", F_OK, 0) < 0)
		return -ESRCH;
	return err;
}

/* "net:[4026531840]" */
int proc_parse_namespace(const char *text, size_t size, uint64_t *ret)
{
	struct scan s = scan_of(text, size);
	uint64_t inode;
	size_t length;

	(void)scan_until(&s, ':', &length);
	scan_text(&s, ":[");
	inode = scan_u64(&s, 10);
	scan_char(&s, ']');
	if (!scan_ok(&s) || !scan_at_end(&s) || length == 0 || inode == 0)
		return -EBADMSG;
	*ret = inode;
	return 0;
}

int proc_read_namespace(int dir, const char *name, uint64_t *ret)
{
	char text[64];
	ssize_t n = readlinkat(dir, name, text, sizeof(text));

	return n < 0 ? -errno : proc_parse_namespace(text, (size_t)n, ret);
}

int proc_parse_children(const char *text, size_t size, pid_t **ret, size_t *ret_n)
{
	struct scan s = scan_of(text, size);
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0, capacity = 0;

	scan_blanks(&s);
	while (!scan_at_end(&s)) {
		pid_t pid = scan_i32(&s, 10);

		if (!scan_ok(&s) || pid <= 0)
			return -EBADMSG;
		pids = array_grow(pids, &capacity, n + 1, sizeof(*pids));
		pids[n++] = pid;
		scan_blanks(&s);
	}
	if (!scan_ok(&s))
		return -EBADMSG;
	*ret = TAKE_PTR(pids);
	*ret_n = n;
	return 0;
}

int proc_read_children(int dir, pid_t host_tid, pid_t **ret, size_t *ret_n)
{
	_cleanup_text_ struct proc_text text;
	char path[64] = "task/", *end;
	int err;

	if (host_tid <= 0)
		return -EINVAL;
	end = proc_put_decimal(path + strlen(path), (uint64_t)host_tid);
	memcpy(end, "/children", sizeof("/children"));
	err = proc_text_read(dir, path, &text);
	return err < 0 ? err : proc_parse_children(text.data, text.size, ret, ret_n);
}

int proc_read_threads(int dir, pid_t **ret, size_t *ret_n)
{
	return proc_read_numbers(dir, "task", ret, ret_n);
}

int proc_read_processes(pid_t **ret, size_t *ret_n)
{
	return proc_read_numbers(AT_FDCWD, "/proc", ret, ret_n);
}
