// SPDX-License-Identifier: GPL-2.0-only
/* Which GPU takes the place of which: 1, 2, 4 and 8 GPUs, hives, PCIe, other ids and orders, what
 * is missing or smaller, and each switch. Topologies are built in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/amdgpu/topology.h"

enum { MAX = 32 };

struct machine {
	unsigned int cpus, gpus;
	unsigned int hives[8];      /* 0: none */
	unsigned int cpu_of[8];     /* node of the CPU */
	uint32_t ids[8];            /* 0: 1000 + number */
	enum topology_property set; /* of one GPU, if set_at is not 0 */
	unsigned int set_at;        /* number of the GPU, from 1 */
	uint64_t value;
};

static void link_both(struct topology *topology, size_t a, size_t b, uint32_t type)
{
	assert_int_equal(topology_add_link(&topology->nodes[a], type, (uint32_t)b), 0);
	assert_int_equal(topology_add_link(&topology->nodes[b], type, (uint32_t)a), 0);
}

static struct topology build(const struct machine *machine)
{
	struct topology topology = {0};

	for (unsigned int i = 0; i < machine->cpus + machine->gpus; i++) {
		struct topology_node *node = topology_add_node(&topology);

		assert_non_null(node);
		node->properties[PROPERTY_NODE_ID] = i;
		if (i < machine->cpus)
			continue;
		for (int j = PROPERTY_VENDOR_ID; j < N_PROPERTIES; j++)
			node->properties[j] = 100 + (uint64_t)j;
		node->properties[PROPERTY_GPU_ID] = machine->ids[i - machine->cpus]
							    ? machine->ids[i - machine->cpus]
							    : 1000 + i - machine->cpus;
		node->properties[PROPERTY_DRM_RENDER_MINOR] = 128 + i - machine->cpus;
		if (machine->set_at == i - machine->cpus + 1)
			node->properties[machine->set] = machine->value;
	}
	for (unsigned int i = 0; i < machine->gpus; i++) {
		link_both(&topology, machine->cpus + i, machine->cpu_of[i], LINK_PCIE);
		for (unsigned int j = 0; j < i; j++)
			if (machine->hives[i] && machine->hives[i] == machine->hives[j])
				link_both(&topology, machine->cpus + i, machine->cpus + j,
					  LINK_XGMI);
	}
	return topology;
}

/* The number of the GPU of `to` for each GPU of `from` into places; what topology_match() says. */
static int match(const struct machine *from, const struct machine *to, uint32_t checks,
		 unsigned int *places, char *why)
{
	struct topology old = build(from), new = build(to);
	struct topology_pair pairs[MAX];
	int err = topology_match(&old, &new, checks, pairs, why);

	for (unsigned int i = 0; !err && i < from->gpus; i++) {
		unsigned int at =
			(unsigned int)pairs[i].from->properties[PROPERTY_NODE_ID] - from->cpus;

		places[at] = (unsigned int)pairs[i].to->properties[PROPERTY_NODE_ID] - to->cpus;
	}
	topology_release(&old);
	topology_release(&new);
	return err;
}

static void expect_fit(const struct machine *from, const struct machine *to, uint32_t checks,
		       unsigned int *places)
{
	char why[TOPOLOGY_WHY];
	bool used[8] = {0};

	assert_int_equal(match(from, to, checks, places, why), 0);
	for (unsigned int i = 0; i < from->gpus; i++) {
		assert_false(used[places[i]]);
		used[places[i]] = true;
	}
}

static void expect_refused(const struct machine *from, const struct machine *to, uint32_t checks,
			   const char *text)
{
	unsigned int places[8];
	char why[TOPOLOGY_WHY];

	assert_int_equal(match(from, to, checks, places, why), -ENODEV);
	if (!strstr(why, text))
		fail_msg("it says: %s, not: %s", why, text);
}

static void test_same(void **state)
{
	for (unsigned int gpus = 1; gpus <= 8; gpus *= 2) {
		struct machine machine = {.cpus = 1, .gpus = gpus};
		unsigned int places[8];

		expect_fit(&machine, &machine, CHECK_ALL, places);
		for (unsigned int i = 0; i < gpus; i++)
			machine.hives[i] = 1;
		expect_fit(&machine, &machine, CHECK_ALL, places);
	}
}

