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
#include <string.h>
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

struct folders {
	char path[32]; /* holds names/name and other/ */
	char name[64], names[48], other[48];
	char file[48];      /* inode of the file */
	char other_ino[48]; /* and of other/ */
};

static void folders_make(struct folders *f)
{
	int dir;

	strcpy(f->path, "/tmp/criu-undo-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	snprintf(f->names, sizeof(f->names), "%s/names", f->path);
	snprintf(f->other, sizeof(f->other), "%s/other", f->path);
	snprintf(f->name, sizeof(f->name), "%s/name", f->names);
	assert_int_equal(mkdir(f->names, 0700), 0);
	assert_int_equal(mkdir(f->other, 0700), 0);
	dir = open(f->names, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make(dir, "name");
	name_inode(dir, "name", f->file, sizeof(f->file));
	name_inode(dir, "../other", f->other_ino, sizeof(f->other_ino));
	close(dir);
}

/* Another one, of another inode: the old one is removed last. */
static void folder_replace(const char *path)
{
	char away[80];

	snprintf(away, sizeof(away), "%s.away", path);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(rmdir(away), 0);
}

/* Absolute names, recorded with a folder that they are not in: there, gone, another one. */
static void check_absolute(const char *kind, size_t n_fields)
{
	for (int fate = 0; fate < 3; fate++) {
		struct folders f;
		struct journal_record record = {.kind = kind, .n_fields = n_fields};

		folders_make(&f);
		record.fields[0] = f.other;
		record.fields[1] = f.other_ino;
		record.fields[2] = f.name;
		record.fields[3] = f.file;
		if (fate == 1)
			assert_int_equal(rmdir(f.other), 0);
		if (fate == 2)
			folder_replace(f.other);
		assert_int_equal(undo_record(NULL, true, &record), 0);
		assert_false(is_there(AT_FDCWD, f.name));
		/* Once more, and with its own folder gone. */
		assert_int_equal(undo_record(NULL, true, &record), 0);
		assert_int_equal(rmdir(f.names), 0);
		assert_int_equal(undo_record(NULL, true, &record), 0);
		if (fate != 1)
			assert_int_equal(rmdir(f.other), 0);
		assert_int_equal(rmdir(f.path), 0);
	}
}

static void test_absolute_name(void **state)
{
	check_absolute("remove", 3);
	check_absolute("remove-link", 4);
}

/* The folder that a name is in was replaced: what is in the new one is not what was recorded. Not
 * so where another file system hides it. */
static void test_folder_replaced(void **state)
{
	struct folders f;
	struct journal_record record = {.kind = "remove", .n_fields = 3};
	struct journal_record images = {.kind = "images", .n_fields = 2};

	folders_make(&f);
	record.fields[0] = images.fields[0] = f.names;
	/* That of a folder which is elsewhere. */
	record.fields[1] = images.fields[1] = f.other_ino;
	record.fields[2] = "name";
	assert_int_equal(undo_record(NULL, true, &record), UNDO_NO_DIR);
	assert_int_equal(undo_record(NULL, true, &images), UNDO_NO_DIR);
	assert_true(is_there(AT_FDCWD, f.name));
	record.fields[1] = images.fields[1] = "1:1";
	assert_int_equal(undo_record(NULL, true, &record), -ESTALE);
	assert_int_equal(undo_record(NULL, true, &images), -ESTALE);
	assert_true(is_there(AT_FDCWD, f.name));
	/* A file in its place. */
	record.fields[0] = f.name;
	assert_int_equal(undo_record(NULL, true, &record), UNDO_NO_DIR);
	assert_int_equal(unlink(f.name), 0);
	assert_int_equal(rmdir(f.names), 0);
	assert_int_equal(rmdir(f.other), 0);
	assert_int_equal(rmdir(f.path), 0);
}

static void check_parent(int dirfd, const char *name, const char *folder, const char *rest)
{
	struct stat st, expected;
	const char *got = NULL;
	int fd = undo_parent_open(dirfd, name, &got);

	assert_true(fd >= 0);
	assert_string_equal(got, rest);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(stat(folder, &expected), 0);
	assert_true(st.st_dev == expected.st_dev && st.st_ino == expected.st_ino);
	close(fd);
}

static void test_parent(void **state)
{
	struct folders f;
	char name[80];
	int dirfd;

	folders_make(&f);
	dirfd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check_parent(dirfd, f.name, f.names, "name");
	check_parent(AT_FDCWD, f.name, f.names, "name");
	check_parent(dirfd, "names/name", f.names, "name");
	check_parent(dirfd, "names", f.path, "names");
	check_parent(dirfd, "names//", f.path, "names//");
	check_parent(dirfd, "names/name/", f.names, "name/");
	check_parent(dirfd, "no/such", f.path, "no/such");
	check_parent(AT_FDCWD, "name", ".", "name");
	check_parent(dirfd, "/no-such", "/", "no-such");
	check_parent(dirfd, "/no-such//folder/name", "/", "no-such//folder/name");
	snprintf(name, sizeof(name), "%s//a/b", f.names);
	check_parent(dirfd, name, f.names, "a/b");
	snprintf(name, sizeof(name), "%s/x", f.name);
	check_parent(dirfd, name, f.names, "name/x");
	close(dirfd);
	assert_int_equal(unlink(f.name), 0);
	assert_int_equal(rmdir(f.names), 0);
	assert_int_equal(rmdir(f.other), 0);
	assert_int_equal(rmdir(f.path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remove_link), cmocka_unit_test(test_absolute_name),
		cmocka_unit_test(test_folder_replaced), cmocka_unit_test(test_parent)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
