// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore, in each task's own process: the task that holds a description first in tree order (the
 * owner) makes it, at the number it had, and tells so in memory that all tasks share; the others
 * take it from there with pidfd_getfd(2). Each task makes what it owns in the settled order and
 * waits only for files that come earlier in it, so that tasks work at the same time and cannot wait
 * for each other in a circle.
 *
 * Descriptors of the tool itself lie at and above files_first_free_fd(); everything below belongs
 * to the tree.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cr.h"
#include "run.h"
#include "compel/base/cleanup.h"
#include "files/ext.h"
#include "files/files-priv.h"
#include "images/lib/image.h"
#include "plugin/plugin.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/arena.h"
#include "util/fd.h"
#include "util/futex.h"
#include "util/log.h"

#include "images/fs.pb-c.h"

/* Status flags that fcntl(2) can set; what else a description was opened with is its kind's. */
#define STATUS_FLAGS  (O_APPEND | O_ASYNC | O_NONBLOCK | O_DIRECT | O_NOATIME)
#define WAIT_SLICE_MS 1000

int files_prepare(struct cr *cr)
{
	const size_t shared_size =
		sizeof(struct files_shared) + cr->tree->n_tasks * sizeof(struct futex);
	struct files *files = cr->files;
	struct file *file;
	int err;

	files->arena = arena_new(shared_size + (files->n + 1) * (sizeof(struct file_shared) + 16) +
				 cr->tree->n_tasks * sizeof(pid_t) + 4096);
	files->shared = files->arena ? arena_alloc(files->arena, shared_size) : NULL;
	if (!files->shared)
		return log_err(cr, -ENOMEM, "files: memory to share between the tasks");
	list_for_each_entry (file, &files->all, all) {
		file->shared = arena_alloc(files->arena, sizeof(*file->shared));
		if (!file->shared)
			return log_err(cr, -ENOMEM, "files: memory to share between the tasks");
		file->shared->extra_fd = -1;
	}
	err = ghost_create_all(cr);
	if (!err)
		err = remap_guard_names(cr);
	if (!err)
		err = remap_start_dead(cr);
	list_for_each_entry (file, &files->all, all) {
		if (!err && file->kind->prepare)
			err = file->kind->prepare(cr, file);
	}
	return err;
}

pid_t files_start_helper(struct cr *cr, pid_t pid)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	struct files *files = cr->files;
	pid_t got = task_clone(cr, "stand in for a task that is gone", pid, &args);
	int err;

	if (got == 0) {
		for (;;)
			pause();
	}
	if (got < 0)
		return got;
	files->helpers = array_grow(files->helpers, &files->helpers_capacity, files->n_helpers + 1,
				    sizeof(*files->helpers));
	files->helpers[files->n_helpers++] = got;
	err = undo_add_signal(cr, got, SIGKILL);
	return err < 0 ? err : got;
}

static void end_helpers(struct files *files)
{
	for (size_t i = 0; i < files->n_helpers; i++) {
		kill(files->helpers[i], SIGKILL);
		waitpid(files->helpers[i], NULL, 0);
	}
	files->n_helpers = 0;
}

int files_finish(struct cr *cr)
{
	int err;

	remap_forget_names(cr);
	err = ghost_remove_all(cr);
	end_helpers(cr->files);
	return err;
}

int files_resume(struct cr *cr)
{
	struct file *file;

	list_for_each_entry (file, &cr->files->all, all) {
		_cleanup_close_ int pidfd = -1, fd = -1;
		int err;

		if (!file->kind->resume || futex_get(&file->shared->state) != FILE_READY)
			continue;
		pidfd = pidfd_new(file->shared->owner_pid);
		fd = pidfd < 0 ? pidfd : pidfd_fetch(pidfd, file->shared->fd);
		if (fd < 0)
			return log_err(cr, fd, "file %#x: get it back from %d", file->id,
				       file->shared->owner_pid);
		err = file->kind->resume(cr, file, fd);
		if (err)
			return err;
	}
	return 0;
}

static struct file_holder *first_holder(const struct file *file)
{
	return list_is_empty(&file->holders)
		       ? NULL
		       : list_first_entry(&file->holders, struct file_holder, node);
}