static void test_ids(void **state)
{
	const struct machine from = {.cpus = 1,
				     .gpus = 2,
				     .ids = {7, 8},
				     .set = PROPERTY_DEVICE_ID,
				     .set_at = 1,
				     .value = 1};
	const struct machine to = {.cpus = 1,
				   .gpus = 2,
				   .ids = {8, 7},
				   .set = PROPERTY_DEVICE_ID,
				   .set_at = 2,
				   .value = 1};
	unsigned int places[8];

	expect_fit(&from, &to, CHECK_ALL, places);
	assert_int_equal(places[0], 1);
	assert_int_equal(places[1], 0);
}

/* Two hives of four; here their members are mixed. */
static void test_hives(void **state)
{
	const struct machine from = {.cpus = 1, .gpus = 8, .hives = {1, 1, 1, 1, 2, 2, 2, 2}};
	const struct machine to = {.cpus = 1, .gpus = 8, .hives = {1, 2, 1, 2, 1, 2, 1, 2}};
	unsigned int places[8];

	expect_fit(&from, &to, CHECK_ALL, places);
	for (unsigned int i = 1; i < 8; i++)
		assert_int_equal(places[i] % 2 == places[0] % 2, i < 4);
}

/* The first choice for the hive of two leads nowhere: the pair must come from the other hive. */
static void test_hives_back(void **state)
{
	const struct machine from = {.cpus = 1,
				     .gpus = 8,
				     .hives = {1, 1, 2, 2, 2, 3, 3, 3},
				     .set = PROPERTY_DEVICE_ID,
				     .set_at = 3,
				     .value = 1};
	const struct machine to = {.cpus = 1,
				   .gpus = 8,
				   .hives = {1, 1, 1, 3, 3, 3, 2, 2},
				   .set = PROPERTY_DEVICE_ID,
				   .set_at = 4,
				   .value = 1};
	unsigned int places[8];

	expect_fit(&from, &to, CHECK_ALL, places);
	assert_int_equal(places[2], 3);
	assert_true(places[0] >= 6 && places[1] >= 6);
}

static void test_hives_missing(void **state)
{
	const struct machine from = {.cpus = 1, .gpus = 4, .hives = {1, 1, 2, 2}};
	const struct machine one = {.cpus = 1, .gpus = 4, .hives = {1, 1, 0, 0}};
	const struct machine all = {.cpus = 1, .gpus = 4, .hives = {1, 1, 1, 1}};
	const struct machine pcie = {.cpus = 1, .gpus = 4};
	const struct machine wrong = {.cpus = 1, .gpus = 4, .hives = {1, 1, 1, 0}};
	const struct machine three = {.cpus = 1, .gpus = 4, .hives = {1, 1, 1, 1}};
	unsigned int places[8];

	expect_refused(&from, &one, CHECK_ALL, "number of XGMI groups: there were 2, here are 1");
	expect_refused(&from, &pcie, CHECK_ALL, "number of XGMI groups");
	expect_refused(&from, &all, CHECK_ALL, "number of XGMI groups");
	expect_refused(&three, &wrong, CHECK_ALL,
		       "io_links: no GPU that is left here has such XGMI links");
	/* Links that were not there are no harm. */
	expect_fit(&pcie, &all, CHECK_ALL, places);
}

static void test_count(void **state)
{
	const struct machine from = {.cpus = 1, .gpus = 2}, to = {.cpus = 1, .gpus = 1};

	expect_refused(&from, &to, CHECK_ALL, "number of GPUs: there were 2, here are 1");
	expect_refused(&to, &from, CHECK_ALL, "number of GPUs: there were 1, here are 2");
}

static void test_numa(void **state)
{
	const struct machine from = {.cpus = 2, .gpus = 4, .cpu_of = {0, 0, 1, 1}};
	const struct machine mixed = {.cpus = 2, .gpus = 4, .cpu_of = {0, 1, 0, 1}};
	const struct machine uneven = {.cpus = 2, .gpus = 4, .cpu_of = {0, 0, 0, 1}};
	unsigned int places[8];

	expect_fit(&from, &mixed, CHECK_ALL, places);
	assert_int_equal(places[0] % 2, places[1] % 2);
	assert_int_not_equal(places[0] % 2, places[2] % 2);
	expect_refused(&from, &uneven, CHECK_ALL, "io_links: no GPU here hangs on the same CPU");
	expect_fit(&from, &uneven, CHECK_ALL & ~(uint32_t)CHECK_NUMA, places);
}

