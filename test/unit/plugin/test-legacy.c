/* SPDX-License-Identifier: GPL-2.0-only */
/* Stages that a plugin of v0.2 hears of: this program itself is the plugin, found by its symbols.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <dlfcn.h>
#include <unistd.h>
#include <cmocka.h>

#include "criu/criu-plugin.h"
#include "cr.h"
#include "options.h"
#include "plugin/legacy.h"
#include "plugin/plugin.h"
#include "plugin/priv.h"

static struct {
	int n_inits, n_exits, init_stage, exit_stage, ret, result;
} heard;

static int hear_init(int stage)
{
	heard.n_inits++;
	heard.init_stage = stage;
	return heard.result;
}

static void hear_exit(int stage, int ret)
{
	heard.n_exits++;
	heard.exit_stage = stage;
	heard.ret = ret;
}

CR_PLUGIN_REGISTER("unit", hear_init, hear_exit)

static char folder[] = "/tmp/criu-unit-XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

/* Begins an operation with this program as the only plugin. */
static int begin(struct cr *cr, struct options *opts, enum criu_operation operation, int result)
{
	int err;

	heard = (typeof(heard)){.result = result};
	*opts = (struct options){.libdir = folder};
	*cr = (struct cr){.opts = opts};
	err = plugins_load(cr, operation, PLUGINS_ALL);
	assert_int_equal(err, 0);
	err = legacy_add(cr, "unit.so", "/unit.so", dlopen(NULL, RTLD_NOW));
	assert_int_equal(err, 0);
	assert_int_equal(plugin_calls_start(cr), 0);
	return legacy_init(cr, NULL, 0);
}

static void check_stage(enum criu_operation operation, int stage)
{
	struct options opts;
	struct cr cr;

	assert_int_equal(begin(&cr, &opts, operation, 0), 0);
	assert_int_equal(heard.n_inits, 1);
	assert_int_equal(heard.init_stage, stage);
	assert_int_equal(heard.n_exits, 0);
	legacy_exit(&cr, -7);
	legacy_exit(&cr, 0);
	assert_int_equal(heard.n_exits, 1);
	assert_int_equal(heard.exit_stage, stage);
	assert_int_equal(heard.ret, -7);
	plugins_free(&cr);
	assert_int_equal(heard.n_exits, 1);
}

static void test_stage_dump(void **state)
{
	check_stage(CRIU_DUMP, CR_PLUGIN_STAGE__DUMP);
}

static void test_stage_pre_dump(void **state)
{
	check_stage(PLUGINS_PRE_DUMP, CR_PLUGIN_STAGE__PRE_DUMP);
}

static void test_stage_restore(void **state)
{
	check_stage(CRIU_RESTORE, CR_PLUGIN_STAGE__RESTORE);
}

/* Who has refused is not told of the end. */
static void test_refused(void **state)
{
	struct options opts;
	struct cr cr;

	assert_true(begin(&cr, &opts, PLUGINS_PRE_DUMP, -19) < 0);
	assert_int_equal(heard.init_stage, CR_PLUGIN_STAGE__PRE_DUMP);
	legacy_exit(&cr, -1);
	assert_int_equal(heard.n_exits, 0);
	plugins_free(&cr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stage_dump),
		cmocka_unit_test(test_stage_pre_dump),
		cmocka_unit_test(test_stage_restore),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
