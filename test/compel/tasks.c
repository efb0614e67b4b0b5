// SPDX-License-Identifier: GPL-2.0-only
/* Processes under test. See tasks.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "compel/compel.h"
#include "test/compel/tasks.h"

enum { PATIENCE_MS = 20000 };

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void nap(void)
{
	struct timespec t = {0, 1000000};

	nanosleep(&t, NULL);
}

static bool is_listed(const struct threads *threads, pid_t tid)
{
	for (unsigned int i = 0; i < threads->count; i++) {
		if (threads->tids[i] == tid)
			return true;
	}
	return false;
}

static void stop_one(struct threads *threads, pid_t tid)
{
	int err = compel_seize(tid, geteuid() == 0 ? COMPEL_SEIZE_SUSPEND_SECCOMP : 0);

	if (err == 0)
		err = compel_interrupt(tid);
	if (err < 0)
		die("thread %d: seize: %s", tid, strerror(-err));
	threads->tids[threads->count++] = tid;
}

void threads_stop(pid_t pid, struct threads *threads)
{
	char path[32];
	unsigned int before;

	threads->count = 0;
	stop_one(threads, pid);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	do {
		_cleanup_closedir_ DIR *dir = opendir(path);
		struct dirent *entry;

		before = threads->count;
		while (dir && (entry = readdir(dir))) {
			pid_t tid = atoi(entry->d_name);

			if (tid && !is_listed(threads, tid))
				stop_one(threads, tid);
		}
	} while (threads->count > before);
	for (unsigned int i = 0; i < threads->count; i++) {
		int err = compel_wait_stop(threads->tids[i], -1, NULL);

		if (err < 0)
			die("thread %d: stop: %s", threads->tids[i], strerror(-err));
	}
}

void threads_detach(const struct threads *threads, int signal)
{
	for (unsigned int i = 0; i < threads->count; i++) {
		int err = compel_detach(threads->tids[i], i == 0 ? signal : 0);

		if (err < 0)
			die("thread %d: detach: %s", threads->tids[i], strerror(-err));
	}
}

/* Resident sizes and the like are not in maps: it changes only if mappings do. */
static char *read_maps(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	size_t room = 1 << 20;
	char path[32], *text = calloc(1, room);

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f || !text)
		die("%s: %s", path, strerror(errno));
	if (fread(text, 1, room - 1, f) == room - 1)
		die("%s: too long for this test", path);
	return text;
}

static char *read_fds(pid_t pid)
{
	struct dirent **names;
	char path[320], target[256], *text = calloc(1, 65536);
	int n, at = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, names[i]->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		if (length > 0)
			at += snprintf(text + at, 65536 - at, "%s %.*s\n", names[i]->d_name,
				       (int)length, target);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return text;
}

