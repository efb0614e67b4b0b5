// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protection keys: which are allocated (one in the middle is not), mappings with keys that allow
 * everything, only reading or nothing, one whose key was given back, private, shared and of a file;
 * memory that can only be executed, for which the kernel takes a key of its own; threads that may
 * do different things; a child that inherited all of it and changed it. Checked are contents, what
 * access does (SEGV_PKUERR with the number of the key), and which keys can be freed and allocated.
 */
#include "crtest.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define PAGE   4096
#define SIZE   (4 * PAGE)
#define N_KEYS 16

enum access {
	ALLOWED,
	READ_ONLY,
	DENIED,
};

/* The kernel gives the lowest key that is free. */
enum {
	KEY_OPEN = 1,
	KEY_EXEC_ONLY = 2, /* the kernel's */
	KEY_FREE = 3,      /* given back */
	KEY_READ = 4,
	KEY_CLOSED = 5,
	KEY_STALE = 6, /* given back, a mapping still has it */
	KEY_THREADS = 7,
};

static struct {
	int key;
	char *memory;
	bool is_shared;
} areas[] = {
	{KEY_OPEN, NULL, false},  {KEY_READ, NULL, false},    {KEY_CLOSED, NULL, false},
	{KEY_STALE, NULL, false}, {KEY_THREADS, NULL, false}, {KEY_OPEN, NULL, true},
	{KEY_CLOSED, NULL, true},
};

#define N_AREAS (sizeof(areas) / sizeof(areas[0]))

static char *code; /* can only be executed: returns 42 */
static const unsigned char code_bytes[] = {0xb8, 42, 0, 0, 0, 0xc3};

/* ---- what access does ---- */

static __thread sigjmp_buf back;
static __thread siginfo_t fault;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	fault = *info;
	siglongjmp(back, 1);
}

/* A signal handler begins with all keys closed, and a jump out of it leaves them so. */
static bool try(volatile char *at, bool writes)
{
	int rights[N_KEYS];

	for (int key = 1; key < N_KEYS; key++)
		rights[key] = pkey_get(key);
	if (sigsetjmp(back, 1)) {
		for (int key = 1; key < N_KEYS; key++)
			pkey_set(key, (unsigned int)rights[key]);
		return false;
	}
	if (writes)
		*at = *at;
	else
		(void)*at;
	return true;
}

static bool can_read(char *at)
{
	return try(at, false);
}

static bool can_write(char *at)
{
	return try(at, true);
}

static void check_fault(const char *what, int key)
{
	if (fault.si_code != SEGV_PKUERR || fault.si_pkey != (unsigned int)key)
		crtest_fail("%s: the fault has code %d and key %u, not key %d", what, fault.si_code,
			    fault.si_pkey, key);
	memset(&fault, 0, sizeof(fault));
}

static void check_access(const char *what, char *at, int key, enum access wanted)
{
	bool reads = can_read(at), writes;

	if (reads != (wanted != DENIED))
		crtest_fail("%s: key %d: reading is %s", what, key, reads ? "allowed" : "denied");
	if (!reads)
		check_fault(what, key);
	writes = reads && can_write(at);
	if (writes != (wanted == ALLOWED))
		crtest_fail("%s: key %d: writing is %s", what, key, writes ? "allowed" : "denied");
	if (reads && !writes)
		check_fault(what, key);
}

static void check_accesses(const char *who, enum access threads)
{
	char what[64];

	for (size_t i = 0; i < N_AREAS; i++) {
		int key = areas[i].key;

		snprintf(what, sizeof(what), "%s, area %zu", who, i);
		check_access(what, areas[i].memory + PAGE, key,
			     key == KEY_READ      ? READ_ONLY
			     : key == KEY_CLOSED  ? DENIED
			     : key == KEY_THREADS ? threads
						  : ALLOWED);
	}
}

/* Opens all that is closed, in this thread. */
static void check_contents(void)
{
	for (size_t i = 0; i < N_AREAS; i++) {
		pkey_set(areas[i].key, 0);
		for (size_t at = 0; at < SIZE; at++)
			if (areas[i].memory[at] != (char)(i + at / PAGE + at)) {
				crtest_fail("area %zu: byte %zu differs", i, at);
				break;
			}
	}
}

static void check_exec_only(void)
{
	bool reads = can_read(code);

	crtest_equal("what code that can only be executed returns", ((int (*)(void))code)(), 42);
	crtest_equal("code that can only be executed can be read", reads, false);
	if (!reads)
		check_fault("code that can only be executed", KEY_EXEC_ONLY);
	/* The kernel has to know the key for its own to take it away again. */
	if (mprotect(code, PAGE, PROT_READ) < 0 || !can_read(code))
		crtest_fail("code that can only be executed cannot be made readable");
	crtest_equal("freed the key of code that can only be executed", pkey_free(KEY_EXEC_ONLY),
		     -1);
}