static int wait_ready(struct cr *cr, const struct file *file)
{
	struct file_shared *shared = file->shared;
	char text[32];
	int err;

	while (futex_get(&shared->state) == FILE_NOT_YET) {
		if (futex_get(&cr->files->shared->failed))
			return -ECANCELED;
		snprintf(text, sizeof(text), "file %#x", file->id);
		err = plugins_wait_word(cr, &shared->state, FILE_NOT_YET,
					first_holder(file)->task->pid, text, WAIT_SLICE_MS);
		if (err == -ECANCELED || err == -EDEADLK)
			return err;
	}
	return futex_get(&shared->state) == FILE_READY ? 0 : -ECANCELED;
}

static int wait_needs(struct cr *cr, const struct file *file)
{
	struct file_need *need;

	list_for_each_entry (need, &file->needs, node) {
		int err = first_holder(need->file) ? wait_ready(cr, need->file) : 0;

		if (err)
			return err;
	}
	return 0;
}

int file_shared_path(const struct file *file, bool is_extra, char *ret, size_t size)
{
	const struct file_shared *shared = file->shared;
	int fd = is_extra ? shared->extra_fd : shared->fd;

	if (futex_get(&shared->state) != FILE_READY || fd < 0)
		return -ENOENT;
	snprintf(ret, size, "/proc/%d/fd/%d", shared->owner_pid, fd);
	return 0;
}

int file_keep_extra(struct cr *cr, struct file *file, struct file *user, int fd)
{
	_cleanup_close_ int kept = fd;
	int err = fd_move_above(&kept, cr->files->first_free_fd);

	if (err) {
		log_err(cr, err, "file %#x: keep a descriptor for others at %d or above", file->id,
			cr->files->first_free_fd);
		if (err == -EMFILE || err == -EINVAL)
			log_remedy(cr, "raise the hard limit of open descriptors (ulimit -Hn) of "
				       "the shell that starts the restore");
		return err;
	}
	file->shared->extra_fd = TAKE_FD(kept);
	file->extra_user = user;
	return 0;
}

/*
 * An extra descriptor that is to be one of the same table goes to its number as soon as that cannot
 * be one that its maker uses for a moment: else each pair would need a third descriptor.
 */
static int place_extra(struct cr *cr, struct file *file)
{
	const struct file_holder *holder = file->extra_user ? first_holder(file->extra_user) : NULL;
	int fd = file->shared->extra_fd;

	if (!holder || holder->task != first_holder(file)->task) {
		file->extra_user = NULL;
		return 0;
	}
	if (dup3(fd, holder->fd, O_CLOEXEC) < 0)
		return log_err(cr, -errno, "fd %d: put file %#x there", holder->fd,
			       holder->file->id);
	close(fd);
	file->shared->extra_fd = holder->fd;
	return 0;
}

static int set_status(struct cr *cr, const struct file *file, int fd)
{
	int now, want;

	/* Those that a v0.2 plugin makes have the flags that it gives them. */
	if (file->flags & O_PATH || (file->kind == &file_kind_ext && !ext_class(file)))
		return 0;
	now = fcntl(fd, F_GETFL);
	if (now < 0)
		return log_err(cr, -errno, "file %#x: get its flags", file->id);
	want = (now & ~STATUS_FLAGS) | (file->flags & STATUS_FLAGS);
	if (want != now && fcntl(fd, F_SETFL, want) < 0)
		return log_err(cr, -errno, "file %#x: set flags %#o", file->id, file->flags);
	return 0;
}

/* Puts fd, which stays open, to the number of a descriptor of the task. */
static int place(struct cr *cr, const struct file_holder *holder, int fd)
{
	if (fd == holder->fd) {
		int err = fd_set_cloexec(fd, holder->is_cloexec);

		return err ? log_err(cr, err, "fd %d: close-on-exec", holder->fd) : 0;
	}
	if (dup3(fd, holder->fd, holder->is_cloexec ? O_CLOEXEC : 0) < 0)
		return log_err(cr, -errno, "fd %d: put file %#x there", holder->fd,
			       holder->file->id);
	return 0;
}

/* All descriptors of the file that are in the table. Takes fd. */
static int place_all(struct cr *cr, const struct fd_table *table, const struct file *file, int fd)
{
	struct file_holder *holder;
	bool is_placed = false;
	int err = 0;

	list_for_each_entry (holder, &file->holders, node) {
		if (holder->task != table->task)
			continue;
		err = place(cr, holder, fd);
		if (err)
			break;
		is_placed |= holder->fd == fd;
	}
	if (!is_placed)
		close(fd);
	return err;
}