void victim_start(struct victim *v, const char *program, const char *const *kinds)
{
	const char *argv[VICTIM_THREADS_MAX + 3] = {program};
	char path[32];
	int fd = memfd_create("report", 0);

	memset(v, 0, sizeof(*v));
	if (fd < 0 || ftruncate(fd, sizeof(*v->report)) < 0)
		die("memfd: %s", strerror(errno));
	v->report = mmap(NULL, sizeof(*v->report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	argv[1] = path;
	for (; kinds[v->nr_threads]; v->nr_threads++)
		argv[2 + v->nr_threads] = kinds[v->nr_threads];
	v->pid = fork();
	if (v->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(program, (char *const *)argv);
		_exit(127);
	}
	close(fd);
	for (int ms = 0; __atomic_load_n(&v->report->ready, __ATOMIC_SEQ_CST) < v->nr_threads;
	     ms++) {
		if (ms > PATIENCE_MS || waitpid(v->pid, NULL, WNOHANG) == v->pid)
			die("%s does not start", program);
		nap();
	}
	for (unsigned int i = 0; i < v->nr_threads; i++) {
		for (int ms = 0; v->report->rounds[i] < 2 && strcmp(kinds[i], "sleep") != 0; ms++)
			nap();
	}
	v->maps = read_maps(v->pid);
	v->fds = read_fds(v->pid);
}

void victim_stop(struct victim *v)
{
	kill(v->pid, SIGKILL);
	kill(v->pid, SIGCONT);
	waitpid(v->pid, NULL, 0);
	munmap(v->report, sizeof(*v->report));
	free(v->maps);
	free(v->fds);
}

static char state_of(pid_t pid)
{
	char path[32], text[512] = {0};
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		die("%s: %s", path, strerror(errno));
	fclose(f);
	return strrchr(text, ')')[2];
}

void wait_state(pid_t pid, char wanted)
{
	for (int ms = 0; state_of(pid) != wanted; ms++) {
		if (ms > 5000)
			die("state is %c, not %c", state_of(pid), wanted);
		usleep(1000);
	}
}

void victim_pause(struct victim *v)
{
	if (!v->is_kept_stopped)
		return;
	kill(v->pid, SIGSTOP);
	wait_state(v->pid, 'T');
}

void victim_continue(struct victim *v)
{
	if (!v->is_kept_stopped)
		return;
	wait_state(v->pid, 'T');
	kill(v->pid, SIGCONT);
}

void victim_signal(struct victim *v)
{
	union sigval value = {.sival_int = v->nr_sent++};

	if (sigqueue(v->pid, SIGRTMIN, value) < 0)
		die("sigqueue: %s", strerror(errno));
}

static bool same_as(char *is, const char *was)
{
	bool same = strcmp(is, was) == 0;

	free(is);
	return same;
}

/* Compares one line of each thread's status with what it must be. */
static bool threads_are(pid_t pid, const char *format, unsigned long wanted)
{
	struct dirent **names;
	char path[320], line[256];
	bool ok = true;
	int n;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		unsigned long value;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, names[i]->d_name);
		f = names[i]->d_name[0] == '.' ? NULL : fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, format, &value) == 1 && (value & ~(1UL << 33)) != wanted)
				ok = false;
		}
		if (f)
			fclose(f);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return ok;
}

static bool all_work_on(struct victim *v, const uint64_t *before)
{
	for (unsigned int i = 0; i < v->nr_threads; i++) {
		if (__atomic_load_n(&v->report->rounds[i], __ATOMIC_SEQ_CST) < before[i] + 2)
			return false;
	}
	return true;
}

static const char *complaint(struct victim *v, const uint64_t *before)
{
	if (v->report->failed)
		return v->report->text;
	if (!threads_are(v->pid, "TracerPid: %lu", 0))
		return "is traced";
	if (!same_as(read_maps(v->pid), v->maps))
		return "has other mappings";
	if (!same_as(read_fds(v->pid), v->fds))
		return "has other descriptors";
	if (!threads_are(v->pid, "SigBlk: %lx", 0))
		return "has signals blocked";
	if (v->report->signals != v->nr_sent)
		return "has not got all signals";
	if (!all_work_on(v, before))
		return "has a thread that does not get on";
	return NULL;
}

bool victim_is_well(struct victim *v)
{
	const char *what = NULL;
	uint64_t before[VICTIM_THREADS_MAX];

	memcpy(before, v->report->rounds, sizeof(before));
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		int status;

		if (waitpid(v->pid, &status, WNOHANG) == v->pid) {
			fprintf(stderr, "victim died: status %#x\n", status);
			return false;
		}
		what = complaint(v, before);
		if (!what || v->report->failed)
			break;
		nap();
	}
	if (what) {
		char *maps = read_maps(v->pid), *fds = read_fds(v->pid);

		fprintf(stderr, "victim %d %s\nmaps:\n%sfds:\n%s", v->pid, what, maps, fds);
		free(maps);
		free(fds);
	}
	return !what;
}
