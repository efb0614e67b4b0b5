// SPDX-License-Identifier: GPL-2.0-only
/* criu-options: --link-remap */
/*
 * Three processes, twenty threads that compute: each goes on writing and checking memory of its own
 * and holds general and vector registers across a loop. Open: a file at an offset, one without a
 * name, one whose name was removed but not its link, a pipe with data. The file "board" shows from
 * outside, while it runs, whether all is well: struct board.
 */
#include "crtest.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PROCESSES 3
#define THREADS   20
#define SIZE      (256 << 10)
#define WORDS     (SIZE / sizeof(uint64_t))
#define VECTORS   16

struct board {
	uint64_t failures;
	uint64_t laps[THREADS];
	uint64_t stop;
};

/* By parts of the tree, the first has the main threads of all. */
static const int threads_of[PROCESSES] = {8, 7, 5};

static struct board *board;
static int regular, ghost, linked, ends[2];

struct registers {
	uint64_t vector[VECTORS][4];
	uint64_t general[8];
};

#define LOAD(insn, reg, n) insn " 32*" #n "(%[in]), %%" reg #n "\n\t"
#define SAVE(insn, reg, n) insn " %%" reg #n ", 32*" #n "(%[out])\n\t"
#define ALL(do, insn, reg)                                                                     \
	do                                                                                     \
	(insn, reg, 0) do(insn, reg, 1) do(insn, reg, 2) do(insn, reg, 3) do(insn, reg, 4) do( \
		insn, reg,                                                                     \
		5) do(insn, reg,                                                               \
		      6) do(insn, reg,                                                         \
			    7) do(insn, reg,                                                   \
				  8) do(insn, reg,                                             \
					9) do(insn, reg,                                       \
					      10) do(insn, reg,                                \
						     11) do(insn, reg,                         \
							    12) do(insn, reg,                  \
								   13) do(insn, reg,           \
									  14) do(insn, reg, 15)
#define GENERAL(do) \
	do          \
	(8, 0) do(9, 1) do(12, 2) do(13, 3) do(14, 4) do(15, 5)
#define LOAD_R(r, n) "mov 512+8*" #n "(%[in]), %%r" #r "\n\t"
#define SAVE_R(r, n) "mov %%r" #r ", 512+8*" #n "(%[out])\n\t"
#define HOLD(insn, reg)                                                                            \
	__asm__ volatile(ALL(LOAD, insn, reg)                                                      \
				 GENERAL(LOAD_R) "1: dec %[n]\n\tjnz 1b\n\t" ALL(SAVE, insn, reg)  \
					 GENERAL(SAVE_R)                                           \
			 : [n] "+r"(laps)                                                          \
			 : [in] "r"(in), [out] "r"(out)                                            \
			 : "memory", "cc", "r8", "r9", "r12", "r13", "r14", "r15", "xmm0", "xmm1", \
			   "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",         \
			   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

static void hold(const struct registers *in, struct registers *out, long laps)
{
	if (__builtin_cpu_supports("avx"))
		HOLD("vmovdqu", "ymm");
	else
		HOLD("movdqu", "xmm");
}

static void fail(const char *what, int thread)
{
	fprintf(stderr, "thread %d: %s\n", thread, what);
	fflush(stderr);
	__atomic_add_fetch(&board->failures, 1, __ATOMIC_SEQ_CST);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
	return x ^ (x >> 29);
}

static void check_registers(int thread, uint64_t seed)
{
	struct registers in, out;
	size_t vector = __builtin_cpu_supports("avx") ? 32 : 16;

	for (size_t i = 0; i < sizeof(in) / sizeof(uint64_t); i++)
		((uint64_t *)&in)[i] = mix(seed + i);
	out = in;
	memset(out.general, 0, 6 * sizeof(uint64_t));
	for (int i = 0; i < VECTORS; i++)
		memset(out.vector[i], 0, vector);
	hold(&in, &out, 100000);
	if (memcmp(&in, &out, sizeof(in)) != 0)
		fail("registers", thread);
}

static void check_files(int thread)
{
	char text[16] = "";
	struct stat st;
	int waiting = 0;

	if (lseek(regular, 0, SEEK_CUR) != 3 || pread(regular, text, 7, 0) != 7 ||
	    strcmp(text, "regular") != 0)
		fail("regular file", thread);
	if (fstat(ghost, &st) < 0 || st.st_nlink != 0 || pread(ghost, text, 7, 0) != 7 ||
	    memcmp(text, "nowhere", 7) != 0)
		fail("file without a name", thread);
	if (fstat(linked, &st) < 0 || st.st_nlink < 1 || pread(linked, text, 7, 0) != 7 ||
	    memcmp(text, "another", 7) != 0)
		fail("file with another name", thread);
	if (ioctl(ends[0], FIONREAD, &waiting) < 0 || waiting != 5)
		fail("pipe", thread);
}

static void *work(void *arg)
{
	int thread = (int)(intptr_t)arg;
	uint64_t *memory =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = (uint64_t)thread << 32;

	if (memory == MAP_FAILED) {
		fail("memory", thread);
		return NULL;
	}
	for (size_t i = 0; i < WORDS; i++)
		memory[i] = mix(seed + i);
	while (!__atomic_load_n(&board->stop, __ATOMIC_SEQ_CST)) {
		for (size_t i = 0; i < WORDS; i++) {
			if (memory[i] != mix(seed + i)) {
				fail("memory", thread);
				break;
			}
			memory[i] = mix(seed + 1 + i);
		}
		seed++;
		check_registers(thread, seed);
		check_files(thread);
		__atomic_add_fetch(&board->laps[thread], 1, __ATOMIC_SEQ_CST);
		/* The first computes without a pause, the others let others run. */
		if (thread)
			crtest_sleep_ms(2 + thread % 5);
	}
	return NULL;
}

static pthread_t *start(int first, int n)
{
	pthread_t *threads = calloc((size_t)n, sizeof(*threads));

	for (int i = 1; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)(first + i)) != 0)
			crtest_broken("thread");
	return threads;
}

