// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that are in restartable critical sections nearly all the time: each adds to a counter of
 * its CPU without atomics. Were one taken out of its section and put back into the middle of it, an
 * addition would be lost.
 */
#include "crtest.h"

#include <linux/rseq.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define N_THREADS 3
#define N_CPUS    1024
#define SIGNATURE 0x53053053

/* glibc registers one for each thread; this is how it tells where. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static struct {
	uint64_t n;
	char padding[56];
} counters[N_CPUS];
static uint64_t totals[N_THREADS];
static volatile int is_over;

static struct rseq *own_rseq(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* 0: added; else it was interrupted. A long section, so that stops are likely to find it. */
static int add(struct rseq *rs, uint32_t cpu)
{
	uint64_t *at = &counters[cpu].n;

	__asm__ goto(".pushsection __rseq_cs, \"aw\"\n\t"
		     ".balign 32\n\t"
		     "3: .long 0, 0\n\t"
		     ".quad 1f, (2f - 1f), 4f\n\t"
		     ".popsection\n\t"
		     "leaq 3b(%%rip), %%rax\n\t"
		     "movq %%rax, %c[section](%[rs])\n"
		     "1:\n\t"
		     "cmpl %[cpu], %c[cpu_id](%[rs])\n\t"
		     "jnz 4f\n\t"
		     "movq (%[at]), %%rax\n\t"
		     "movl $2000, %%ecx\n"
		     "5:\n\t"
		     "decl %%ecx\n\t"
		     "jnz 5b\n\t"
		     "addq $1, %%rax\n\t"
		     "movq %%rax, (%[at])\n"
		     "2:\n\t"
		     ".pushsection __rseq_failure, \"ax\"\n\t"
		     ".byte 0x0f, 0xb9, 0x3d\n\t"
		     ".long %c[signature]\n"
		     "4:\n\t"
		     "jmp %l[aborted]\n\t"
		     ".popsection\n\t"
		     :
		     : [rs] "r"(rs), [at] "r"(at), [cpu] "r"(cpu), [section] "i"(8),
		       [cpu_id] "i"(4), [signature] "i"(SIGNATURE)
		     : "memory", "cc", "rax", "rcx"
		     : aborted);
	return 0;
aborted:
	return 1;
}

static void *run(void *arg)
{
	struct rseq *rs = own_rseq();
	size_t me = (size_t)arg;

	while (!is_over) {
		while (add(rs, __atomic_load_n(&rs->cpu_id_start, __ATOMIC_RELAXED)))
			;
		totals[me]++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[N_THREADS];
	uint64_t sum = 0, total = 0;

	crtest_begin(argc, argv);
	if (!&__rseq_size || !__rseq_size)
		crtest_skip("no restartable sequences here");
	for (size_t i = 0; i < N_THREADS; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)i))
			crtest_broken("pthread_create");
	crtest_wait();
	is_over = 1;
	for (size_t i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
		total += totals[i];
	}
	for (size_t i = 0; i < N_CPUS; i++)
		sum += counters[i].n;
	crtest_true(total > 0);
	crtest_equal("sum of the counters", (long long)sum, (long long)total);
	return crtest_end();
}
