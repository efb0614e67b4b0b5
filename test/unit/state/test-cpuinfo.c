// SPDX-License-Identifier: GPL-2.0-only
/* What is compared of the CPU on restore, and what this CPU says of itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/cpuinfo.h"
#include "images/cpuinfo.pb-c.h"
#include "images/lib/image.h"
#include "options.h"

#define ALL (CPU_CAP_CPU | CPU_CAP_FPU | CPU_CAP_INS)

static CpuinfoEntry *dumped, *own;
static char why[200];

static int setup(void **state)
{
	dumped = cpuinfo_get();
	own = cpuinfo_get();
	why[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	image_message_free(dumped);
	image_message_free(own);
	return 0;
}

static int compare(unsigned int caps)
{
	return cpuinfo_compare(dumped, own, caps, why, sizeof(why));
}

static void the_same(void **state)
{
	const CpuinfoX86Entry *e = own->x86_entry[0];

	assert_int_equal(compare(ALL), 0);
	assert_int_equal(e->n_capability, 19);
	/* Every x86-64 has these: FPU, SSE2 and long mode. */
	assert_true(e->capability[0] & 1 && e->capability[0] & 1u << 26);
	assert_true(e->capability[1] & 1u << 29);
}

static void an_instruction_less(void **state)
{
	dumped->x86_entry[0]->capability[9] |= 1u << 5;
	own->x86_entry[0]->capability[9] &= ~(1u << 5);
	assert_int_equal(compare(CPU_CAP_FPU), 0);
	assert_int_equal(compare(CPU_CAP_INS), -ENOTSUP);
	assert_non_null(strstr(why, "avx2"));
}

static void an_instruction_more(void **state)
{
	dumped->x86_entry[0]->capability[9] &= ~(1u << 5);
	own->x86_entry[0]->capability[9] |= 1u << 5;
	assert_int_equal(compare(CPU_CAP_FPU | CPU_CAP_INS), 0);
	assert_int_equal(compare(CPU_CAP_CPU), -ENOTSUP);
}

static void another_model(void **state)
{
	dumped->x86_entry[0]->model++;
	assert_int_equal(compare(CPU_CAP_FPU | CPU_CAP_INS), 0);
	assert_int_equal(compare(CPU_CAP_CPU), -ENOTSUP);
	assert_non_null(strstr(why, "another CPU"));
}

static void another_extended_state(void **state)
{
	dumped->x86_entry[0]->xfeatures_mask |= 1ull << 40;
	assert_int_equal(compare(CPU_CAP_INS), 0);
	assert_int_equal(compare(CPU_CAP_FPU), -ENOTSUP);
	dumped->x86_entry[0]->xfeatures_mask = own->x86_entry[0]->xfeatures_mask;
	dumped->x86_entry[0]->has_xsave_size = true;
	dumped->x86_entry[0]->xsave_size = own->x86_entry[0]->xsave_size + 64;
	assert_int_equal(compare(CPU_CAP_FPU), -ENOTSUP);
	assert_non_null(strstr(why, "bytes"));
}

static void damaged(void **state)
{
	const size_t n = dumped->n_x86_entry;

	dumped->x86_entry[0]->n_capability = 18;
	assert_int_equal(compare(ALL), -EBADMSG);
	dumped->n_x86_entry = 0;
	assert_int_equal(compare(ALL), -EBADMSG);
	dumped->n_x86_entry = n;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same),      TEST(an_instruction_less),    TEST(an_instruction_more),
		TEST(another_model), TEST(another_extended_state), TEST(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