static void end(pthread_t *threads, int n)
{
	for (int i = 1; i < n; i++)
		pthread_join(threads[i], NULL);
}

static int child(int first, int n)
{
	pthread_t *threads = start(first, n);

	work((void *)(intptr_t)first);
	end(threads, n);
	return 0;
}

static void open_files(void)
{
	int fd = crtest_must(open("board", O_RDWR | O_CREAT, 0600));

	crtest_must(ftruncate(fd, sizeof(*board)));
	board = crtest_must(mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	regular = crtest_must(open("regular", O_RDWR | O_CREAT, 0600));
	crtest_must(write(regular, "regular", 7));
	crtest_must(lseek(regular, 3, SEEK_SET));
	ghost = crtest_must(open("ghost", O_RDWR | O_CREAT, 0600));
	crtest_must(write(ghost, "nowhere", 7));
	crtest_must(unlink("ghost"));
	linked = crtest_must(open("linked", O_RDWR | O_CREAT, 0600));
	crtest_must(write(linked, "another", 7));
	crtest_must(link("linked", "other-name"));
	crtest_must(unlink("linked"));
	crtest_must(pipe(ends));
	crtest_must(write(ends[1], "data!", 5));
}

int main(int argc, char **argv)
{
	pid_t children[PROCESSES];
	pthread_t *threads, worker;
	int first = threads_of[0];

	crtest_begin(argc, argv);
	open_files();
	for (int i = 1; i < PROCESSES; i++) {
		children[i] = crtest_must(fork());
		if (children[i] == 0)
			_exit(child(first, threads_of[i]));
		first += threads_of[i];
	}
	/* The main thread talks, so it has a worker less. */
	threads = start(0, threads_of[0] - 1);
	if (pthread_create(&worker, NULL, work, (void *)0) != 0)
		crtest_broken("thread");
	for (int i = 0; i < THREADS; i++)
		while (i != threads_of[0] - 1 &&
		       !__atomic_load_n(&board->laps[i], __ATOMIC_SEQ_CST))
			crtest_sleep_ms(1);

	crtest_wait();

	__atomic_store_n(&board->stop, 1, __ATOMIC_SEQ_CST);
	end(threads, threads_of[0] - 1);
	pthread_join(worker, NULL);
	for (int i = 1; i < PROCESSES; i++)
		crtest_join("child", children[i]);
	crtest_equal("failures", board->failures, 0);
	return crtest_end();
}