static const struct {
	enum topology_property property;
	uint32_t check;
	bool may_grow;
} rules[] = {
	{PROPERTY_VENDOR_ID, 0, false},
	{PROPERTY_DEVICE_ID, 0, false},
	{PROPERTY_SIMD_COUNT, 0, false},
	{PROPERTY_MEM_BANKS_COUNT, 0, false},
	{PROPERTY_IO_LINKS_COUNT, 0, false},
	{PROPERTY_MAX_WAVES_PER_SIMD, 0, false},
	{PROPERTY_LDS_SIZE_IN_KB, 0, false},
	{PROPERTY_WAVE_FRONT_SIZE, 0, false},
	{PROPERTY_ARRAY_COUNT, 0, false},
	{PROPERTY_SIMD_ARRAYS_PER_ENGINE, 0, false},
	{PROPERTY_CU_PER_SIMD_ARRAY, 0, false},
	{PROPERTY_SIMD_PER_CU, 0, false},
	{PROPERTY_MAX_SLOTS_SCRATCH_CU, 0, false},
	{PROPERTY_NUM_SDMA_ENGINES, 0, false},
	{PROPERTY_NUM_SDMA_XGMI_ENGINES, 0, false},
	{PROPERTY_NUM_SDMA_QUEUES_PER_ENGINE, 0, false},
	{PROPERTY_NUM_CP_QUEUES, 0, false},
	{PROPERTY_VRAM_PUBLIC, 0, false},
	{PROPERTY_CAPABILITY, CHECK_CAPABILITY, false},
	{PROPERTY_VRAM_SIZE, CHECK_VRAM_SIZE, true},
	{PROPERTY_NUM_GWS, CHECK_NUM_GWS, true},
	{PROPERTY_CACHES_COUNT, CHECK_CACHES_COUNT, true},
	{PROPERTY_FW_VERSION, CHECK_FW_VERSION, true},
	{PROPERTY_SDMA_FW_VERSION, CHECK_SDMA_FW_VERSION, true},
};

/* Each property, smaller and larger than it was; what it says; each switch. */
static void test_properties(void **state)
{
	const struct machine from = {.cpus = 1, .gpus = 2};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		struct machine to = {.cpus = 1, .gpus = 2, .set = rules[i].property, .set_at = 2};
		uint64_t old = 100 + (uint64_t)rules[i].property;
		unsigned int places[8];
		char text[128];

		to.value = old - 1;
		snprintf(text, sizeof(text), "GPU 0x3e8 (node 1): %s was %llu, here it is",
			 topology_property_name(rules[i].property), (unsigned long long)old);
		/* One of the two still fits: so the links say it; with one GPU, the property does.
		 */
		to.gpus = 1;
		to.set_at = 1;
		expect_refused(&(struct machine){.cpus = 1, .gpus = 1}, &to, CHECK_ALL, text);
		if (rules[i].check)
			expect_fit(&(struct machine){.cpus = 1, .gpus = 1}, &to,
				   CHECK_ALL & ~rules[i].check, places);
		to.value = old + 1;
		if (rules[i].may_grow)
			expect_fit(&(struct machine){.cpus = 1, .gpus = 1}, &to, CHECK_ALL, places);
		else
			expect_refused(&(struct machine){.cpus = 1, .gpus = 1}, &to, CHECK_ALL,
				       text);
		to = (struct machine){.cpus = 1,
				      .gpus = 2,
				      .set = rules[i].property,
				      .set_at = 2,
				      .value = old - 1};
		expect_refused(&from, &to, CHECK_ALL, "no GPU that is left here");
	}
}

/* The one that comes first of two that do not fit. */
static void test_first_misfit(void **state)
{
	const struct machine from = {
		.cpus = 1, .gpus = 1, .set = PROPERTY_WAVE_FRONT_SIZE, .set_at = 1, .value = 32};
	const struct machine to = {
		.cpus = 1, .gpus = 1, .set = PROPERTY_SIMD_COUNT, .set_at = 1, .value = 7};

	expect_refused(&from, &to, CHECK_ALL, "simd_count was");
}

/* 8 equal GPUs that cannot be placed: it ends. */
static void test_hopeless(void **state)
{
	const struct machine from = {.cpus = 4, .gpus = 8, .cpu_of = {0, 0, 1, 1, 2, 2, 3, 3}};
	const struct machine to = {.cpus = 4, .gpus = 8, .cpu_of = {0, 0, 0, 1, 2, 2, 3, 3}};

	expect_refused(&from, &to, CHECK_ALL, "io_links");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),          cmocka_unit_test(test_ids),
		cmocka_unit_test(test_hives),         cmocka_unit_test(test_hives_back),
		cmocka_unit_test(test_hives_missing), cmocka_unit_test(test_count),
		cmocka_unit_test(test_numa),          cmocka_unit_test(test_properties),
		cmocka_unit_test(test_first_misfit),  cmocka_unit_test(test_hopeless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
