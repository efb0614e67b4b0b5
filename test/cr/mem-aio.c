// SPDX-License-Identifier: GPL-2.0-only
/* Two contexts of kernel AIO: one with events that were complete and not fetched, at a position
 * within its ring; new requests. */
#include "crtest.h"

#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct ring {
	unsigned int id, nr, head, tail, magic, compat, incompat, header_length;
};

static int fd;

static void submit(aio_context_t context, int n, int first)
{
	static char buffer[64];

	for (int i = 0; i < n; i++) {
		struct iocb op = {.aio_lio_opcode = IOCB_CMD_PREAD,
				  .aio_fildes = fd,
				  .aio_buf = (long)buffer,
				  .aio_nbytes = 3,
				  .aio_data = first + i};
		struct iocb *ops[] = {&op};

		if (syscall(SYS_io_submit, context, 1, ops) != 1)
			crtest_fail("submit %d: %s", first + i, strerror(errno));
	}
}

static void fetch(aio_context_t context, int n, int first)
{
	struct timespec no_time = {0};

	for (int i = 0; i < n; i++) {
		struct io_event event = {0};

		if (syscall(SYS_io_getevents, context, 1, 1, &event, &no_time) != 1)
			crtest_fail("event %d is not there", first + i);
		else if (event.data != (unsigned long long)(first + i) || event.res != 3)
			crtest_fail("event %d: data %lld, result %lld", first + i,
				    (long long)event.data, (long long)event.res);
	}
}

int main(int argc, char **argv)
{
	aio_context_t used = 0, fresh = 0;
	const struct ring *ring;

	crtest_begin(argc, argv);
	fd = crtest_must(open(crtest_path("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	crtest_must(write(fd, "abcdef", 6));
	crtest_must(syscall(SYS_io_setup, 100, &used));
	crtest_must(syscall(SYS_io_setup, 5, &fresh));
	ring = (const struct ring *)used;
	for (int i = 0; i < 40; i++) {
		submit(used, 10, i * 10);
		fetch(used, 10, i * 10);
	}
	submit(used, 7, 1000);
	crtest_true(ring->head != ring->tail);

	crtest_wait();

	crtest_equal("position", (ring->tail + ring->nr - ring->head) % ring->nr, 7);
	submit(used, 5, 1007);
	fetch(used, 12, 1000);
	for (int i = 0; i < 40; i++) {
		submit(used, 10, i * 10);
		fetch(used, 10, i * 10);
	}
	submit(fresh, 2, 5);
	fetch(fresh, 2, 5);
	crtest_true(syscall(SYS_io_destroy, used) == 0);
	crtest_true(syscall(SYS_io_destroy, fresh) == 0);
	return crtest_end();
}
