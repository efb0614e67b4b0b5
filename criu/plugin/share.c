// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the processes of a restore wait for each other. Everything that can end a wait changes the
 * generation under the lock; a waiter writes down what it waits for, looks whether that is there,
 * and reads the generation under the same lock, then sleeps on the generation as it was: what
 * happens between is not lost. As all waits are written down, the last to fall asleep sees that
 * nobody is left to wake it: who runs, and who waits for what is there by now and only has not
 * woken yet, keeps the others waiting; when there is neither, all waits end with -EDEADLK.
 *
 * The lock is a futex with its owner in it. A process that is killed may have it: the coordinator,
 * told of the death, fails the restore first, so that nothing relies on what the lock protects,
 * and then takes it from the dead. Robust mutexes would not do: processes made by clone3(2) have
 * no robust list, and threads in different pid namespaces have the same ids.
 */
#include "plugin/share-priv.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/futex.h"
#include "util/log.h"

#define LOCK_WANTED  (1u << 31)
#define LOCK_LOOK_MS 100 /* a coordinator that waits longer looks whether the owner is alive */
#define ROOM         ((size_t)64 << 20)

/* ---- the lock ---- */

/* Only the coordinator can tell, which has a name for every process and collects the dead: the
 * others rely on it. */
static bool is_dead(const struct share *share, size_t i)
{
	pid_t pid = share->self == share->n - 1 ? share->places[i].host_pid : 0;
	_cleanup_close_ int fd = pid ? pidfd_new(pid) : -1;
	struct pollfd ended = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return pid && fd == -ESRCH;
	return poll(&ended, 1, 0) == 1;
}

