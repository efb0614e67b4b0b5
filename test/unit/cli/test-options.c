// SPDX-License-Identifier: GPL-2.0-only
/*
 * The option table and its readers: every row is sound, values are read and
 * refused as documented, sources override each other in order, and what is not
 * ready is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/commands.h"
#include "cli/option-kinds.h"
#include "cli/parse.h"
#include "cr.h"
#include "util/log.h"
#include "util/report.h"

static struct cr cr;
static struct command_line line;

/* Parses the words of text as a command line; what was refused is in
 * last_error(). */
static int parse(const char *text)
{
	static char buf[4096];
	char *words[64] = {"criu"}, *rest = buf, *word;
	int n = 1;

	options_free(line.opts);
	log_free(cr.log);
	report_free(cr.report);
	cr.report = report_new();
	cr.log = log_new(cr.report);
	log_set_level(cr.log, 0);
	snprintf(buf, sizeof(buf), "%s", text);
	while ((word = strsep(&rest, " ")))
		if (*word)
			words[n++] = word;
	return command_line_read(&cr, n, words, &line);
}

static const char *last_error(void)
{
	const struct report_cause *cause = report_cause_get(cr.report);

	return cause ? cause->text : "";
}

static void assert_refused(const char *text, const char *with)
{
	assert_true(parse(text) < 0);
	if (!strstr(last_error(), with))
		fail_msg("criu %s: refused with '%s', not '%s'", text, last_error(), with);
}

static void assert_taken(const char *text)
{
	if (parse(text) != 0)
		fail_msg("criu %s: refused with '%s'", text, last_error());
}

static void test_rows_are_sound(void **state)
{
	for (size_t i = 0; i < option_table_size; i++) {
		const struct option_spec *spec = &option_table[i];
		struct options *opts = options_new();

		for (size_t k = i + 1; k < option_table_size; k++) {
			assert_string_not_equal(spec->name, option_table[k].name);
			if (spec->short_name)
				assert_int_not_equal(spec->short_name, option_table[k].short_name);
		}
		assert_non_null(spec->kind->read);
		assert_true(*spec->help);
		assert_true(spec->commands != 0);
		assert_true((spec->kind->argument == ARGUMENT_NONE) == (*spec->argument == '\0'));
		if (spec->has_no_form)
			assert_int_equal(spec->kind->argument, ARGUMENT_NONE);
		/* What an error says is accepted: never nothing, except where any text is.
		 */
		if (!spec->kind->accepts && spec->kind->argument != ARGUMENT_NONE)
			assert_true(*spec->values || spec->kind == &option_kinds[KIND_STRING]);
		parse("check");
		if (*spec->standard)
			assert_int_equal(option_set(&cr, opts, spec,
						    spec->kind->argument ? spec->standard : NULL,
						    false),
					 0);
		options_free(opts);
	}
}

static void test_defaults(void **state)
{
	assert_taken("dump -t 1");
	assert_string_equal(line.opts->images_dir, ".");
	assert_string_equal(line.opts->work_dir, ".");
	assert_int_equal(line.opts->log_level, 2);
	assert_int_equal(line.opts->timeout, 10);
	assert_int_equal(line.opts->ghost_limit, 1 << 20);
	assert_true(line.opts->ghost_fiemap);
	assert_int_equal(line.opts->file_validation, FILE_VALIDATION_BUILDID);
	assert_int_equal(line.opts->network_lock, NETWORK_LOCK_IPTABLES);
	assert_int_equal(line.opts->manage_cgroups, CGROUP_MODE_SOFT);
	assert_int_equal(line.opts->cpu_cap, CPU_CAP_FPU | CPU_CAP_INS);
	assert_int_equal(line.opts->ps_socket, -1);
	assert_int_equal(line.opts->status_fd, -1);
	assert_null(line.opts->log_file);
}

