// SPDX-License-Identifier: GPL-2.0-only
/* The tree of the topology as it is read: properties, banks, links, and what is hidden, missing or
 * no number. */
#include <errno.h>
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

#include "plugins/amdgpu/topology.h"

static char folder[] = "/tmp/test-topology-XXXXXX";
static struct topology topology;
static char why[TOPOLOGY_WHY];

static void run(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd %s && %s", folder, command);
	assert_int_equal(system(line), 0);
}

static int setup(void **state)
{
	strcpy(folder, "/tmp/test-topology-XXXXXX");
	assert_non_null(mkdtemp(folder));
	run("for n in 0 1 10 2; do mkdir -p nodes/$n/mem_banks/0 nodes/$n/io_links; echo 0 "
	    ">nodes/$n/gpu_id;"
	    " echo cpu_cores_count 8 >nodes/$n/properties; done");
	run("for n in 1 10 2; do echo 5$n >nodes/$n/gpu_id; done");
	run("printf 'simd_count 416\\nhive_id 18446744073709551615\\nunheard_of 7\\n' "
	    ">nodes/1/properties");
	run("mkdir nodes/1/mem_banks/1; echo heap_type 0 >nodes/1/mem_banks/0/properties");
	run("printf 'heap_type 2\\nsize_in_bytes 68702699520\\n' >nodes/1/mem_banks/1/properties");
	run("for n in 10 2; do printf 'heap_type 1\\nsize_in_bytes 42\\n' "
	    ">nodes/$n/mem_banks/0/properties; done");
	run("for l in 0:2:0 1:11:10 2:11:77 3:5:0; do mkdir nodes/1/io_links/${l%%:*};"
	    " echo $l | { IFS=: read a b c; printf \"type $b\\nnode_to $c\\n\"; } "
	    ">nodes/1/io_links/${l%%:*}/properties; done");
	return 0;
}

static int teardown(void **state)
{
	char line[128];

	topology_release(&topology);
	snprintf(line, sizeof(line), "rm -rf %s", folder);
	return system(line);
}

static void test_read(void **state)
{
	const struct topology_node *gpu;

	assert_int_equal(topology_read(folder, &topology, why), 0);
	assert_int_equal(topology.n_nodes, 4);
	assert_int_equal(topology_n_gpus(&topology), 3);
	/* By number, not by text. */
	assert_int_equal(topology.nodes[3].properties[PROPERTY_NODE_ID], 10);
	gpu = topology_by_gpu_id(&topology, 51);
	assert_non_null(gpu);
	assert_int_equal(gpu->properties[PROPERTY_SIMD_COUNT], 416);
	assert_true(gpu->properties[PROPERTY_HIVE_ID] == UINT64_MAX);
	/* The first bank that is the GPU's. */
	assert_true(gpu->properties[PROPERTY_VRAM_SIZE] == 68702699520ULL);
	assert_int_equal(gpu->properties[PROPERTY_VRAM_PUBLIC], 0);
	assert_int_equal(topology_by_gpu_id(&topology, 52)->properties[PROPERTY_VRAM_PUBLIC], 1);
	/* Not to a node that is not there, and not of other kinds. */
	assert_int_equal(gpu->n_links, 2);
	assert_int_equal(gpu->links[1].type, LINK_XGMI);
	assert_int_equal(gpu->links[1].to, 10);
	assert_null(topology_by_gpu_id(&topology, 50));
}

static void test_nowhere(void **state)
{
	assert_int_equal(topology_read("/nonexistent", &topology, why), -ENOENT);
}

static void test_broken(void **state)
{
	run("echo nothing >nodes/2/gpu_id");
	assert_int_equal(topology_read(folder, &topology, why), -EBADMSG);
	assert_non_null(strstr(why, "nodes/2"));
}

static void test_incomplete(void **state)
{
	run("rm nodes/2/properties");
	assert_int_equal(topology_read(folder, &topology, why), -EBADMSG);
	assert_non_null(strstr(why, "nodes/2"));
}

/* What a link leads to that cannot be followed is hidden. */
static void test_hidden(void **state)
{
	run("rm -r nodes/10; ln -s nowhere nodes/10");
	assert_int_equal(topology_read(folder, &topology, why), 0);
	assert_int_equal(topology.n_nodes, 3);
	assert_int_equal(topology_by_gpu_id(&topology, 51)->n_links, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_incomplete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
