// SPDX-License-Identifier: GPL-2.0-only
/*
 * An eventfd that counts as a semaphore.
 * criu-needs: fdinfo_eventfd_semaphore
 */
#include "crtest.h"

#include <stdint.h>

#include <sys/eventfd.h>

int main(int argc, char **argv)
{
	uint64_t value;
	int fd;

	crtest_begin(argc, argv);
	fd = crtest_must(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));

	crtest_wait();

	for (int i = 0; i < 2; i++) {
		value = 0;
		crtest_equal("bytes", read(fd, &value, sizeof(value)), sizeof(value));
		crtest_equal("semaphore", value, 1);
	}
	crtest_true(read(fd, &value, sizeof(value)) < 0 && errno == EAGAIN);
	return crtest_end();
}