static int make_file(struct cr *cr, struct fd_table *table, struct file *file)
{
	struct file_shared *shared = file->shared;
	int fd, err;

	if (futex_get(&shared->state) != FILE_NOT_YET)
		return 0; /* made early */
	err = wait_needs(cr, file);
	if (!err)
		err = plugins_wait_turn(cr, ext_class(file));
	if (!err)
		err = file->kind->restore(cr, table->task, file, &fd);
	if (err)
		return err;
	err = fown_restore(cr, file, fd);
	if (!err)
		err = set_status(cr, file, fd);
	if (err) {
		close(fd);
		return err;
	}
	err = place_all(cr, table, file, fd);
	if (!err)
		err = place_extra(cr, file);
	if (err)
		return err;
	shared->owner_pid = getpid();
	shared->fd = first_holder(file)->fd;
	futex_set(&shared->state, FILE_READY);
	plugins_file_made(cr, ext_class(file));
	log_debug(cr, "fd %d: file %#x (%s)", shared->fd, file->id, file->kind->name);
	return 0;
}

static int take(struct cr *cr, struct file *file, bool is_extra, int *ret_fd)
{
	const struct file_shared *shared = file->shared;
	_cleanup_close_ int pidfd = -1;
	int fd, err;

	err = wait_ready(cr, file);
	if (err)
		return err;
	if (shared->owner_pid == getpid()) {
		fd = fcntl(is_extra ? shared->extra_fd : shared->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return log_err(cr, -errno, "file %#x: duplicate it", file->id);
		*ret_fd = fd;
		return 0;
	}
	pidfd = pidfd_new(shared->owner_pid);
	if (pidfd < 0)
		return log_err(cr, pidfd, "file %#x: find its owner %d", file->id,
			       shared->owner_pid);
	fd = pidfd_fetch(pidfd, is_extra ? shared->extra_fd : shared->fd);
	if (fd < 0)
		return log_err(cr, fd, "file %#x: take it from %d", file->id, shared->owner_pid);
	*ret_fd = fd;
	return 0;
}

int file_take(struct cr *cr, struct file *file, int *ret_fd)
{
	return take(cr, file, false, ret_fd);
}

int file_take_extra(struct cr *cr, struct file *file, const struct file *user, int *ret_fd)
{
	if (file->extra_user == user && file->shared->owner_pid == getpid()) {
		*ret_fd = file->shared->extra_fd;
		return 0;
	}
	return take(cr, file, true, ret_fd);
}

static bool is_owner(const struct file *file, const struct task *task)
{
	const struct file_holder *holder = first_holder(file);

	return holder && holder->task == task;
}

int file_make_early(struct cr *cr, struct task *task, struct file *file)
{
	return is_owner(file, task) ? make_file(cr, task->fds, file) : wait_ready(cr, file);
}

static int take_others(struct cr *cr, struct fd_table *table)
{
	for (size_t i = 0; i < table->n_fds; i++) {
		struct file *file = table->fds[i].file;
		struct file_holder *earlier;
		int fd, err;

		if (is_owner(file, table->task))
			continue;
		/* Its further descriptors in this table came with the first. */
		list_for_each_entry (earlier, &file->holders, node)
			if (earlier->task == table->task)
				break;
		if (earlier != &table->fds[i])
			continue;
		err = file_take(cr, file, &fd);
		if (!err)
			err = place_all(cr, table, file, fd);
		if (err)
			return err;
	}
	return 0;
}

/* Files of this task that asked to be made later, or that come after such a one. */
struct deferred {
	struct file **files;
	size_t n, capacity;
};

/* Must the file come after one that was deferred before it? */
static bool is_behind(struct cr *cr, const struct deferred *deferred, size_t n,
		      const struct file *file)
{
	struct file_need *need;

	for (size_t i = 0; i < n; i++) {
		const struct file *other = deferred->files[i];

		list_for_each_entry (need, &file->needs, node)
			if (need->file == other)
				return true;
		if (ext_class(file) != ext_class(other) &&
		    plugins_is_before(cr, ext_class(other), ext_class(file)))
			return true;
	}
	return false;
}

static int make_or_defer(struct cr *cr, struct fd_table *table, struct file *file,
			 struct deferred *deferred)
{
	int err = is_behind(cr, deferred, deferred->n, file) ? PLUGIN_WAITS
							     : make_file(cr, table, file);

	if (err != PLUGIN_WAITS)
		return err;
	deferred->files = array_grow(deferred->files, &deferred->capacity, deferred->n + 1,
				     sizeof(struct file *));
	deferred->files[deferred->n++] = file;
	return 0;
}

/* One more try for those whose wait is over. How many were made, or -errno. */
static int retry_deferred(struct cr *cr, struct fd_table *table, struct deferred *deferred)
{
	size_t n = deferred->n, kept = 0;
	int n_made = 0;

	for (size_t i = 0; i < n; i++) {
		struct file *file = deferred->files[i];
		int err = PLUGIN_WAITS;

		if (!is_behind(cr, deferred, kept, file) && ext_wait_is_over(cr, file))
			err = make_file(cr, table, file);
		if (err < 0)
			return err;
		if (err == PLUGIN_WAITS)
			deferred->files[kept++] = file;
		else
			n_made++;
	}
	deferred->n = kept;
	return n_made;
}

static int wait_deferred(struct cr *cr, struct fd_table *table, struct deferred *deferred)
{
	while (deferred->n) {
		uint32_t generation = plugins_generation(cr);
		int ret = retry_deferred(cr, table, deferred);
		char text[256];

		if (ret == 0) {
			ext_describe_wait(deferred->files[0], text, sizeof(text));
			ret = plugins_sleep(cr, generation, text);
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int make_owned(struct cr *cr, struct fd_table *table)
{
	struct files *files = cr->files;
	struct deferred deferred = {0};
	int err = 0;

	for (size_t i = 0; i < files->n && !err; i++)
		if (is_owner(files->order[i], table->task))
			err = make_or_defer(cr, table, files->order[i], &deferred);
	if (!err)
		err = wait_deferred(cr, table, &deferred);
	free(deferred.files);
	return err;
}

uint32_t files_count_made(struct cr *cr, pid_t pid)
{
	const struct task *task = tree_find(cr->tree, pid);
	struct file *file;
	uint32_t n = 0;

	list_for_each_entry (file, &cr->files->all, all)
		n += !ext_class(file) && task && is_owner(file, task);
	return n;
}

static int restore_table(struct cr *cr, struct fd_table *table)
{
	struct files *files = cr->files;
	int err;

	fd_close_range(0, files->first_free_fd - 1);
	err = tty_restore_session(cr, table->task);
	if (err)
		return err;
	err = make_owned(cr, table);
	if (!err)
		err = take_others(cr, table);
	if (err)
		return err;
	for (size_t i = 0; i < files->n; i++) {
		struct file *file = files->order[i];

		if (!file->kind->finish || !is_owner(file, table->task))
			continue;
		err = file->kind->finish(cr, table->task, file, file->shared->fd);
		if (err)
			return err;
	}
	return locks_restore_table(cr, table);
}

/*
 * Numbers that a task uses for a moment may be those that its table is to have: so the owner of a
 * table waits until nobody else who shares it opens anything of his own in this stage.
 */
static int wait_for_sharers(struct cr *cr, const struct task *owner)
{
	struct futex *arrived = &cr->files->shared->arrived[owner->index];
	uint32_t n_sharers = 0, n;
	struct task *task;

	tree_for_each_task (task, cr->tree)
		n_sharers += task != owner && task->fds == owner->fds;
	while ((n = futex_get(arrived)) < n_sharers) {
		int err;

		if (futex_get(&cr->files->shared->failed))
			return -ECANCELED;
		err = plugins_wait_word(cr, arrived, n, 0, "tasks that share its descriptors",
					WAIT_SLICE_MS);
		if (err == -ECANCELED || err == -EDEADLK)
			return err;
	}
	return 0;
}

int files_restore_task(struct cr *cr, struct task *task)
{
	int err;

	if (task->fds->task != task) {
		futex_add_wake(&cr->files->shared->arrived[task->fds->task->index], 1);
		return 0;
	}
	err = wait_for_sharers(cr, task);
	if (!err)
		err = restore_table(cr, task->fds);
	if (err)
		futex_set(&cr->files->shared->failed, 1);
	return err;
}

int files_open(struct cr *cr, struct task *task, uint32_t id, uint32_t flags, int *ret_fd)
{
	struct file *file = file_find(cr, id);

	if (!file)
		return log_refuse(
			cr, -EBADMSG,
			"files.img: no file %#x, which a mapping or directory of %d refers to", id,
			task->pid);
	if (!file->kind->open)
		return log_refuse(cr, -EBADMSG,
				  "files.img: file %#x is of kind %s, which %d cannot map or run",
				  id, file->kind->name, task->pid);
	return file->kind->open(cr, file, flags, ret_fd);
}

const char *files_path_of(struct cr *cr, uint32_t id)
{
	const struct file *file = file_find(cr, id);

	return file && file->kind == &file_kind_reg ? ((const struct reg_file *)file)->name : "";
}
