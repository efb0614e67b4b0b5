// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the real driver of /dev/kfd says on a host without a GPU, of which the emulator of
 * test/plugins/kfd-emu says the same. With the word `hold' it just keeps the file open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

struct version {
	uint32_t major, minor;
};

struct criu {
	uint64_t devices, bos, priv_data, priv_data_size;
	uint32_t num_devices, num_bos, num_objects, pid, op;
};

static int fd;

static int ask(void)
{
	struct criu arg = {.op = 0};

	return ioctl(fd, _IOWR('K', 0x22, struct criu), &arg) < 0 ? errno : 0;
}

static int expect(const char *what, int error, int wanted)
{
	printf("%s: %s\n", what, error == wanted ? "as the emulator" : strerror(error));
	return error != wanted;
}

/* As another process; traced: while it traces us. */
static int ask_from_outside(int is_traced)
{
	pid_t parent = getpid(), pid = fork();
	int status;

	if (pid == 0) {
		int error;

		if (is_traced && ptrace(PTRACE_SEIZE, parent, NULL, NULL) < 0)
			_exit(255);
		error = ask();
		_exit(error);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int main(int argc, char **argv)
{
	struct version version = {0};
	int wrong;

	(void)argv;
	fd = open("/dev/kfd", O_RDWR);
	if (fd < 0) {
		perror("/dev/kfd");
		return 1;
	}
	if (argc > 1)
		return pause();
	if (ioctl(fd, _IOR('K', 1, struct version), &version) < 0)
		return 1;
	printf("version %u.%u\n", version.major, version.minor);
	wrong = version.major != 1 || version.minor < 8;
	wrong += expect("PROCESS_INFO without a GPU", ask(), ENODEV);
	wrong += expect("PROCESS_INFO of another process", ask_from_outside(0), EBADF);
	wrong += expect("PROCESS_INFO of who traces", ask_from_outside(1), ENODEV);
	return wrong;
}
