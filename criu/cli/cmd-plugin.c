// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu plugin: what is loaded, in which order it would be handled, whether a file is a plugin that
 * this criu takes. Nothing is dumped or restored; no hook is called.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "compel/base/bits.h"
#include "options.h"
#include "cr.h"
#include "plugin/plugin.h"
#include "util/log.h"
#include "util/str.h"

static int list(struct cr *cr, const char *file)
{
	int err = plugins_load(cr, CRIU_DUMP, PLUGINS_ALL);

	if (!err)
		plugins_print_list(cr, stdout);
	return err;
}

static int explain(struct cr *cr, const char *file)
{
	static const enum criu_operation operations[] = {CRIU_DUMP, CRIU_RESTORE};

	for (size_t i = 0; i < 2; i++) {
		int err = plugins_load(cr, operations[i], PLUGINS_ALL);

		if (!err)
			err = plugins_settle(cr);
		if (!err)
			plugins_print_order(cr, stdout);
		if (err || i)
			return err;
		plugins_free(cr);
	}
	return 0;
}

static int check(struct cr *cr, const char *file)
{
	int err;

	if (!file) {
		log_refuse(cr, -EINVAL, "plugin check: which file is to be checked?");
		log_remedy(cr, "criu plugin check FILE.so");
		return -EINVAL;
	}
	err = plugins_load_file(cr, CRIU_DUMP, file);
	if (!err)
		err = plugins_settle(cr);
	if (err)
		return err;
	plugins_print_list(cr, stdout);
	printf("%s is all right.\n", file);
	return 0;
}

static const struct {
	const char *word;
	int (*run)(struct cr *cr, const char *file);
	bool takes_file;
} words[] = {
	{"list", list, false},
	{"explain", explain, false},
	{"check", check, true},
};

int cmd_plugin(struct cr *cr)
{
	const char *const *argv = cr->opts->exec_argv;
	const char *word = argv ? argv[0] : NULL;
	int ret = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(words) && word; i++) {
		if (!str_equal(words[i].word, word))
			continue;
		if (argv[1] && !words[i].takes_file)
			return log_refuse(cr, ret, "criu plugin %s: '%s' is one word too many",
					  word, argv[1]);
		ret = session_open_log(cr);
		if (ret == 0)
			ret = words[i].run(cr, argv[1]);
		plugins_free(cr);
		session_close_log(cr);
		fflush(stdout);
		return ret;
	}
	if (word)
		log_refuse(cr, ret, "plugin %s: no such word", word);
	else
		log_refuse(cr, ret, "plugin: what to do with them is missing");
	log_remedy(cr, "criu plugin list | explain | check FILE");
	return ret;
}
