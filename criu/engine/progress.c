/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Progress on a terminal: one line on stderr that is written over and cleared at the end of the
 * step, for steps that take longer than a second. It is drawn by whoever works or waits
 * (progress_add, plan_wait_fd), only in the tool's own process, for there is no thread to spare for
 * it and forked tasks have other descriptors.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "engine/run-priv.h"
#include "run.h"
#include "util/time.h"

#define FIRST_US    1000000
#define INTERVAL_US 200000

static void line_write(const char *text, size_t size)
{
	/* A terminal that does not take it goes without. */
	if (write(STDERR_FILENO, text, size) < 0)
		return;
}

static void line_clear(struct run *run)
{
	if (run->has_line)
		line_write("\r\033[K", 4);
	run->has_line = false;
}

void progress_start(struct cr *cr, const char *step)
{
	struct run *run = cr->run;

	run->step = step;
	run->step_start_us = run->shown_us = time_now_us();
	run->total = run->amount = 0;
}

void progress_stop(struct cr *cr)
{
	line_clear(cr->run);
	cr->run->step = NULL;
}

static void line_draw(struct run *run, uint64_t now)
{
	uint64_t total = __atomic_load_n(&run->total, __ATOMIC_RELAXED);
	uint64_t amount = MIN(__atomic_load_n(&run->amount, __ATOMIC_RELAXED), total);
	unsigned int seconds = (unsigned int)((now - run->step_start_us) / 1000000);
	char text[80];
	int n;

	if (total)
		n = snprintf(text, sizeof(text), "\r%s: %u%%, %u s\033[K", run->step,
			     (unsigned int)((double)amount / (double)total * 100), seconds);
	else
		n = snprintf(text, sizeof(text), "\r%s: %u s\033[K", run->step, seconds);
	line_write(text, MIN((size_t)n, sizeof(text) - 1));
	run->has_line = true;
}

void progress_tick(struct cr *cr)
{
	struct run *run = cr->run;
	uint64_t now, shown;

	if (!run || !run->has_progress || !run->step)
		return;
	now = time_now_us();
	if (now - run->step_start_us < FIRST_US)
		return;
	shown = __atomic_load_n(&run->shown_us, __ATOMIC_RELAXED);
	/* Of the threads that come here at the same time, one draws. */
	if (now - shown < INTERVAL_US ||
	    !__atomic_compare_exchange_n(&run->shown_us, &shown, now, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	if (getpid() == run->owner)
		line_draw(run, now);
}

int progress_interval_ms(const struct cr *cr)
{
	return cr->run && cr->run->has_progress && cr->run->step ? INTERVAL_US / 1000 : -1;
}

void progress_set_total(struct cr *cr, uint64_t total)
{
	if (cr->run)
		__atomic_store_n(&cr->run->total, total, __ATOMIC_RELAXED);
}

void progress_add(struct cr *cr, uint64_t amount)
{
	if (!cr->run)
		return;
	__atomic_add_fetch(&cr->run->amount, amount, __ATOMIC_RELAXED);
	progress_tick(cr);
}
