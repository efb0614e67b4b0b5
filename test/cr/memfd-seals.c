// SPDX-License-Identifier: GPL-2.0-only
/* memfds: contents, position, seals, a second description, a mapping in two tasks. */
#include "crtest.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SIZE (3 * 4096 + 100)

int main(int argc, char **argv)
{
	int fd, sealed, reader;
	char text[16] = "", path[64];
	struct stat st;
	char *map;
	pid_t pid;

	crtest_begin(argc, argv);
	fd = crtest_must(memfd_create("name of it", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	crtest_must(ftruncate(fd, SIZE));
	crtest_must(pwrite(fd, "in page two", 11, 8192));
	crtest_must(lseek(fd, 8195, SEEK_SET));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = crtest_must(open(path, O_RDONLY));
	map = crtest_must(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	sealed = crtest_must(memfd_create("sealed", MFD_ALLOW_SEALING));
	crtest_must(write(sealed, "fixed", 5));
	crtest_must(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	pid = crtest_must(fork());
	if (!pid) {
		while (!crtest_is_triggered() || !map[0])
			crtest_sleep_ms(10);
		map[1] = 'b';
		_exit(0);
	}

	crtest_wait();

	map[0] = 'a';
	crtest_join("child", pid);
	crtest_equal("size", fstat(fd, &st) < 0 ? -1 : st.st_size, SIZE);
	crtest_equal("what the child wrote", map[1], 'b');
	crtest_equal("through the reader", pread(reader, text, 2, 0), 2);
	crtest_same_text("through the reader", text, "ab");
	crtest_equal("read on", read(fd, text, 8), 8);
	crtest_same_text("read on", text, "page two");
	crtest_true(write(reader, "x", 1) < 0 && errno == EBADF);
	crtest_equal("seals", fcntl(sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK);
	crtest_true(pwrite(sealed, "x", 1, 0) < 0 && errno == EPERM);
	return crtest_end();
}
