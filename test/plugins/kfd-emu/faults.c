// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands that are written to "control", one a write:
 *
 *	fault OP KIND [node=NODE] [after=N] [times=N]
 *	clear			no faults any more; what hangs goes on
 *	forget			empties the log and its counts
 *	tick US			pause between two steps of what runs (1000)
 *	change-handle 0|1	whether GEM_CHANGE_HANDLE is let through (0)
 *	evict-each 0|1		whether each PROCESS_INFO evicts, as older kernels do (0)
 *	minor N			of the version of kfd
 *
 * OP: open, release, read, write, or an operation as the log names it; '*' is each of them.
 * NODE: kfd, renderD128, dmabuf. after: lets N pass first; times: strikes N, then no more; 0, as
 * without: always. KIND:
 *
 *	error:ERRNO	a number
 *	hang		until "clear", or until the caller gets a signal
 *	hang-hard	until "clear"; the caller cannot even be killed
 *	delay:MS
 *	kill:SIGNAL	sends it to the caller
 *	done:ERRNO	does it, then fails with that error
 *	short		of read: only half of what was asked for
 *	unsignalled	of cs: its fence never signals, nothing is copied
 *	bad-offset	of gem_mmap: what is mapped there has no pages
 *	no-dmabuf	of checkpoint, restore: dma-bufs that are not there
 *	gpu-id:ID	of checkpoint: the real id that is told
 *	more-devices	of process_info: one more than there are
 */
#include "emu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void faults_clear(struct emu *emu)
{
	struct fault *fault;

	while ((fault = emu->faults)) {
		emu->faults = fault->next;
		free(fault);
	}
}

static int parse_kind(struct fault *fault, const char *text)
{
	static const char *const kinds[] = {"error",  "hang",         "hang-hard",  "delay",
					    "done",   "short",        "kill",       "unsignalled",
					    "gpu-id", "more-devices", "bad-offset", "no-dmabuf"};
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strlen(kinds[i]) == length && strncmp(kinds[i], text, length) == 0) {
			snprintf(fault->kind, sizeof(fault->kind), "%s", kinds[i]);
			fault->value = colon ? strtoll(colon + 1, NULL, 0) : 0;
			return 0;
		}
	return -EINVAL;
}

static int fault_add(struct emu *emu, char *words)
{
	char *save, *op = strtok_r(words, " \n", &save), *kind = strtok_r(NULL, " \n", &save);
	struct fault *fault = calloc(1, sizeof(*fault)), **at = &emu->faults;
	char *word;

	if (!fault || !op || !kind || parse_kind(fault, kind) < 0)
		goto wrong;
	snprintf(fault->op, sizeof(fault->op), "%s", op);
	while ((word = strtok_r(NULL, " \n", &save)))
		if (sscanf(word, "node=%23s", fault->node) != 1 &&
		    sscanf(word, "after=%u", &fault->after) != 1 &&
		    sscanf(word, "times=%u", &fault->times) != 1)
			goto wrong;
	while (*at)
		at = &(*at)->next;
	*at = fault;
	return 0;
wrong:
	free(fault);
	return -EINVAL;
}

int command_run(struct emu *emu, const char *text)
{
	char words[256];
	unsigned int number;

	snprintf(words, sizeof(words), "%s", text);
	if (strncmp(words, "fault ", 6) == 0)
		return fault_add(emu, words + 6);
	if (sscanf(words, "tick %u", &number) == 1 && number) {
		emu->tick_us = number;
	} else if (sscanf(words, "change-handle %u", &number) == 1) {
		emu->may_change_handle = number != 0;
	} else if (sscanf(words, "evict-each %u", &number) == 1) {
		emu->is_evicting_each = number != 0;
	} else if (sscanf(words, "minor %u", &number) == 1) {
		emu->minor = number;
	} else if (strncmp(words, "clear", 5) == 0) {
		faults_clear(emu);
	} else if (strncmp(words, "forget", 6) == 0) {
		emu->log_size = emu->n_lines = emu->n_wrong = 0;
	} else {
		return -EINVAL;
	}
	return 0;
}

const struct fault *fault_strike(struct emu *emu, const char *op, const char *node,
				 const char *kind)
{
	for (struct fault *fault = emu->faults; fault; fault = fault->next) {
		if (fault->is_used_up || strcmp(fault->kind, kind) != 0 ||
		    (strcmp(fault->op, "*") != 0 && strcmp(fault->op, op) != 0) ||
		    strncmp(fault->node, node, strlen(fault->node)) != 0)
			continue;
		if (fault->after) {
			fault->after--;
			continue;
		}
		fault->is_used_up = fault->times && ++fault->struck == fault->times;
		return fault;
	}
	return NULL;
}

bool is_hanging(struct emu *emu)
{
	for (const struct fault *fault = emu->faults; fault; fault = fault->next)
		if (strncmp(fault->kind, "hang", 4) == 0)
			return true;
	return false;
}
