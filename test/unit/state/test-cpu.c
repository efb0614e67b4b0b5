/* SPDX-License-Identifier: GPL-2.0-only */
/* What a CPU has: FPU state from the kernel's XSAVE area to the message, restartable sequences, the
 * order of the tree. */
#include <linux/rseq.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/fpu.h"
#include "images/core-x86.pb-c.h"
#include "images/lib/image.h"
#include "task/rseq.h"
#include "task/task.h"

#define AREA_SIZE 2696

/* Offsets as on a CPU with AVX-512 and PKRU. */
static const struct xsave_layout layout = {
	.offset = {[XSAVE_YMM] = 576,
		   [XSAVE_OPMASK] = 1088,
		   [XSAVE_ZMM_HI256] = 1152,
		   [XSAVE_HI16_ZMM] = 1664,
		   [XSAVE_PKRU] = 2688},
};

static void fill_area(uint8_t *area, size_t size, uint64_t xcr0, uint64_t xstate_bv)
{
	for (size_t i = 0; i < size; i++)
		area[i] = (uint8_t)(i * 7);
	memcpy(area + 464, &xcr0, 8);
	if (size >= 520)
		memcpy(area + 512, &xstate_bv, 8);
}

static void test_fpu_all(void **state)
{
	uint8_t area[AREA_SIZE];
	UserX86FpregsEntry *e;
	uint32_t mxcsr;

	fill_area(area, sizeof(area), 0x2e7, 0x202);
	e = fpu_to_message(area, sizeof(area), &layout);
	memcpy(&mxcsr, area + 24, 4);
	assert_int_equal(e->mxcsr, mxcsr);
	assert_int_equal(e->twd, area[4] | area[5] << 8);
	assert_int_equal(e->n_st_space, 32);
	assert_memory_equal(e->st_space, area + 32, 128);
	assert_int_equal(e->n_xmm_space, 64);
	assert_memory_equal(e->xmm_space, area + 160, 256);
	assert_non_null(e->xsave);
	assert_int_equal(e->xsave->xstate_bv, 0x202);
	/* Components the CPU has are there, in use or not. */
	assert_int_equal(e->xsave->n_ymmh_space, 64);
	assert_memory_equal(e->xsave->ymmh_space, area + 576, 256);
	assert_int_equal(e->xsave->n_opmask_reg, 8);
	assert_int_equal(e->xsave->n_zmm_upper, 64);
	assert_int_equal(e->xsave->n_hi16_zmm, 128);
	assert_memory_equal(e->xsave->hi16_zmm, area + 1664, 1024);
	assert_int_equal(e->xsave->n_pkru, 2);
	/* Those it has not are not. */
	assert_int_equal(e->xsave->n_bndreg_state, 0);
	image_message_free(e);
}

static void test_fpu_disabled(void **state)
{
	uint8_t area[AREA_SIZE];
	UserX86FpregsEntry *e;

	/* The CPU has AVX-512, the kernel does not enable it. */
	fill_area(area, sizeof(area), 0x7, 0x7);
	e = fpu_to_message(area, sizeof(area), &layout);
	assert_int_equal(e->xsave->n_ymmh_space, 64);
	assert_int_equal(e->xsave->n_zmm_upper, 0);
	assert_int_equal(e->xsave->n_pkru, 0);
	image_message_free(e);
}

static void test_fpu_short(void **state)
{
	uint8_t area[600];
	UserX86FpregsEntry *e;

	/* An area that ends before a component does: nothing is read behind it. */
	fill_area(area, sizeof(area), 0x2e7, 0x7);
	e = fpu_to_message(area, sizeof(area), &layout);
	assert_int_equal(e->xsave->n_ymmh_space, 0);
	image_message_free(e);

	e = fpu_to_message(area, 512, &layout);
	assert_null(e->xsave);
	image_message_free(e);
}

static void test_fpu_this_cpu(void **state)
{
	struct xsave_layout own;

	xsave_layout_get(&own);
	/* Where there is AVX at all, it is where it always was. */
	assert_true(own.offset[XSAVE_YMM] == 0 || own.offset[XSAVE_YMM] == 576);
}

static void test_rseq(void **state)
{
	const struct rseq_section section = {
		.start_ip = 0x1000, .post_commit_offset = 0x20, .abort_ip = 0x2000};
	struct rseq_section kept = section;

	assert_int_equal(rseq_decide(0xfff, 0, &section), RSEQ_OUTSIDE);
	assert_int_equal(rseq_decide(0x1000, 0, &section), RSEQ_ABORT);
	assert_int_equal(rseq_decide(0x101f, 0, &section), RSEQ_ABORT);
	/* The instruction behind the last one: it is committed. */
	assert_int_equal(rseq_decide(0x1020, 0, &section), RSEQ_OUTSIDE);
	assert_int_equal(rseq_decide(0x2000, 0, &section), RSEQ_OUTSIDE);
	/* Either of the two flags will do; those for other interruptions do not. */
	assert_int_equal(rseq_decide(0x1010, RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL, &section),
			 RSEQ_KEEP);
	kept.flags = RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL;
	assert_int_equal(rseq_decide(0x1010, 0, &kept), RSEQ_KEEP);
	kept.flags = RSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE;
	assert_int_equal(rseq_decide(0x1010, 0, &kept), RSEQ_ABORT);
	kept.flags = RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL;
	assert_int_equal(rseq_decide(0x1020, 0, &kept), RSEQ_OUTSIDE);
}

static void test_tree(void **state)
{
	struct tree *tree = tree_new();
	struct task *root = tree_add_task(tree, NULL, 10, 1);
	struct task *a = tree_add_task(tree, root, 20, 3);
	struct task *deep = tree_add_task(tree, a, 5, 1);
	struct task *b = tree_add_task(tree, root, 15, 1);
	struct task *task;
	pid_t order[] = {10, 20, 5, 15};
	size_t n = 0;

	assert_ptr_equal(tree->root, root);
	tree_for_each_task (task, tree) {
		assert_int_equal(task->pid, order[n]);
		assert_int_equal(task->index, n);
		assert_ptr_equal(tree->by_index[n], task);
		n++;
	}
	assert_int_equal(n, 4);
	n = 0;
	task_for_each_child (task, root)
		assert_ptr_equal(task, n++ == 0 ? a : b);
	assert_int_equal(n, 2);
	assert_ptr_equal(deep->parent, a);
	assert_ptr_equal(a->threads[2].task, a);
	assert_ptr_equal(tree_find(tree, 5), deep);
	assert_null(tree_find(tree, 6));

	/* Numbers outside need not be those of the tree. */
	root->host_pid = 1010, a->host_pid = 1020, deep->host_pid = 20, b->host_pid = 1015;
	assert_ptr_equal(tree_find_host(tree, 1015), b);
	assert_ptr_equal(tree_find_host(tree, 20), deep);
	assert_null(tree_find_host(tree, 10));
	for (pid_t pid = 2000; pid < 2100; pid++)
		tree_add_task(tree, root, pid, 1);
	assert_int_equal(tree->n_tasks, 104);
	assert_int_equal(tree->by_index[103]->pid, 2099);
	tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fpu_all),   cmocka_unit_test(test_fpu_disabled),
		cmocka_unit_test(test_fpu_short), cmocka_unit_test(test_fpu_this_cpu),
		cmocka_unit_test(test_rseq),      cmocka_unit_test(test_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
