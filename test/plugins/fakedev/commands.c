// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands that are written to "control", one a write:
 *
 *	fault OP KIND [node=NODE] [after=N] [times=N]
 *		OP: open, release, read, write, or an ioctl as the log names it; '*' is each of them
 *		KIND: error:ERRNO (a number), delay:MS, signal:N (to the caller), hang (until the
 *caller gets a signal), hang:hard (until "clear": not even a kill ends it) after: lets N pass
 *first; times: strikes N, then no more; 0, as without: always clear           no faults any more;
 *what hangs goes on forget          empties the log and its counts strict 0|1      1, at first:
 *only the very thread that traces counts as tracer tick MS         pause between two steps of what
 *runs (5)
 */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void faults_clear(struct device *device)
{
	struct fault *fault;

	while ((fault = device->faults)) {
		device->faults = fault->next;
		free(fault);
	}
}

static int parse_kind(struct fault *fault, const char *kind)
{
	fault->is_hard = strcmp(kind, "hang:hard") == 0;
	fault->is_hang = fault->is_hard || strcmp(kind, "hang") == 0;
	if (fault->is_hang || sscanf(kind, "error:%d", &fault->error) == 1 ||
	    sscanf(kind, "delay:%d", &fault->delay_ms) == 1 ||
	    sscanf(kind, "signal:%d", &fault->signal) == 1)
		return 0;
	return -EINVAL;
}

static int fault_add(struct device *device, char *words)
{
	char *save, *op = strtok_r(words, " \n", &save), *kind = strtok_r(NULL, " \n", &save);
	struct fault *fault = calloc(1, sizeof(*fault));
	struct fault **at = &device->faults;
	char *word;

	if (!fault || !op || !kind || parse_kind(fault, kind) < 0)
		goto wrong;
	snprintf(fault->op, sizeof(fault->op), "%s", op);
	while ((word = strtok_r(NULL, " \n", &save)))
		if (sscanf(word, "node=%15s", fault->node) != 1 &&
		    sscanf(word, "after=%u", &fault->after) != 1 &&
		    sscanf(word, "times=%u", &fault->times) != 1)
			goto wrong;
	/* A fault that is used up stays, with its error and so on gone. */
	while (*at)
		at = &(*at)->next;
	*at = fault;
	return 0;
wrong:
	free(fault);
	return -EINVAL;
}

int command_run(struct device *device, const char *text)
{
	char words[256];
	unsigned int number;

	snprintf(words, sizeof(words), "%s", text);
	if (strncmp(words, "fault ", 6) == 0)
		return fault_add(device, words + 6);
	if (sscanf(words, "strict %u", &number) == 1) {
		device->is_strict = number != 0;
		return 0;
	}
	if (sscanf(words, "tick %u", &number) == 1 && number) {
		device->tick_ms = number;
		return 0;
	}
	words[strcspn(words, "\n")] = 0;
	if (strcmp(words, "clear") == 0) {
		faults_clear(device);
		return 0;
	}
	if (strcmp(words, "forget") == 0) {
		device->log_size = device->n_events = device->n_wrong = 0;
		return 0;
	}
	return -EINVAL;
}

/* False if it lets this one pass. */
static bool strikes(struct fault *fault, const char *op, const char *node)
{
	if (strcmp(fault->op, "*") != 0 && strcmp(fault->op, op) != 0)
		return false;
	if (*fault->node && strcmp(fault->node, node) != 0)
		return false;
	if (fault->after) {
		fault->after--;
		return false;
	}
	if (fault->times && --fault->times == 0)
		snprintf(fault->op, sizeof(fault->op), "-");
	return true;
}

struct verdict faults_apply(struct device *device, const char *op, const char *node)
{
	struct verdict verdict = {0};

	for (struct fault *fault = device->faults; fault; fault = fault->next) {
		if (!strikes(fault, op, node))
			continue;
		verdict.delay_ms += fault->delay_ms;
		verdict.is_hang |= fault->is_hang;
		verdict.is_hard |= fault->is_hard;
		if (fault->error)
			verdict.error = fault->error;
		if (fault->signal)
			verdict.signal = fault->signal;
	}
	return verdict;
}