void share_lock(struct share *share)
{
	struct futex *lock = &share->shared->lock;
	uint32_t self = (uint32_t)share->self + 1, mine = self, now;

	for (;;) {
		now = 0;
		if (__atomic_compare_exchange_n(&lock->word, &now, mine, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return;
		if (!(now & LOCK_WANTED) &&
		    !__atomic_compare_exchange_n(&lock->word, &now, now | LOCK_WANTED, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		/* Others may sleep as well: who was woken has to go on waking. */
		mine = self | LOCK_WANTED;
		if (futex_wait(lock, now | LOCK_WANTED, LOCK_LOOK_MS) == -ETIMEDOUT &&
		    is_dead(share, (now & ~LOCK_WANTED) - 1))
			share_participant_died(share, (now & ~LOCK_WANTED) - 1);
	}
}

void share_unlock(struct share *share)
{
	struct futex *lock = &share->shared->lock;

	if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) & LOCK_WANTED)
		futex_wake(lock, 1);
}

void share_changed(struct share *share)
{
	futex_add_wake(&share->shared->generation, 1);
}

/* ---- the end ---- */

/* The first outcome stays. */
static void end(struct share *share, uint32_t outcome)
{
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&share->shared->outcome.word, &none, outcome, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		futex_wake(&share->shared->outcome, INT32_MAX);
	share_changed(share);
}

void share_fail(struct share *share)
{
	end(share, ECANCELED);
}

int share_outcome(const struct share *share)
{
	return -(int)futex_get(&share->shared->outcome);
}

const char *share_chain(const struct share *share)
{
	return share_outcome(share) == -EDEADLK ? share->shared->chain : "";
}

void share_participant_died(struct share *share, size_t i)
{
	struct futex *lock = &share->shared->lock;
	uint32_t now;

	end(share, ECANCELED);
	now = futex_get(lock);
	while ((now & ~LOCK_WANTED) == i + 1)
		if (__atomic_compare_exchange_n(&lock->word, &now, 0, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE)) {
			futex_wake(lock, INT32_MAX);
			return;
		}
}

/* ---- what a wait waits for; all with the lock ---- */

/* 0 when all have come, -ECANCELED when one cannot come any more, 1 before. */
static int barrier_state(const struct share *share, size_t index)
{
	const uint8_t *pending = share->pending + index * share->n;
	int state = 0;

	for (size_t i = 0; i < share->n; i++) {
		if (pending[i] != 1)
			continue;
		if (share->places[i].state == SHARE_LEFT)
			return -ECANCELED;
		state = 1;
	}
	return state;
}

/* 0: it is there; 1: not yet; -ECANCELED. */
static int wait_state(struct share *share, const struct share_wait *wait)
{
	switch (wait->kind) {
	case SHARE_WAIT_KEY:
		return share_find(share, wait->plugin, wait->text) == NULL;
	case SHARE_WAIT_CLASS:
		return share->left[wait->index] != 0;
	case SHARE_WAIT_BARRIER:
		return barrier_state(share, wait->index);
	case SHARE_WAIT_WORD:
		return futex_get(wait->word) == wait->expected;
	case SHARE_WAIT_CHANGE:
		return futex_get(&share->shared->generation) == wait->expected;
	}
	return -ECANCELED;
}

struct text {
	char *buf;
	size_t size, used;
};

static void __attribute__((format(printf, 2, 3))) append(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->buf + t->used, t->size - t->used, format, args);
	va_end(args);
	if (n > 0)
		t->used += (size_t)n < t->size - t->used ? (size_t)n : t->size - t->used - 1;
}

static void describe(const struct share *share, const struct share_wait *wait, struct text *t)
{
	const uint32_t *todo = share->todo + wait->index * share->n;
	const uint8_t *pending = share->pending + wait->index * share->n;
	const char *sep = "";

	switch (wait->kind) {
	case SHARE_WAIT_KEY:
		append(t, "key `%s' of plugin %s", wait->text, wait->plugin);
		break;
	case SHARE_WAIT_CLASS:
		append(t, "class %s, of which ", share->classes[wait->index]);
		for (size_t i = 0; i < share->n; i++)
			if (todo[i]) {
				append(t, "%s%s has %u file%s", sep, share->names[i], todo[i],
				       todo[i] == 1 ? "" : "s");
				sep = ", ";
			}
		break;
	case SHARE_WAIT_BARRIER:
		append(t, "barrier %s of plugin %s, which ", share->barriers[wait->index],
		       share->barrier_plugins[wait->index]);
		for (size_t i = 0; i < share->n; i++)
			if (pending[i] == 1) {
				append(t, "%s%s", sep, share->names[i]);
				sep = ", ";
			}
		append(t, " did not reach");
		break;
	case SHARE_WAIT_WORD:
		append(t, "%s", wait->text);
		if (wait->index != SHARE_NOBODY)
			append(t, ", which depends on %s", share->names[wait->index]);
		break;
	case SHARE_WAIT_CHANGE:
		append(t, "%s", wait->text);
		break;
	}
}

/* With the lock, whenever somebody stopped running: is there anyone left to go on? */
static void detect(struct share *share)
{
	struct text t = {.buf = share->shared->chain, .size = sizeof(share->shared->chain)};
	size_t n_waiting = 0;

	if (share_outcome(share))
		return;
	for (size_t i = 0; i < share->n; i++) {
		const struct share_place *place = &share->places[i];

		if (place->state == SHARE_RUNS)
			return;
		if (place->state == SHARE_LEFT)
			continue;
		if (wait_state(share, &place->wait) != 1)
			return;
		/* The coordinator may be the last and wait for those who left to end. */
		if (i != share->n - 1 || place->wait.kind != SHARE_WAIT_WORD)
			n_waiting++;
	}
	if (!n_waiting)
		return;
	for (size_t i = 0; i < share->n; i++) {
		if (share->places[i].state != SHARE_WAITS)
			continue;
		append(&t, "%s%s waits for ", t.used ? "; " : "", share->names[i]);
		describe(share, &share->places[i].wait, &t);
	}
	end(share, EDEADLK);
}

/* ---- waiting ---- */

int share_wait(struct share *share, const struct share_wait *wait)
{
	struct share_place *place = &share->places[share->self];
	int state;

	share_lock(share);
	place->wait = *wait;
	place->state = SHARE_WAITS;
	for (;;) {
		uint32_t generation = futex_get(&share->shared->generation);

		/* After the generation: share_fail() sets the outcome first, without the lock. */
		state = share_outcome(share);
		if (!state)
			state = wait_state(share, wait);
		if (state != 1)
			break;
		detect(share);
		share_unlock(share);
		futex_wait(&share->shared->generation, generation, -1);
		share_lock(share);
	}
	place->state = SHARE_RUNS;
	share_unlock(share);
	return state;
}

uint32_t share_generation(const struct share *share)
{
	return futex_get(&share->shared->generation);
}

int share_defer(struct share *share, uint32_t generation, const char *text)
{
	struct share_wait wait = {.kind = SHARE_WAIT_CHANGE, .expected = generation};

	snprintf(wait.text, sizeof(wait.text), "%s", text);
	return share_wait(share, &wait);
}

int share_wait_begin(struct share *share, struct futex *word, uint32_t expected, size_t on,
		     const char *text)
{
	struct share_place *place = &share->places[share->self];
	int outcome;

	share_lock(share);
	place->wait.kind = SHARE_WAIT_WORD;
	place->wait.index = on;
	place->wait.word = word;
	place->wait.expected = expected;
	snprintf(place->wait.text, sizeof(place->wait.text), "%s", text);
	place->state = SHARE_WAITS;
	detect(share);
	outcome = share_outcome(share);
	if (outcome)
		place->state = SHARE_RUNS;
	share_unlock(share);
	return outcome;
}

void share_wait_end(struct share *share)
{
	share_lock(share);
	share->places[share->self].state = SHARE_RUNS;
	share_unlock(share);
}

/* Until the word is not expected, or there is an outcome. */
static int sleep_on(struct share *share, struct futex *word, uint32_t expected, int timeout_ms)
{
	struct futex_waitv words[] = {
		{.val = expected, .uaddr = (uintptr_t)&word->word, .flags = FUTEX_32},
		{.uaddr = (uintptr_t)&share->shared->outcome.word, .flags = FUTEX_32},
	};
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	if (syscall(SYS_futex_waitv, words, 2, 0, timeout_ms < 0 ? NULL : &until,
		    CLOCK_MONOTONIC) >= 0 ||
	    errno == EAGAIN || errno == EINTR)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	/* Before Linux 5.16 the outcome can only be looked at now and then. */
	if (timeout_ms < 0 || timeout_ms > LOCK_LOOK_MS)
		return futex_wait(word, expected, LOCK_LOOK_MS) == -ETIMEDOUT && timeout_ms > 0
			       ? -ETIMEDOUT
			       : 0;
	return futex_wait(word, expected, timeout_ms);
}

int share_wait_word(struct share *share, struct futex *word, uint32_t expected, size_t on,
		    const char *text, int timeout_ms)
{
	int err = share_wait_begin(share, word, expected, on, text);

	if (err)
		return err;
	err = sleep_on(share, word, expected, timeout_ms);
	share_wait_end(share);
	if (err && err != -ETIMEDOUT && err != -EINTR)
		return log_err(share->cr, err, "wait for %s", text);
	if (share_outcome(share))
		return share_outcome(share);
	return err == -EINTR ? 0 : err;
}

/* ---- classes and barriers ---- */

int share_class_done(struct share *share, size_t class_index)
{
	uint32_t *todo = &share->todo[class_index * share->n + share->self];
	int err = 0;

	share_lock(share);
	if (*todo) {
		(*todo)--;
		share->left[class_index]--;
		share_changed(share);
	} else {
		err = -ERANGE;
	}
	share_unlock(share);
	return err;
}

bool share_class_is_done(struct share *share, size_t class_index)
{
	return __atomic_load_n(&share->left[class_index], __ATOMIC_ACQUIRE) == 0;
}

int share_wait_class(struct share *share, size_t class_index)
{
	struct share_wait wait = {.kind = SHARE_WAIT_CLASS, .index = class_index};

	return share_wait(share, &wait);
}

ssize_t share_find_class(const struct share *share, const char *name)
{
	for (size_t i = 0; i < share->n_classes; i++)
		if (strcmp(share->classes[i], name) == 0)
			return (ssize_t)i;
	return -ENOENT;
}

ssize_t share_find_barrier(const struct share *share, const char *plugin, const char *name)
{
	for (size_t i = 0; i < share->n_barriers; i++)
		if (strcmp(share->barriers[i], name) == 0 &&
		    strcmp(share->barrier_plugins[i], plugin) == 0)
			return (ssize_t)i;
	return -ENOENT;
}

int share_barrier_wait(struct share *share, size_t barrier_index)
{
	struct share_wait wait = {.kind = SHARE_WAIT_BARRIER, .index = barrier_index};
	uint8_t *pending = &share->pending[barrier_index * share->n + share->self];
	uint8_t was;

	share_lock(share);
	was = *pending;
	if (was == 1) {
		*pending = 2;
		share_changed(share);
	}
	share_unlock(share);
	if (was != 1)
		return was ? -EALREADY : -EPERM;
	return share_wait(share, &wait);
}

/* ---- life ---- */

static bool make_tables(struct share *s, const struct share_plan *plan)
{
	s->shared = arena_alloc(s->arena, sizeof(*s->shared));
	s->places = arena_alloc(s->arena, s->n * sizeof(*s->places));
	s->todo = arena_alloc(s->arena, (s->n_classes * s->n + 1) * sizeof(*s->todo));
	s->left = arena_alloc(s->arena, (s->n_classes + 1) * sizeof(*s->left));
	s->pending = arena_alloc(s->arena, s->n_barriers * s->n + 1);
	if (!s->shared || !s->places || !s->todo || !s->left || !s->pending)
		return false;
	for (size_t c = 0; c < s->n_classes; c++)
		for (size_t i = 0; i < plan->n_participants; i++) {
			s->todo[c * s->n + i] = plan->classes[c].n_files[i];
			s->left[c] += plan->classes[c].n_files[i];
		}
	for (size_t b = 0; b < s->n_barriers; b++)
		for (size_t i = 0; i < plan->n_participants; i++)
			s->pending[b * s->n + i] = plan->barriers[b].takes_part[i];
	return true;
}

static void copy_names(struct share *s, const struct share_plan *plan)
{
	s->names = xcalloc(s->n, sizeof(*s->names));
	for (size_t i = 0; i < plan->n_participants; i++)
		s->names[i] = xstrdup(plan->names[i]);
	s->names[s->n - 1] = xstrdup("the coordinator");
	s->classes = xcalloc(s->n_classes, sizeof(*s->classes));
	for (size_t i = 0; i < s->n_classes; i++)
		s->classes[i] = xstrdup(plan->classes[i].name);
	s->barriers = xcalloc(s->n_barriers, sizeof(*s->barriers));
	s->barrier_plugins = xcalloc(s->n_barriers, sizeof(*s->barrier_plugins));
	for (size_t i = 0; i < s->n_barriers; i++) {
		s->barriers[i] = xstrdup(plan->barriers[i].name);
		s->barrier_plugins[i] = xstrdup(plan->barriers[i].plugin);
	}
}

int share_new(struct cr *cr, const struct share_plan *plan, struct share **ret)
{
	struct share *s = xcalloc(1, sizeof(*s));
	size_t n = plan->n_participants + 1, tables;
	int err = -ENOMEM;

	s->cr = cr;
	s->n = n;
	s->self = n - 1;
	s->first_fd = plan->first_fd;
	s->n_classes = plan->n_classes;
	s->n_barriers = plan->n_barriers;
	copy_names(s, plan);
	tables = sizeof(*s->shared) + n * (sizeof(*s->places) + s->n_classes * 4 + s->n_barriers) +
		 s->n_classes * 4 + 4096;
	s->coordinator = pidfd_new(getpid());
	if (s->coordinator < 0)
		err = s->coordinator;
	else
		s->arena = arena_new(tables + (plan->room ? plan->room : ROOM));
	if (s->coordinator >= 0 && s->arena && make_tables(s, plan))
		err = fd_move_above(&s->coordinator, plan->first_fd);
	if (err) {
		share_free(s);
		return log_err(cr, err, "make the meeting place of %zu tasks",
			       plan->n_participants);
	}
	*ret = s;
	return 0;
}

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

void share_free(struct share *share)
{
	if (!share)
		return;
	if (share->shared)
		share_close(share);
	else if (share->coordinator >= 0)
		close(share->coordinator);
	arena_free(share->arena);
	free_strings(share->names, share->n);
	free_strings(share->classes, share->n_classes);
	free_strings(share->barriers, share->n_barriers);
	free_strings(share->barrier_plugins, share->n_barriers);
	free(share);
}

void share_start(struct share *share)
{
	share->is_started = true;
}

void share_join(struct share *share, size_t i)
{
	share->self = i;
}

void share_set_pid(struct share *share, size_t i, pid_t pid)
{
	share->places[i].host_pid = pid;
}

void share_leave(struct share *share)
{
	share_lock(share);
	share->places[share->self].state = SHARE_LEFT;
	share_changed(share);
	detect(share);
	share_unlock(share);
}
