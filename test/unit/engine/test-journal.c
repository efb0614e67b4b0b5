/* SPDX-License-Identifier: GPL-2.0-only */
/* The undo journal: what is written is read, forgotten and committed records are not, damage ends
 * the reading. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/journal.h"

static void add(int fd, uint32_t id, const char *kind, const char *first, const char *second)
{
	const char *fields[] = {first, second};

	assert_int_equal(journal_append(fd, id, kind, fields, second ? 2 : first ? 1 : 0), 0);
}

static struct journal *load(int fd)
{
	struct journal *journal = NULL;

	assert_int_equal(journal_load(fd, &journal), 0);
	return journal;
}

static void test_read_what_was_written(void **state)
{
	_cleanup_close_ int fd = journal_create_in_memory();
	_cleanup_journal_ struct journal *journal = NULL;

	add(fd, 1, "remove", "/tmp", "");
	add(fd, 2, "x", NULL, NULL);
	add(fd, 3, "write", "", "with\nnewline");
	journal = load(fd);
	assert_int_equal(journal->pid, getpid());
	assert_int_equal(journal->starttime, journal_starttime(getpid()));
	assert_true(journal->is_this_boot);
	assert_int_not_equal(journal->pid_ns, 0);
	assert_int_equal(journal->pid_ns, journal_pid_ns(getpid()));
	assert_false(journal->is_torn);
	assert_int_equal(journal->n_records, 3);
	assert_string_equal(journal->records[0].kind, "remove");
	assert_int_equal(journal->records[0].n_fields, 2);
	assert_string_equal(journal->records[0].fields[0], "/tmp");
	assert_string_equal(journal->records[0].fields[1], "");
	assert_int_equal(journal->records[1].n_fields, 0);
	assert_string_equal(journal->records[2].fields[1], "with\nnewline");
	assert_int_equal(journal->records[2].id, 3);
}

static void test_forget_and_commit(void **state)
{
	_cleanup_close_ int fd = journal_create_in_memory();
	struct journal *journal;

	add(fd, 1, "a", NULL, NULL);
	add(fd, 2, "b", NULL, NULL);
	add(fd, 3, "c", NULL, NULL);
	add(fd, 0, JOURNAL_FORGET, "2", NULL);
	add(fd, 0, JOURNAL_FORGET, "77", NULL);
	journal = load(fd);
	assert_int_equal(journal->n_records, 2);
	assert_string_equal(journal->records[0].kind, "a");
	assert_string_equal(journal->records[1].kind, "c");
	journal_free(journal);

	add(fd, 0, JOURNAL_COMMIT, NULL, NULL);
	journal = load(fd);
	assert_int_equal(journal->n_records, 0);
	journal_free(journal);
	add(fd, 4, "d", NULL, NULL);
	journal = load(fd);
	assert_int_equal(journal->n_records, 1);
	journal_free(journal);
}

/* Cut at any byte: the records before the cut, and no other. */
static void test_torn_tail(void **state)
{
	_cleanup_close_ int fd = journal_create_in_memory();
	struct stat header, st;
	off_t ends[4];
	size_t whole = 0;

	fstat(fd, &header);
	for (int i = 0; i < 4; i++) {
		add(fd, (uint32_t)i + 1, "remove", "/some/directory", "a file");
		fstat(fd, &st);
		ends[i] = st.st_size;
	}
	for (off_t size = ends[3] - 1; size >= header.st_size; size--) {
		struct journal *journal;

		assert_int_equal(ftruncate(fd, size), 0);
		journal = load(fd);
		whole = 0;
		while (whole < 4 && ends[whole] <= size)
			whole++;
		assert_int_equal(journal->n_records, whole);
		assert_int_equal(journal->is_torn,
				 size != header.st_size && (!whole || ends[whole - 1] != size));
		journal_free(journal);
	}
	for (off_t size = header.st_size - 1; size >= 0; size--) {
		struct journal *journal = NULL;

		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(journal_load(fd, &journal), -EBADMSG);
		assert_null(journal);
	}
}

/* Any bit flipped: what precedes the record stands, the rest is not believed; nothing is read
 * beyond the end. */
static void test_flipped_bits(void **state)
{
	_cleanup_close_ int fd = journal_create_in_memory();
	struct stat header, st;
	char *bytes;

	fstat(fd, &header);
	add(fd, 1, "remove", "/some", "file");
	add(fd, 2, "remove", "/some", "other");
	fstat(fd, &st);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);

	for (off_t bit = 0; bit < st.st_size * 8; bit++) {
		int damaged = memfd_create("damaged", 0);
		struct journal *journal = NULL;
		size_t n;

		bytes[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(write(damaged, bytes, (size_t)st.st_size), st.st_size);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		if (bit / 8 < header.st_size) {
			assert_int_equal(journal_load(damaged, &journal), -EBADMSG);
		} else {
			journal = load(damaged);
			n = bit / 8 < header.st_size + (st.st_size - header.st_size) / 2 ? 0 : 1;
			assert_int_equal(journal->n_records, n);
			assert_true(journal->is_torn);
		}
		journal_free(journal);
		close(damaged);
	}
	free(bytes);
}