static void check_allocated(const char *who, unsigned int wanted)
{
	int key;

	for (key = 1; key < N_KEYS; key++) {
		bool is_freed = pkey_free(key) == 0;

		if (is_freed != (wanted >> key & 1))
			crtest_fail("%s: key %d was %sallocated", who, key, is_freed ? "" : "not ");
	}
	for (key = 1; key < N_KEYS; key++)
		if (key != KEY_EXEC_ONLY && pkey_alloc(0, 0) != key)
			crtest_fail("%s: key %d is not the next one", who, key);
	crtest_equal("keys beyond the last", pkey_alloc(0, 0), -1);
}

/* ---- setting up ---- */

static void make_code(void)
{
	code = crtest_must(
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memcpy(code, code_bytes, sizeof(code_bytes));
	crtest_must(mprotect(code, PAGE, PROT_EXEC));
}

static void make_keys(void)
{
	for (int key = 1; key <= KEY_THREADS; key++) {
		if (key == KEY_EXEC_ONLY)
			make_code();
		else if (pkey_alloc(0, 0) != key)
			crtest_broken("allocate key %d", key);
	}
}

static void make_area(size_t i)
{
	int flags = MAP_ANONYMOUS | (areas[i].is_shared ? MAP_SHARED : MAP_PRIVATE);
	char *p = crtest_must(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, -1, 0));

	for (size_t at = 0; at < SIZE; at++)
		p[at] = (char)(i + at / PAGE + at);
	crtest_must(pkey_mprotect(p, SIZE, PROT_READ | PROT_WRITE, areas[i].key));
	areas[i].memory = p;
}

static void close_keys(void)
{
	pkey_set(KEY_READ, PKEY_DISABLE_WRITE);
	pkey_set(KEY_CLOSED, PKEY_DISABLE_ACCESS);
	crtest_must(pkey_free(KEY_FREE));
	crtest_must(pkey_free(KEY_STALE));
}

/* ---- threads ---- */

static pthread_barrier_t ready, go, done;

static void *thread(void *arg)
{
	enum access access = (enum access)(size_t)arg;

	pkey_set(KEY_THREADS, access == ALLOWED     ? 0
			      : access == READ_ONLY ? PKEY_DISABLE_WRITE
						    : PKEY_DISABLE_ACCESS);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	/* One at a time, as what fails is noted in one place. */
	for (enum access turn = ALLOWED; turn <= DENIED; turn++) {
		if (turn == access)
			check_accesses("thread", access);
		pthread_barrier_wait(&done);
	}
	return NULL;
}

/* ---- the child ---- */

static pid_t start_child(int ready_fd, int go_fd)
{
	pid_t pid = crtest_must(fork());
	char byte = 0;

	if (pid)
		return pid;
	/* It has one key less than its parent, and another one. */
	if (pkey_free(KEY_OPEN) < 0 || pkey_alloc(0, PKEY_DISABLE_WRITE) != KEY_OPEN ||
	    pkey_free(KEY_CLOSED) < 0 || pkey_alloc(0, 0) != KEY_FREE ||
	    write(ready_fd, "", 1) != 1)
		_exit(100);
	while (read(go_fd, &byte, 1) < 0 && errno == EINTR)
		;
	check_access("child", areas[0].memory, KEY_OPEN, READ_ONLY);
	check_access("child", areas[2].memory, KEY_CLOSED, DENIED);
	check_contents();
	check_exec_only();
	check_allocated("child",
			1u << KEY_OPEN | 1u << KEY_FREE | 1u << KEY_READ | 1u << KEY_THREADS);
	_exit(crtest_child_status());
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	int to_parent[2], to_child[2];
	pthread_t threads[3];
	pid_t child;
	char byte;

	crtest_begin(argc, argv);
	sigaction(SIGSEGV, &action, NULL);
	if (pkey_alloc(0, 0) < 0)
		crtest_skip("this machine has no protection keys: %s", strerror(errno));
	crtest_must(pkey_free(KEY_OPEN));
	crtest_must(pipe(to_parent));
	crtest_must(pipe(to_child));
	make_keys();
	for (size_t i = 0; i < N_AREAS; i++)
		make_area(i);
	close_keys();
	child = start_child(to_parent[1], to_child[0]);
	crtest_must(read(to_parent[0], &byte, 1));
	pthread_barrier_init(&ready, NULL, 4);
	pthread_barrier_init(&go, NULL, 4);
	pthread_barrier_init(&done, NULL, 4);
	for (size_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, thread, (void *)i);
	pthread_barrier_wait(&ready);

	crtest_wait();

	pthread_barrier_wait(&go);
	for (size_t i = 0; i < 3; i++)
		pthread_barrier_wait(&done);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	check_accesses("main", ALLOWED);
	check_contents();
	check_exec_only();
	check_allocated("process",
			1u << KEY_OPEN | 1u << KEY_READ | 1u << KEY_CLOSED | 1u << KEY_THREADS);
	crtest_must(write(to_child[1], "", 1));
	crtest_join("child", child);
	return crtest_end();
}