static void test_order_and_abbreviation(void **state)
{
	assert_taken("-t 7 --leave-r -D a dump -o log -W b --ghost-l 4K");
	assert_int_equal(line.opts->tree, 7);
	assert_true(line.opts->leave_running);
	assert_string_equal(line.opts->images_dir, "a");
	assert_string_equal(line.opts->work_dir, "b");
	assert_string_equal(line.opts->log_file, "log");
	assert_int_equal(line.opts->ghost_limit, 4096);
	assert_int_equal(line.command->bit, CMD_DUMP);
	assert_refused("dump -t 1 --leave", "could be --leave-running, --leave-stopped");
	assert_taken("restore -dS");
	assert_true(line.opts->restore_detached && line.opts->restore_sibling);
}

static void test_verbosity(void **state)
{
	static const struct {
		const char *text;
		int level;
	} cases[] = {
		{"check -v", 3},          {"check -vv", 4},    {"check -vvv", 5},
		{"check -v4", 4},         {"check -v0", 0},    {"check --verbosity=1", 1},
		{"check --verbosity", 3}, {"check -v0 -v", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_taken(cases[i].text);
		assert_int_equal(line.opts->log_level, cases[i].level);
	}
	assert_refused("check -vx", "--verbosity: 'x' is not accepted; give a level, 0 or more");
}

static void test_no_forms(void **state)
{
	assert_taken("dump -t 1 --shell-job --no-shell-job --no-ghost-fiemap");
	assert_false(line.opts->shell_job);
	assert_false(line.opts->ghost_fiemap);
	/* Taken back before it could matter that it is not ready. */
	assert_taken("dump -t 1 --tcp-established --no-tcp-established");
	assert_refused("dump -t 1 --no-leave-running", "--no-leave-running: no such option");
	assert_refused("dump -t 1 --shell-job=1", "--shell-job: takes no argument");
}

static void test_usage_errors(void **state)
{
	assert_refused("", "no command");
	assert_true(line.wants_usage);
	assert_refused("foo", "foo: no such command");
	assert_true(line.wants_usage);
	assert_refused("dump -t 1 more", "'more' is one word too many");
	assert_true(line.wants_usage);
	assert_refused("dump --foo", "--foo: no such option");
	assert_true(line.wants_usage);
	assert_refused("dump -Z", "-Z: no such option");
	assert_refused("dump -t 1 --=x", "--=x: no such option");
	assert_refused("dump -t 1 --cpu-cap cpu", "'cpu' is one word too many");
	assert_string_equal(report_cause_get(cr.report)->remedy,
			    "if it belongs to the option: --cpu-cap=cpu");
	assert_refused("dump -t", "--tree: needs an argument: PID");
	assert_taken("dump --foo -h");
	assert_true(line.opts->help);
	assert_taken("-V");
	assert_true(line.opts->version);
}

static void test_together(void **state)
{
	assert_refused("dump", "--tree: not given");
	assert_refused("restore -d --exec-cmd -- prog", "--exec-cmd: cannot be used together");
	assert_refused("restore --exec-cmd", "--exec-cmd: needs a command");
	assert_refused("restore -S", "--restore-sibling: makes sense only");
	assert_refused("restore prog", "'prog' is one word too many");
	assert_taken("restore --exec-cmd -- prog -h --foo");
	assert_string_equal(line.opts->exec_argv[0], "prog");
	assert_string_equal(line.opts->exec_argv[2], "--foo");
	assert_null(line.opts->exec_argv[3]);
	assert_false(line.opts->help);
	assert_taken("dump -t 1 -R -s");
	assert_true(line.opts->leave_stopped && !line.opts->leave_running);
	/* Without effect, but accepted. */
	assert_taken("restore -t 5");
	assert_taken("check --tcp-established");
}

static void test_not_ready(void **state)
{
	assert_refused("dump -t 1 --lazy-pages", "--lazy-pages: lazy migration");
	assert_refused("restore --external veth[eth0]:out", "--external veth[eth0]:out: dumping");
	assert_refused("pre-dump -t 1", "criu pre-dump: incremental dumps");
	assert_taken("dump -t 1 --cpu-cap");
	assert_int_equal(line.opts->cpu_cap,
			 CPU_CAP_CPU | CPU_CAP_FPU | CPU_CAP_INS | CPU_CAP_IMAGE);
	assert_taken("restore --cpu-cap=all,^fpu");
	assert_int_equal(line.opts->cpu_cap, CPU_CAP_CPU | CPU_CAP_INS | CPU_CAP_IMAGE);
	assert_refused("cpuinfo dump --cpu-cap", "criu cpuinfo: is not supported");
	assert_refused("check --ms", "--ms: was removed");
	assert_false(line.wants_usage);
}

static void test_values_refused(void **state)
{
	static const char *const cases[] = {
		"--tree 0",
		"--tree -1",
		"--tree abc",
		"--tree 1x",
		"--tree 99999999999",
		"--timeout x",
		"--timeout -1",
		"--ghost-limit 1X",
		"--ghost-limit K",
		"--ghost-limit 99999999999999999999",
		"--ghost-limit 99999999999G",
		"--file-validation md5",
		"--network-lock foo",
		"--manage-cgroups=foo",
		"--cpu-cap=foo",
		"--cpu-cap=cpu,",
		"--external foo",
		"--external foo[1]:2",
		"--external file[1",
		"--inherit-fd 1:x",
		"--inherit-fd fd[x]:y",
		"--inherit-fd fd[1]:",
		"--inherit-fd fd[1]",
		"--irmap-scan-path rel",
		"--port 0",
		"--port 65536",
		"--empty-ns pid",
		"--join-ns pid:1",
		"--join-ns net:",
		"--lsm-profile x:y",
		"--veth-pair a",
		"--cgroup-root rel",
		"--cgroup-root :/x",
		"--plugin-opt x=y",
		"--plugin-opt .x=y",
		"--plugin-opt a.=y",
		"--plugin-opt x",
		"--plugin-opt x=y.z",
		"--ext-mount-map x",
		"--pre-dump-mode x",
		"--enable-fs a,,b",
		"--ext-unix-sk=1,x",
		"--close x",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256], name[64];

		snprintf(text, sizeof(text), "dump -t 1 %s", cases[i]);
		snprintf(name, sizeof(name), "%.*s: '", (int)strcspn(cases[i], " ="), cases[i]);
		assert_refused(text, name);
		assert_non_null(strstr(last_error(), "is not accepted; give "));
	}
	assert_refused("restore --inherit-fd fd[999]:x",
		       "--inherit-fd: 'fd[999]:x': Bad file descriptor");
}

