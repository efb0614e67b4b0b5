// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: io_uring */
/* Rings of io_uring hold requests that only the kernel knows. */
#include "crtest.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	struct io_uring_params params = {0};
	unsigned int *ring;
	int fd;

	crtest_begin(argc, argv);
	fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (fd < 0)
		crtest_skip("io_uring: %s", strerror(errno));
	ring = crtest_must(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING));
	crtest_wait();
	crtest_equal("head", ring[params.sq_off.head / 4], 0);
	return crtest_end();
}
