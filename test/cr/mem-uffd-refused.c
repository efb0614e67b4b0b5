// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: userfaultfd */
/* Memory whose page faults another thread handles cannot be dumped. */
#include "crtest.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	char *memory;
	int fd;

	crtest_begin(argc, argv);
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0)
		crtest_skip("userfaultfd: %s", strerror(errno));
	crtest_must(ioctl(fd, UFFDIO_API, &api));
	memory = crtest_must(
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	range.range.start = (unsigned long)memory;
	range.range.len = 8192;
	crtest_must(ioctl(fd, UFFDIO_REGISTER, &range));
	crtest_wait();
	crtest_must(ioctl(fd, UFFDIO_UNREGISTER, &range.range));
	memory[0] = 1;
	return crtest_end();
}
