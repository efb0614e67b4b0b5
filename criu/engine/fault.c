/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection by name, CRIU_FAIL_STEP: with it the tests fail, kill or interrupt a run at each
 * of its steps in turn. Names are those of the plan's steps and of the points it lists; another is
 * refused before the run begins, for a test that misspells one would pass for ever.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "engine/plan.h"
#include "engine/run-priv.h"
#include "run.h"
#include "util/log.h"

static const char *const mode_names[] = {
	[FAULT_BEFORE] = "",     [FAULT_AFTER] = "after",
	[FAULT_KILL] = "kill",   [FAULT_KILL_AFTER] = "kill-after",
	[FAULT_SIGNAL] = "term", [FAULT_STOP] = "stop",
};

static bool plan_has_name(const struct plan *plan, const char *name, bool *is_step)
{
	*is_step = true;
	for (size_t i = 0; i < plan->n_steps; i++) {
		if (strcmp(plan->steps[i].name, name) == 0)
			return true;
	}
	*is_step = false;
	for (const char *const *point = plan->points; point && *point; point++) {
		if (strcmp(*point, name) == 0)
			return true;
	}
	return false;
}

static void plan_list_names(const struct plan *plan, char *ret, size_t size)
{
	size_t at = 0;

	*ret = '\0';
	for (size_t i = 0; i < plan->n_steps && at < size; i++)
		at += (size_t)snprintf(ret + at, size - at, "%s%s", i ? ", " : "",
				       plan->steps[i].name);
	for (const char *const *point = plan->points; point && *point && at < size; point++)
		at += (size_t)snprintf(ret + at, size - at, "%s%s", at ? ", " : "", *point);
}

static int fault_parse_one(struct cr *cr, const struct plan *plan, const char *text, size_t length)
{
	struct fault *fault = &cr->run->faults[cr->run->n_faults];
	char word[FAULT_NAME_SIZE + 16], names[2048], *mode;
	bool is_step;
	size_t i;

	if (cr->run->n_faults == FAULTS_MAX || length >= sizeof(word))
		return log_refuse(cr, -EINVAL, "CRIU_FAIL_STEP: too long");
	memcpy(word, text, length);
	word[length] = '\0';
	mode = strchr(word, ':');
	if (mode)
		*mode++ = '\0';
	for (i = 0; i < ARRAY_SIZE(mode_names); i++) {
		if (strcmp(mode ? mode : "", mode_names[i]) == 0)
			break;
	}
	if (!plan_has_name(plan, word, &is_step) || strlen(word) >= sizeof(fault->name)) {
		plan_list_names(plan, names, sizeof(names));
		return log_refuse(cr, -EINVAL, "CRIU_FAIL_STEP: %s has no step \"%s\"; it has: %s",
				  plan->name, word, names);
	}
	if (i == ARRAY_SIZE(mode_names) ||
	    (!is_step && (i == FAULT_AFTER || i == FAULT_KILL_AFTER)))
		return log_refuse(cr, -EINVAL, "CRIU_FAIL_STEP: %s: \"%s\" is none of %sstop, kill",
				  word, mode, is_step ? "after, kill-after, term, " : "term, ");
	strcpy(fault->name, word);
	fault->mode = (enum fault_mode)i;
	cr->run->n_faults++;
	return 0;
}

int fault_parse(struct cr *cr, const struct plan *plan)
{
	const char *text = secure_getenv("CRIU_FAIL_STEP");
	int err = 0;

	while (text && *text && !err) {
		size_t length = strcspn(text, ",");

		if (length)
			err = fault_parse_one(cr, plan, text, length);
		text += length;
		text += *text == ',';
	}
	return err;
}

static int fault_find(struct cr *cr, const char *name, enum fault_mode fail, enum fault_mode die,
		      bool is_outliving)
{
	for (size_t i = 0; i < cr->run->n_faults; i++) {
		const struct fault *fault = &cr->run->faults[i];

		if (strcmp(fault->name, name) != 0)
			continue;
		if (fault->mode == die) {
			kill(cr->run->owner, SIGKILL);
			/* A task that is restored does not get any further. */
			if (!is_outliving)
				for (;;)
					pause();
		}
		if (fault->mode == FAULT_SIGNAL && fail == FAULT_BEFORE)
			kill(cr->run->owner, SIGTERM);
		if (fault->mode == FAULT_STOP && fail == FAULT_BEFORE)
			kill(cr->run->owner, SIGSTOP);
		if (fault->mode == fail)
			return log_refuse(cr, -EIO, "%s: failed on request (CRIU_FAIL_STEP)", name);
	}
	return 0;
}

int fault_step(struct cr *cr, const char *name, bool is_after)
{
	return is_after ? fault_find(cr, name, FAULT_AFTER, FAULT_KILL_AFTER, false)
			: fault_find(cr, name, FAULT_BEFORE, FAULT_KILL, false);
}

int fault_hit(struct cr *cr, const char *name)
{
	if (!cr->run || !cr->run->n_faults)
		return 0;
	return fault_find(cr, name, FAULT_BEFORE, FAULT_KILL, false);
}

int fault_hit_outliving(struct cr *cr, const char *name)
{
	if (!cr->run || !cr->run->n_faults)
		return 0;
	return fault_find(cr, name, FAULT_BEFORE, FAULT_KILL, true);
}
