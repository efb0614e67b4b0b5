// SPDX-License-Identifier: GPL-2.0-only
/*
 * The smallest thing there is: one task, one thread, a few words of memory in data, heap and stack,
 * and a register that counts. If this fails, look here first.
 */
#include "crtest.h"

static unsigned int data = 0xdada;
static unsigned int zeroed;

int main(int argc, char **argv)
{
	char text[] = "on the stack";
	pid_t pid = getpid(), parent_session = getsid(0);
	unsigned long *heap;
	unsigned long n = 0;

	crtest_begin(argc, argv);
	heap = malloc(100000 * sizeof(*heap));
	for (unsigned long i = 0; i < 100000; i++)
		heap[i] = i * 2654435761u;
	zeroed = 7;

	crtest_ready();
	while (!crtest_is_triggered()) {
		n++;
		heap[n % 100000]++;
		crtest_sleep_ms(1);
		heap[n % 100000]--;
	}

	crtest_true(n > 0);
	crtest_equal("pid", getpid(), pid);
	crtest_equal("session", getsid(0), parent_session);
	crtest_equal("data", data, 0xdada);
	crtest_equal("bss", zeroed, 7);
	crtest_same_text("stack", text, "on the stack");
	for (unsigned long i = 0; i < 100000; i++)
		if (heap[i] != i * 2654435761u) {
			crtest_fail("heap word %lu differs", i);
			break;
		}
	free(heap);
	return crtest_end();
}
