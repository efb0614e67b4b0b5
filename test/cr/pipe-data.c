// SPDX-License-Identifier: GPL-2.0-only
/* Pipes: bytes in them, a bigger capacity, ends in two tasks, a second description of one end, an
 * end whose other end is closed. */
#include "crtest.h"

static char big[100000], got[100000];

static int child(int in, int out)
{
	char word[16] = "";

	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	crtest_equal("what the child reads", read(in, word, sizeof(word)), 6);
	crtest_same_text("what the child reads", word, "parent");
	crtest_equal("what the child writes", write(out, "child", 5), 5);
	return crtest_child_status();
}

int main(int argc, char **argv)
{
	int full[2], down[2], up[2], half[2], again, n;
	char word[16] = "", path[64];
	pid_t pid;

	crtest_begin(argc, argv);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i * 7 + i / 1000;
	crtest_must(pipe2(full, O_CLOEXEC));
	crtest_must(fcntl(full[1], F_SETPIPE_SZ, 131072));
	crtest_must(write(full[1], big, sizeof(big)));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", full[0]);
	again = crtest_must(open(path, O_RDONLY | O_NONBLOCK));
	crtest_must(pipe(half));
	crtest_must(write(half[1], "last words", 10));
	close(half[1]);
	crtest_must(pipe(down));
	crtest_must(pipe(up));
	pid = crtest_must(fork());
	if (!pid)
		_exit(child(down[0], up[1]));
	close(down[0]);
	close(up[1]);
	crtest_must(write(down[1], "parent", 6));

	crtest_wait();

	n = fcntl(full[0], F_GETPIPE_SZ);
	crtest_equal("capacity", n, 131072);
	crtest_equal("flags of the second description", fcntl(again, F_GETFL) & O_NONBLOCK,
		     O_NONBLOCK);
	crtest_equal("flags of the first description", fcntl(full[0], F_GETFL) & O_NONBLOCK, 0);
	for (n = 0; n < (int)sizeof(got);) {
		int r = read(again, got + n, sizeof(got) - n);

		if (r <= 0) {
			crtest_fail("only %d bytes came", n);
			break;
		}
		n += r;
	}
	crtest_same_bytes("bytes", got, big, sizeof(big));
	crtest_true(read(again, got, 1) < 0 && errno == EAGAIN);
	crtest_equal("last words", read(half[0], got, sizeof(got)), 10);
	crtest_equal("end of file", read(half[0], got, sizeof(got)), 0);
	crtest_equal("from the child", read(up[0], word, sizeof(word)), 5);
	crtest_same_text("from the child", word, "child");
	crtest_join("child", pid);
	return crtest_end();
}
