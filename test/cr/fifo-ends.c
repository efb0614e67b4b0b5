// SPDX-License-Identifier: GPL-2.0-only
/* A fifo with bytes in it and three descriptions, and one that was removed while open. */
#include "crtest.h"

#include <sys/stat.h>

int main(int argc, char **argv)
{
	int rd, wr, rw, gone;
	char text[32] = "";
	struct stat st;

	crtest_begin(argc, argv);
	crtest_must(mkfifo("fifo", 0620));
	rw = crtest_must(open("fifo", O_RDWR));
	rd = crtest_must(open("fifo", O_RDONLY | O_NONBLOCK));
	wr = crtest_must(open("fifo", O_WRONLY));
	crtest_must(write(wr, "data in the fifo", 16));
	crtest_must(mkfifo("gone", 0600));
	gone = crtest_must(open("gone", O_RDWR));
	crtest_must(write(gone, "gone", 4));
	crtest_must(unlink("gone"));

	crtest_wait();

	crtest_equal("bytes", read(rd, text, sizeof(text)), 16);
	crtest_same_text("bytes", text, "data in the fifo");
	crtest_true(read(rd, text, sizeof(text)) < 0 && errno == EAGAIN);
	crtest_equal("write", write(rw, "x", 1), 1);
	crtest_equal("read back", read(rd, text, sizeof(text)), 1);
	crtest_equal("from the removed one", read(gone, text, sizeof(text)), 4);
	crtest_true(stat("gone", &st) < 0 && errno == ENOENT);
	crtest_must(close(wr));
	return crtest_end();
}
