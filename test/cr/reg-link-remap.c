// SPDX-License-Identifier: GPL-2.0-only
/* The check changes the files that the images speak of, so that these cannot be restored after it.
 */
/* criu-variants: plain twice */
/* criu-dump-options: --link-remap */
/* criu-variants: plain twice */
/* A file whose opened name is gone while another link is left: the same inode is open after the
 * restore, no name is left over.
 * (With --leave-running the temporary name stays for the images, beside the original.) */
#include "crtest.h"

#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat st, other;
	int fd;

	crtest_begin(argc, argv);
	fd = crtest_must(open("first", O_RDWR | O_CREAT, 0600));
	crtest_must(write(fd, "text", 4));
	crtest_must(link("first", "second"));
	crtest_must(unlink("first"));

	crtest_wait();

	crtest_must(fstat(fd, &st));
	crtest_must(stat("second", &other));
	crtest_equal("inode", st.st_ino, other.st_ino);
	crtest_equal("links", st.st_nlink, 1);
	crtest_equal("offset", lseek(fd, 0, SEEK_CUR), 4);
	return crtest_end();
}
