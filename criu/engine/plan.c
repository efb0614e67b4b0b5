/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The plan runner. It alone knows how a run goes: which step is on, how long each took, whether it
 * is to fail, and what is to be undone. While it runs, cr->run is there, signals cancel, and
 * SIGPIPE and SIGXFSZ are ignored (a peer that goes away, or a file that may not grow, is an error
 * to its writer). If memory runs out the
 * process ends at once: then the kernel detaches the tasks, and the guardian undoes the rest.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cr.h"
#include "engine/guardian.h"
#include "engine/plan.h"
#include "engine/run-priv.h"
#include "util/alloc.h"
#include "util/log.h"
#include "util/report.h"
#include "util/time.h"

static void run_out_of_memory(void *arg, size_t size)
{
	struct cr *cr = arg;
	struct run *run = cr->run;

	log_err(cr, -ENOMEM, "memory: %zu bytes", size);
	if (run && getpid() == run->owner)
		log_failure(cr->log, "run");
	_exit(1);
}

static int run_start(struct cr *cr, const struct plan *plan)
{
	void *at = mmap(NULL, sizeof(struct run), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err;

	if (at == MAP_FAILED)
		return log_err(cr, -errno, "run: shared memory");
	cr->run = at;
	cr->run->owner = getpid();
	cr->run->has_progress = cr->log && log_fd(cr->log) != STDERR_FILENO &&
				log_has_level(cr->log, LOG_ERROR) && isatty(STDERR_FILENO);
	err = fault_parse(cr, plan);
	if (!err)
		err = cancel_start(cr);
	if (err < 0) {
		munmap(at, sizeof(struct run));
		cr->run = NULL;
		return err;
	}
	alloc_set_handler(run_out_of_memory, cr);
	return 0;
}

static void run_stop(struct cr *cr)
{
	alloc_set_handler(NULL, NULL);
	cancel_stop(cr);
	(void)plan_give_back_limits(cr);
	munmap(cr->run, sizeof(struct run));
	cr->run = NULL;
}

/* -ECANCELED, logged, if a signal stopped the run. */
static int cancelled(struct cr *cr)
{
	return log_refuse(cr, -ECANCELED, "interrupted by SIG%s",
			  sigabbrev_np((int)cr->run->signal));
}

static int step_run(struct cr *cr, const struct step *step)
{
	uint64_t start = time_now_us(), bytes = report_bytes_get(cr->report), took;
	int err;

	log_debug(cr, "step %s", step->name);
	progress_start(cr, step->name);
	err = step->run(cr);
	progress_stop(cr);
	took = time_now_us() - start;
	bytes = report_bytes_get(cr->report) - bytes;
	report_step_add(cr->report, step->name, took, bytes);
	/* A step may pass -ECANCELED on unlogged; or have stumbled over what the signal
	 * interrupted. */
	if (err < 0 && plan_is_cancelled(cr) && !report_cause_get(cr->report))
		return cancelled(cr);
	if (err < 0 && cr->report && !report_cause_get(cr->report))
		return log_err(cr, err, "step %s", step->name);
	if (err < 0)
		return err;
	if (bytes)
		log_info(cr, "%s: %llu us, %llu bytes", step->name, (unsigned long long)took,
			 (unsigned long long)bytes);
	else
		log_info(cr, "%s: %llu us", step->name, (unsigned long long)took);
	return 0;
}

/* What stands between the runner and the step. */
static int step_may_run(struct cr *cr, const struct plan *plan, const struct step *step)
{
	int err;

	if (plan_is_cancelled(cr))
		return cancelled(cr);
	if (step->is_final && !cr->run->is_deaf)
		cancel_deafen(cr);
	err = guardian_check(cr);
	if (err >= 0)
		err = fault_step(cr, step->name, false);
	return err >= 0 && plan->check ? plan->check(cr) : err;
}

/* *ret_has_run even if it failed half-way. */
static int step_pass(struct cr *cr, const struct plan *plan, const struct step *step,
		     bool *ret_has_run)
{
	int err;

	report_set_stage(cr->report, step->name);
	err = step_may_run(cr, plan, step);
	*ret_has_run = err >= 0;
	if (err >= 0)
		err = step_run(cr, step);
	if (err >= 0)
		err = fault_step(cr, step->name, true);
	if (err >= 0 || !cr->run->is_committed)
		return err;
	log_warn(cr, "step %s: failed after the run had succeeded: nothing is taken back",
		 step->name);
	report_cause_demote(cr->report);
	return 0;
}

void plan_commit(struct cr *cr)
{
	cr->run->is_committed = true;
}

/* Undoes the steps below n. */
static void steps_undo(struct cr *cr, const struct plan *plan, size_t n)
{
	cancel_deafen(cr);
	while (n-- > 0) {
		if (!plan->steps[n].undo)
			continue;
		log_debug(cr, "undo %s", plan->steps[n].name);
		plan->steps[n].undo(cr);
	}
}

int plan_run(struct cr *cr, const struct plan *plan)
{
	size_t n_run = 0;
	int err;

	err = run_start(cr, plan);
	if (err < 0)
		return err;

	for (size_t i = 0; i < plan->n_steps && err >= 0; i++) {
		bool has_run;

		err = step_pass(cr, plan, &plan->steps[i], &has_run);
		n_run = i + has_run;
	}
	/* The signal that came with the last step still counts, unless that was final. */
	if (err >= 0 && plan_is_cancelled(cr))
		err = cancelled(cr);

	if (err < 0) {
		steps_undo(cr, plan, n_run);
	} else {
		cancel_deafen(cr);
		while (n_run-- > 0) {
			if (plan->steps[n_run].done)
				plan->steps[n_run].done(cr);
		}
	}
	run_stop(cr);
	return err < 0 ? err : 0;
}
