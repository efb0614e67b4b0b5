// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: System V shared memory */
/* A segment of the host's IPC namespace is not the task's own. */
#include "crtest.h"

#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv)
{
	char *memory;
	int id;

	crtest_begin(argc, argv);
	id = crtest_must(shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600));
	memory = crtest_must(shmat(id, NULL, 0));
	crtest_must(shmctl(id, IPC_RMID, NULL));
	memory[5] = 's';
	crtest_wait();
	crtest_equal("byte", memory[5], 's');
	return crtest_end();
}
