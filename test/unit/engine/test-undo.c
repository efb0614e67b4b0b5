// SPDX-License-Identifier: GPL-2.0-only
/* Kinds of undo records that the guardian's tests do not meet (engine/undo.h). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/journal.h"
#include "engine/undo.h"

static void make(int dir, const char *name)
{
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool is_there(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void name_inode(int dir, const char *name, char *ret, size_t size)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	snprintf(ret, size, "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
}

/* Goes only if it is a link to that very file. */
static void test_remove_link(void **state)
{
	char path[] = "/tmp/criu-undo-XXXXXX", inode[48], file[48];
	struct journal_record record = {
		.kind = "remove-link", .fields = {path, inode, "name", file}, .n_fields = 4};
	int dir;

	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make(dir, "made");
	make(dir, "name");
	name_inode(dir, ".", inode, sizeof(inode));
	name_inode(dir, "made", file, sizeof(file));
	assert_int_equal(undo_record(NULL, true, &record), 0);
	assert_true(is_there(dir, "name"));

	assert_int_equal(unlinkat(dir, "name", 0), 0);
	assert_int_equal(undo_record(NULL, true, &record), 0);

	assert_int_equal(linkat(dir, "made", dir, "name", 0), 0);
	assert_int_equal(undo_record(NULL, true, &record), 0);
	assert_false(is_there(dir, "name"));
	assert_true(is_there(dir, "made"));

	record.fields[3] = "nonsense";
	assert_int_equal(undo_record(NULL, true, &record), -EBADMSG);
	assert_int_equal(unlinkat(dir, "made", 0), 0);
	close(dir);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_remove_link)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
