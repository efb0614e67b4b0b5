// SPDX-License-Identifier: GPL-2.0-only
/* criu-skip-compare: fd.6 */
/*
 * Removed files: contents with a hole, owner, mode, two descriptions and a mapping of one inode;
 * O_TMPFILE; a removed folder as working directory; a new file has the old name of one of them.
 * What /proc calls fd 6 is new then,
 * because its name is taken.
 */
#include "crtest.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define SIZE (1 << 18)

int main(int argc, char **argv)
{
	int fd, reader, tmp, replaced, fresh, i;
	struct stat st;
	char text[32] = "", *map;

	crtest_begin(argc, argv);
	fd = crtest_must(open("ghost", O_RDWR | O_CREAT, 0600));
	crtest_must(write(fd, "head", 4));
	crtest_must(pwrite(fd, "tail", 4, SIZE - 4));
	crtest_must(fchmod(fd, 0604));
	crtest_must(fchown(fd, 1001, 1002));
	reader = crtest_must(open("ghost", O_RDONLY));
	map = crtest_must(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	crtest_must(unlink("ghost"));
	tmp = crtest_must(open(".", O_TMPFILE | O_RDWR, 0600));
	crtest_must(write(tmp, "no name", 7));
	replaced = crtest_must(open("name", O_RDWR | O_CREAT, 0600));
	crtest_must(write(replaced, "old", 3));
	crtest_must(unlink("name"));
	fresh = crtest_must(open("name", O_RDWR | O_CREAT, 0600));
	crtest_must(write(fresh, "new!", 4));
	crtest_must(mkdir("folder", 0711));
	crtest_must(chdir("folder"));
	crtest_must(rmdir(crtest_path("folder")));

	crtest_wait();

	crtest_equal("links of the ghost", fstat(fd, &st) < 0 ? -1 : (int)st.st_nlink, 0);
	crtest_equal("size", st.st_size, SIZE);
	crtest_equal("mode", st.st_mode, S_IFREG | 0604);
	crtest_equal("owner", st.st_uid, 1001);
	crtest_equal("group", st.st_gid, 1002);
	crtest_true(st.st_blocks * 512 < SIZE / 2);
	crtest_equal("inode of both", st.st_ino, fstat(reader, &st) < 0 ? 0 : st.st_ino);
	crtest_equal("offset", lseek(fd, 0, SEEK_CUR), 4);
	crtest_equal("tail", pread(reader, text, 8, SIZE - 4), 4);
	crtest_same_text("tail", text, "tail");
	memcpy(map + 100, "mapped", 7);
	crtest_equal("through the map", pread(reader, text, 7, 100), 7);
	crtest_same_text("through the map", text, "mapped");
	for (i = 0; i < SIZE; i++)
		if (map[i] && (i >= 4 && i < SIZE - 4) && (i < 100 || i > 106))
			break;
	crtest_equal("hole", i, SIZE);
	memset(text, 0, sizeof(text));
	crtest_equal("O_TMPFILE", pread(tmp, text, sizeof(text), 0), 7);
	crtest_same_text("O_TMPFILE", text, "no name");
	memset(text, 0, sizeof(text));
	crtest_equal("replaced", pread(replaced, text, sizeof(text), 0), 3);
	crtest_same_text("replaced", text, "old");
	memset(text, 0, sizeof(text));
	crtest_equal("replacement", pread(fresh, text, sizeof(text), 0), 4);
	crtest_same_text("replacement", text, "new!");
	crtest_true(access(crtest_path("ghost"), F_OK) < 0);
	crtest_true(access(crtest_path("folder"), F_OK) < 0);
	crtest_true(stat(".", &st) == 0 && st.st_nlink == 0);
	crtest_true(getcwd(text, sizeof(text)) == NULL && errno == ENOENT);
	return crtest_end();
}