static void test_values_taken(void **state)
{
	const struct options *o;

	assert_taken("dump -t 1 --ghost-limit 2g --manage-cgroups --cpu-cap=all,none "
		     "--external file[a1:2b] "
		     "--external tty[8:0] --timeout 0 --irmap-scan-path /a "
		     "--irmap-scan-path /b --network-lock none --plugin-opt a.b");
	o = line.opts;
	assert_int_equal(o->ghost_limit, 2ull << 30);
	assert_int_equal(o->manage_cgroups, CGROUP_MODE_SOFT);
	assert_true(o->manage_cgroups_given);
	assert_int_equal(o->network_lock, NETWORK_LOCK_NONE);
	assert_int_equal(o->cpu_cap, 0);
	assert_int_equal(o->external.n, 2);
	assert_string_equal(o->external.items[0].text, "file[a1:2b]");
	assert_string_equal(o->external.items[0].type, "file");
	assert_string_equal(o->external.items[0].id, "a1:2b");
	assert_null(o->external.items[0].value);
	assert_int_equal(o->timeout, 0);
	assert_int_equal(o->irmap_scan_path.n, 2);
	assert_string_equal(o->irmap_scan_path.items[1], "/b");

	assert_taken("restore --inherit-fd fd[1]:pipe:[77] --inherit-fd "
		     "debug[2]:hello --manage-cgroups=ignore --cpu-cap=none");
	o = line.opts;
	assert_int_equal(o->inherit_fd.n, 2);
	assert_int_equal(o->inherit_fd.items[0].fd, 1);
	assert_string_equal(o->inherit_fd.items[0].key, "pipe:[77]");
	assert_true(o->inherit_fd.items[1].is_debug);
	assert_int_equal(o->manage_cgroups, CGROUP_MODE_IGNORE);
	assert_int_equal(o->cpu_cap, 0);
}