static void test_limits(void **state)
{
	_cleanup_close_ int fd = journal_create_in_memory();
	const char *many[JOURNAL_FIELDS_MAX + 1] = {"", "", "", "", "", "", "", "", ""};
	char *large = malloc(JOURNAL_RECORD_MAX + 1);
	const char *fields[] = {large};

	memset(large, 'l', JOURNAL_RECORD_MAX);
	large[JOURNAL_RECORD_MAX] = '\0';
	assert_int_equal(journal_append(fd, 1, "k", many, JOURNAL_FIELDS_MAX + 1), -E2BIG);
	assert_int_equal(journal_append(fd, 1, "k", fields, 1), -E2BIG);
	free(large);
}

static void test_directory_and_locks(void **state)
{
	char dir[] = "/tmp/test-journal.XXXXXX", name[JOURNAL_NAME_MAX], second[JOURNAL_NAME_MAX];
	int dirfd, fd, other, status;
	bool is_linked;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	setenv("CRIU_RUN_DIR", dir, 1);
	dirfd = journal_dir_open(true);
	assert_true(dirfd >= 0);
	fd = journal_create(dirfd, name, &is_linked);
	assert_true(fd >= 0);
	if (!is_linked) {
		assert_int_equal(faccessat(dirfd, name, F_OK, 0), -1);
		assert_int_equal(journal_link(fd, dirfd, name), 0);
		assert_int_equal(journal_link(fd, dirfd, name), 0);
	}
	other = journal_create(dirfd, second, &is_linked);
	assert_true(other >= 0);
	assert_string_not_equal(name, second);
	if (!is_linked) {
		assert_int_equal(journal_link(other, dirfd, name), -EEXIST);
		assert_int_equal(journal_link(other, dirfd, second), 0);
	}

	pid = fork();
	if (pid == 0)
		_exit(journal_lock(fd, JOURNAL_LOCK_TOOL, 0) == -EAGAIN &&
				      journal_lock(fd, JOURNAL_LOCK_UNDO, 0) == 0
			      ? 0
			      : 1);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);

	assert_int_equal(unlinkat(dirfd, name, 0), 0);
	assert_int_equal(unlinkat(dirfd, second, 0), 0);
	close(fd);
	close(other);
	close(dirfd);
	/* What others can write to is no place for it. */
	chmod(dir, 0777);
	assert_int_equal(journal_dir_open(true), -EPERM);
	rmdir(dir);
	assert_int_equal(journal_dir_open(false), -ENOENT);
	unsetenv("CRIU_RUN_DIR");
}

/* A journal of a process that has ended by then. */
static void leave_journal(int dirfd, bool is_committed, char ret_name[JOURNAL_NAME_MAX])
{
	int status = 0, ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		char name[JOURNAL_NAME_MAX] = "";
		bool is_linked = false;
		int fd = journal_create(dirfd, name, &is_linked);
		int err = is_linked ? 0 : journal_link(fd, dirfd, name);

		err = err ?: journal_append(fd, 1, "x", NULL, 0);
		if (is_committed)
			err = err ?: journal_append(fd, 0, JOURNAL_COMMIT, NULL, 0);
		_exit(err || write(ends[1], name, sizeof(name)) != sizeof(name));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], ret_name, JOURNAL_NAME_MAX), JOURNAL_NAME_MAX);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(faccessat(dirfd, ret_name, F_OK, 0), 0);
}

/* Those of dead runs that have nothing to undo go, all others stay. */
static void test_sweep(void **state)
{
	char dir[] = "/tmp/criu-journal-XXXXXX", own[JOURNAL_NAME_MAX];
	char over[JOURNAL_NAME_MAX], left[JOURNAL_NAME_MAX];
	bool is_linked;
	int dirfd, fd;

	assert_non_null(mkdtemp(dir));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	leave_journal(dirfd, true, over);
	leave_journal(dirfd, false, left);
	fd = journal_create(dirfd, own, &is_linked);
	if (!is_linked)
		assert_int_equal(journal_link(fd, dirfd, own), 0);
	assert_int_equal(mkdirat(dirfd, "folder" JOURNAL_SUFFIX, 0700), 0);

	journal_sweep(dirfd);
	assert_int_equal(faccessat(dirfd, over, F_OK, 0), -1);
	assert_int_equal(faccessat(dirfd, left, F_OK, 0), 0);
	assert_int_equal(faccessat(dirfd, own, F_OK, 0), 0);

	close(fd);
	unlinkat(dirfd, left, 0);
	unlinkat(dirfd, own, 0);
	unlinkat(dirfd, "folder" JOURNAL_SUFFIX, AT_REMOVEDIR);
	close(dirfd);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_what_was_written),
		cmocka_unit_test(test_forget_and_commit),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_directory_and_locks),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
