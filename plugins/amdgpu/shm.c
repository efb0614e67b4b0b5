// SPDX-License-Identifier: GPL-2.0-only
/*
 * What AMD's runtime (ROCr) shares between all its processes: a small file in /dev/shm that begins
 * with a magic number, and a semaphore beside it. Processes open both when they start; here they
 * are made again where a restore comes to a host on which no such process has run. Contents are not
 * saved.
 */
#include "amdgpu.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME      "hsakmt_shared_mem"
#define SEMAPHORE_NAME "hsakmt_semaphore"

static void shm_path(struct criu_call *call, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", criu_option_string(call, "shm"), name);
}

int shm_read(struct criu_call *call, uint64_t *ret_size, uint32_t *ret_magic)
{
	_cleanup_close_ int fd = -1;
	uint32_t magic = 0;
	struct stat st;
	char path[4096];

	*ret_size = *ret_magic = 0;
	shm_path(call, FILE_NAME, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : criu_error(call, -errno, "open %s", path);
	if (fstat(fd, &st) < 0 || pread(fd, &magic, sizeof(magic), 0) < 0)
		return criu_error(call, -errno, "read %s", path);
	*ret_size = (uint64_t)st.st_size;
	*ret_magic = le32toh(magic);
	return 0;
}

static int make_file(const char *path, uint64_t size, uint32_t magic)
{
	_cleanup_close_ int fd =
		open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	const uint32_t head = htole32(magic);

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	if (fchmod(fd, 0666) < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    pwrite(fd, &head, sizeof(head), 0) != sizeof(head))
		return -errno;
	return 0;
}

/* As sem_open(3) lays it out, in the folder of the option: that cannot be told where to look. */
static int make_semaphore(const char *path)
{
	_cleanup_close_ int fd =
		open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	sem_t semaphore;

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	memset(&semaphore, 0, sizeof(semaphore));
	if (sem_init(&semaphore, 1, 1) < 0 || fchmod(fd, 0666) < 0)
		return -errno;
	return write(fd, &semaphore, sizeof(semaphore)) == sizeof(semaphore) ? 0 : -EIO;
}

int shm_restore(struct criu_call *call, uint64_t size, uint32_t magic)
{
	char path[4096];
	int err;

	if (!size)
		return 0;
	shm_path(call, FILE_NAME, path, sizeof(path));
	err = make_file(path, size, magic);
	if (err)
		return criu_error(call, err, "make %s", path);
	shm_path(call, "sem." SEMAPHORE_NAME, path, sizeof(path));
	err = make_semaphore(path);
	return err ? criu_error(call, err, "make %s", path) : 0;
}
