// SPDX-License-Identifier: GPL-2.0-only
/*
 * criu: reads the command line, then runs the command. All that the run knows
 * hangs off struct cr; the commands are in commands.def, the options in
 * options.def.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/option-table.h"
#include "cli/parse.h"
#include "cr.h"
#include "util/log.h"
#include "util/report.h"

/* An answer that nobody gets is none. Commands that say nothing on stdout have nothing to lose
 * there. */
static int stdout_finish(struct cr *cr, int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	log_err(cr, -errno, "stdout: write");
	return status ?: 1;
}

static int run(struct cr *cr, const struct command_line *line)
{
	int ret = 0;

	if (line->opts->help)
		help_print(stdout);
	else if (line->opts->version)
		printf("Version: %s\n", CRIU_VERSION);
	else
		ret = line->command->run(cr);
	return stdout_finish(cr, ret < 0 ? 1 : ret);
}

/* Whatever is opened would else take the number of one of those that are closed, and get what is
 * meant for that. */
static void open_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
	}
}

int main(int argc, char *argv[])
{
	struct cr cr = {.work_dir = -1};
	struct command_line line;
	int status = 1;

	open_standard_fds();
	cr.report = report_new();
	cr.log = log_new(cr.report);
	if (command_line_read(&cr, argc, argv, &line) == 0) {
		cr.opts = line.opts;
		log_set_level(cr.log, line.opts->log_level);
		status = run(&cr, &line);
	} else if (line.wants_usage) {
		help_print_usage(stdout);
	}
	log_free(cr.log);
	report_free(cr.report);
	options_free(line.opts);
	return status;
}
