/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The undo journal on disk. Saved: who writes it (pid, start time, boot) and what to undo, by name.
 * The reader trusts nothing: sizes are checked before they are used, a record counts only if its
 * checksum does, and the first that does not ends the journal, as a write that was cut short (disk
 * full, machine gone) leaves a torn tail. No fsync: what the journal protects from is the death of
 * processes; with the machine, the tasks are gone as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "engine/journal.h"
#include "images/lib/crc32c.h"
#include "kernel/proc.h"
#include "util/fd.h"

#define JOURNAL_MAGIC   "criuundo"
#define JOURNAL_VERSION 1
/* A million records: more than any run leaves, less than would hurt to read. */
#define JOURNAL_SIZE_MAX (128u << 20)

/* With its NUL. */
#define BOOT_ID_SIZE 40

struct header {
	char magic[8];
	uint32_t version;
	uint32_t checksum; /* of what follows */
	uint64_t starttime;
	int32_t pid;
	char boot_id[BOOT_ID_SIZE];
	uint32_t pid_ns; /* inode; 0: not known */
};

/* Its strings follow: the kind and the fields, each with its NUL; zeros fill up to a multiple of 8.
 */
struct record {
	uint32_t checksum; /* of what follows, strings and fill included */
	uint32_t size;     /* of all of it */
	uint32_t id;
	uint32_t n_fields;
	uint64_t time_ns;
};

static uint32_t header_checksum(const struct header *header)
{
	return crc32c(0, &header->starttime, sizeof(*header) - offsetof(struct header, starttime));
}

static uint32_t record_checksum(const struct record *record)
{
	return crc32c(0, &record->size, record->size - offsetof(struct record, size));
}

static void boot_id_read(char ret[BOOT_ID_SIZE])
{
	memset(ret, 0, BOOT_ID_SIZE);
	if (fd_read_file_into(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret, BOOT_ID_SIZE) < 0)
		*ret = '\0';
}

uint64_t journal_starttime(pid_t pid)
{
	_cleanup_close_ int dir = proc_open(pid);
	struct proc_stat stat;

	if (dir < 0 || proc_read_stat(dir, &stat) < 0)
		return 0;
	return stat.state == 'Z' || stat.state == 'X' ? 0 : stat.starttime;
}

uint32_t journal_pid_ns(pid_t pid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return stat(path, &st) < 0 ? 0 : (uint32_t)st.st_ino;
}

/* A place that only we can write to: what stands in a journal is done to the system. */
static int dir_open_checked(int parent, const char *name, bool create)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (create && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	return TAKE_FD(fd);
}

int journal_dir_open(bool create)
{
	const char *place = secure_getenv("CRIU_RUN_DIR");
	char name[32];

	if (place)
		return dir_open_checked(AT_FDCWD, place, create);
	if (geteuid() == 0)
		return dir_open_checked(AT_FDCWD, "/run/criu", create);

	place = secure_getenv("XDG_RUNTIME_DIR");
	if (place) {
		_cleanup_close_ int parent = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (parent >= 0)
			return dir_open_checked(parent, "criu", create);
	}
	snprintf(name, sizeof(name), "/tmp/criu-%u", geteuid());
	return dir_open_checked(AT_FDCWD, name, create);
}

static int journal_begin(int fd, uint64_t starttime)
{
	struct header header = {
		.magic = JOURNAL_MAGIC,
		.version = JOURNAL_VERSION,
		.starttime = starttime,
		.pid = getpid(),
	};
	int err;

	/* Locked before there is anything to read, so that nobody takes it for a dead one's. */
	err = journal_lock(fd, JOURNAL_LOCK_TOOL, 0);
	if (err < 0)
		return err;
	boot_id_read(header.boot_id);
	header.pid_ns = journal_pid_ns(getpid());
	header.checksum = header_checksum(&header);
	return write_all(fd, &header, sizeof(header));
}

/* A name that no journal has: a process that runs several plans may have left some that could not
 * be undone. */