static void test_config_lines(void **state)
{
	static const struct {
		const char *line, *name, *argument, *wrong;
	} cases[] = {
		{"", NULL, NULL, NULL},
		{"  # comment", NULL, NULL, NULL},
		{"shell-job", "shell-job", NULL, NULL},
		{"\tshell-job  # why", "shell-job", NULL, NULL},
		{"log-file a.log", "log-file", "a.log", NULL},
		{"log-file\ta.log#x", "log-file", "a.log", NULL},
		{"log-file \"a b\" # c", "log-file", "a b", NULL},
		{"log-file \"a \\\"b\\\" #\"", "log-file", "a \"b\" #", NULL},
		{"log-file \"\"", "log-file", "", NULL},
		{"log-file a b", "log-file", "a", "more than one argument"},
		{"log-file \"a", "log-file", NULL, "a quote is not closed"},
		{"log-file \"a\"b", "log-file", NULL, "something follows a closing quote"},
		{"v 4\r", "v", "4", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name, *argument, *wrong;
		char text[64];

		snprintf(text, sizeof(text), "%s", cases[i].line);
		wrong = config_line_read(text, &name, &argument);
		assert_true(!wrong == !cases[i].wrong);
		if (wrong) {
			assert_string_equal(wrong, cases[i].wrong);
			assert_string_equal(name, cases[i].name);
			continue;
		}
		assert_true(!name == !cases[i].name && !argument == !cases[i].argument);
		if (name)
			assert_string_equal(name, cases[i].name);
		if (argument)
			assert_string_equal(argument, cases[i].argument);
	}
}

static char *file_make(const char *text)
{
	static char names[4][32];
	static int next;
	char *name = names[next++ % 4];
	int fd;

	strcpy(name, "/tmp/test-options-XXXXXX");
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return name;
}

static void test_sources(void **state)
{
	char *named = file_make("timeout 20\nghost-limit 5\nirmap-scan-path "
				"/one\nlog-file \"named log\"\n");
	char *config = file_make("timeout 30\nirmap-scan-path "
				 "/two\nno-ghost-fiemap\nmanage-cgroups none\nshell-j\n");
	char *wrong = file_make("\nshell-job\ntimeout 1 2\n");
	char *dashes = file_make("--shell-job");
	char text[256];

	setenv("CRIU_CONFIG_FILE", named, 1);
	snprintf(text, sizeof(text), "dump -t 1 --timeout 40 --irmap-scan-path /three --config %s",
		 config);
	assert_taken(text);
	assert_int_equal(line.opts->timeout, 40);
	assert_int_equal(line.opts->ghost_limit, 5);
	assert_string_equal(line.opts->log_file, "named log");
	assert_int_equal(line.opts->manage_cgroups, CGROUP_MODE_NONE);
	assert_true(line.opts->shell_job && !line.opts->ghost_fiemap);
	assert_int_equal(line.opts->irmap_scan_path.n, 3);
	assert_string_equal(line.opts->irmap_scan_path.items[0], "/one");
	assert_string_equal(line.opts->irmap_scan_path.items[2], "/three");
	unsetenv("CRIU_CONFIG_FILE");

	snprintf(text, sizeof(text), "dump -t 1 --config %s", config);
	assert_taken(text);
	assert_int_equal(line.opts->timeout, 30);
	snprintf(text, sizeof(text), "dump -t 1 --config %s", wrong);
	assert_refused(text, "timeout: more than one argument");
	snprintf(text, sizeof(text), "dump -t 1 --config %s", dashes);
	assert_refused(text, "--shell-job: options stand here without the dashes");
	assert_taken("dump -t 1 --config /nonexistent/file");
	unlink(named);
	unlink(config);
	unlink(wrong);
	unlink(dashes);
}

static int teardown(void **state)
{
	options_free(line.opts);
	log_free(cr.log);
	report_free(cr.report);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_sound),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_order_and_abbreviation),
		cmocka_unit_test(test_verbosity),
		cmocka_unit_test(test_no_forms),
		cmocka_unit_test(test_usage_errors),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_not_ready),
		cmocka_unit_test(test_values_refused),
		cmocka_unit_test(test_values_taken),
		cmocka_unit_test(test_config_lines),
		cmocka_unit_test(test_sources),
	};

	setenv("HOME", "/nonexistent", 1);
	return cmocka_run_group_tests(tests, NULL, teardown);
}