static int name_find(int dirfd, uint64_t starttime, char ret_name[JOURNAL_NAME_MAX])
{
	for (unsigned int n = 0; n < 1000; n++) {
		snprintf(ret_name, JOURNAL_NAME_MAX, "%d-%llu%s%.0u" JOURNAL_SUFFIX, getpid(),
			 (unsigned long long)starttime, n ? "-" : "", n);
		if (faccessat(dirfd, ret_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
	}
	return -EEXIST;
}

int journal_create(int dirfd, char ret_name[JOURNAL_NAME_MAX], bool *ret_is_linked)
{
	const int flags = O_RDWR | O_APPEND | O_CLOEXEC;
	uint64_t starttime = journal_starttime(getpid());
	_cleanup_close_ int fd = -1;
	bool is_linked = false;
	int err;

	err = name_find(dirfd, starttime, ret_name);
	if (err < 0)
		return err;
	fd = openat(dirfd, ".", flags | O_TMPFILE, 0600);
	if (fd < 0) {
		/* Not every file system has files without a name. */
		fd = openat(dirfd, ret_name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
		is_linked = true;
	}
	if (fd < 0)
		return -errno;
	err = journal_begin(fd, starttime);
	if (err < 0 && is_linked)
		unlinkat(dirfd, ret_name, 0);
	if (err < 0)
		return err;
	*ret_is_linked = is_linked;
	return TAKE_FD(fd);
}

int journal_link(int fd, int dirfd, const char *name)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	/* A forked child was first. */
	if (errno == EEXIST && fstat(fd, &st) == 0 && st.st_nlink)
		return 0;
	return -errno;
}

int journal_create_in_memory(void)
{
	_cleanup_close_ int fd = memfd_create("criu-journal", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, O_APPEND) < 0)
		return -errno;
	err = journal_begin(fd, journal_starttime(getpid()));
	return err < 0 ? err : TAKE_FD(fd);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int journal_append(int fd, uint32_t id, const char *kind, const char *const *fields,
		   size_t n_fields)
{
	_cleanup_free_ struct record *record = NULL;
	size_t size = sizeof(*record) + strlen(kind) + 1;
	ssize_t n;
	char *at;

	if (n_fields > JOURNAL_FIELDS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n_fields; i++)
		size += strlen(fields[i]) + 1;
	size = round_up(size, 8);
	if (size > JOURNAL_RECORD_MAX)
		return -E2BIG;
	record = calloc(1, size);
	if (!record)
		return -ENOMEM;

	record->size = (uint32_t)size;
	record->id = id;
	record->n_fields = (uint32_t)n_fields;
	record->time_ns = now_ns();
	at = stpcpy((char *)(record + 1), kind) + 1;
	for (size_t i = 0; i < n_fields; i++)
		at = stpcpy(at, fields[i]) + 1;
	record->checksum = record_checksum(record);

	do
		n = write(fd, record, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOSPC;
}

/* Takes the strings of a record whose checksum is right. */
static bool record_parse(const struct record *record, struct journal_record *ret)
{
	const char *at = (const char *)(record + 1);
	const char *end = (const char *)record + record->size;
	const char *strings[1 + JOURNAL_FIELDS_MAX];

	if (record->n_fields > JOURNAL_FIELDS_MAX)
		return false;
	for (size_t i = 0; i < 1 + record->n_fields; i++) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (!nul)
			return false;
		strings[i] = at;
		at = nul + 1;
	}
	ret->id = record->id;
	ret->time_ns = record->time_ns;
	ret->kind = strings[0];
	ret->n_fields = record->n_fields;
	memcpy(ret->fields, strings + 1, record->n_fields * sizeof(*strings));
	return true;
}

static void record_forget(struct journal *journal, const struct journal_record *what)
{
	uint32_t id = what->n_fields ? (uint32_t)strtoul(what->fields[0], NULL, 10) : 0;

	for (size_t i = journal->n_records; i-- > 0;) {
		if (journal->records[i].id != id)
			continue;
		memmove(&journal->records[i], &journal->records[i + 1],
			(journal->n_records - i - 1) * sizeof(*journal->records));
		journal->n_records--;
		return;
	}
}

static void journal_parse(struct journal *journal, size_t size)
{
	size_t at = sizeof(struct header);

	while (at < size) {
		const struct record *record = (const struct record *)(journal->text + at);
		struct journal_record *next = &journal->records[journal->n_records];

		journal->is_torn = true;
		if (size - at < sizeof(*record) || record->size < sizeof(*record) ||
		    record->size % 8 || record->size > JOURNAL_RECORD_MAX ||
		    record->size > size - at || record->checksum != record_checksum(record) ||
		    !record_parse(record, next))
			return;
		journal->is_torn = false;
		at += record->size;

		if (strcmp(next->kind, JOURNAL_COMMIT) == 0)
			journal->n_records = 0;
		else if (strcmp(next->kind, JOURNAL_FORGET) == 0)
			record_forget(journal, next);
		else
			journal->n_records++;
	}
}

int journal_load(int fd, struct journal **ret)
{
	_cleanup_journal_ struct journal *journal = NULL;
	const struct header *header;
	char boot_id[BOOT_ID_SIZE];
	struct stat st;
	size_t size;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(*header) ||
	    st.st_size > (off_t)JOURNAL_SIZE_MAX)
		return -EBADMSG;
	size = (size_t)st.st_size;
	journal = calloc(1, sizeof(*journal));
	if (!journal)
		return -ENOMEM;
	journal->text = malloc(size);
	/* The record being parsed takes a place too, whatever it turns out to be. */
	journal->records = calloc(size / sizeof(struct record) + 1, sizeof(*journal->records));
	if (!journal->text || !journal->records)
		return -ENOMEM;
	err = pread_exact(fd, journal->text, size, 0);
	if (err < 0)
		return err;

	header = (const struct header *)journal->text;
	if (memcmp(header->magic, JOURNAL_MAGIC, sizeof(header->magic)) != 0 ||
	    header->version != JOURNAL_VERSION || header->checksum != header_checksum(header))
		return -EBADMSG;
	boot_id_read(boot_id);
	journal->pid = header->pid;
	journal->starttime = header->starttime;
	journal->pid_ns = header->pid_ns;
	journal->is_this_boot = memcmp(boot_id, header->boot_id, sizeof(boot_id)) == 0;
	journal_parse(journal, size);
	*ret = TAKE_PTR(journal);
	return 0;
}

bool journal_is_name(const char *name)
{
	size_t length = strlen(name), suffix = strlen(JOURNAL_SUFFIX);

	return length > suffix && strcmp(name + length - suffix, JOURNAL_SUFFIX) == 0;
}

bool journal_is_run_alive(const struct journal *journal)
{
	return journal->is_this_boot && journal_starttime(journal->pid) == journal->starttime;
}

static void sweep_one(int dirfd, const char *name)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_journal_ struct journal *journal = NULL;

	if (fd < 0 || journal_lock(fd, JOURNAL_LOCK_TOOL, 0) < 0 ||
	    journal_lock(fd, JOURNAL_LOCK_UNDO, 0) < 0 || journal_load(fd, &journal) < 0)
		return;
	if (!journal->n_records && !journal->is_torn && !journal_is_run_alive(journal))
		unlinkat(dirfd, name, 0);
}

void journal_sweep(int dirfd)
{
	_cleanup_closedir_ DIR *list = NULL;
	struct dirent *entry;
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	list = copy < 0 ? NULL : fdopendir(copy);
	if (!list && copy >= 0)
		close(copy);
	while (list && (entry = readdir(list)))
		if (journal_is_name(entry->d_name))
			sweep_one(dirfd, entry->d_name);
}

void journal_free(struct journal *journal)
{
	if (!journal)
		return;
	free(journal->records);
	free(journal->text);
	free(journal);
}

int journal_lock(int fd, off_t which, int timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000000};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = which, .l_len = 1};

	for (int waited = 0;; waited += 10) {
		if (fcntl(fd, F_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		if (waited >= timeout_ms)
			return -EAGAIN;
		nanosleep(&pause, NULL);
	}
}
