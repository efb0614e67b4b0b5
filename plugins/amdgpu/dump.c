// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dump's phases. Before anything is read, the queues of every process are evicted
 * (PROCESS_INFO), which is in the journal first, as the kernel never undoes it by itself; when
 * everything was read, also memory that the GPU may write, they are restored (UNPAUSE). All of it
 * in the thread that traces, as the driver asks for.
 *
 * kfd knows processes, not open files: what a process has there is read once, through the first of
 * its open files. Needs: the owner of a kfd file is the task on whose behalf the file is handled.
 */
#include "amdgpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool has_holder(const struct criu_file *file, const struct criu_task *task)
{
	for (size_t i = 0; i < file->n_holders; i++)
		if (file->holders[i].task == task)
			return true;
	return false;
}

/* Without its open file a mapping cannot be made again: what kfd has is the process's own, a
 * dma-buf anybody's; of render nodes any open file will do that has the buffer (dump-write.c). */
static bool has_file(const struct amdgpu *gpu, const struct criu_mapping *mapping)
{
	if (minor_of_path(mapping->path) >= 0)
		return gpu->n_files;
	return mapping->file && (strcmp(mapping->class_of->name, "amdgpu.kfd") != 0 ||
				 has_holder(mapping->file, mapping->task));
}

static int check_mappings(struct criu_call *call, const struct criu_task *task)
{
	for (size_t i = 0; i < task->n_mappings; i++)
		if (!has_file(call->context, task->mappings[i]))
			return criu_error(
				call, -ENOTSUP,
				"pid %d: mapping %#llx of %s: the file that it is of is closed",
				task->pid, (unsigned long long)task->mappings[i]->start,
				task->mappings[i]->path);
	return 0;
}

int dump_begin(struct criu_call *call)
{
	struct amdgpu *gpu = call->context;
	const char *path = criu_option_string(call, "kfd");
	_cleanup_close_ int fd = -1;
	int err = 0;

	for (size_t i = 0; i < call->n_tasks; i++)
		for (size_t j = 0; j < call->tasks[i]->n_files; j++)
			gpu->n_files += call->tasks[i]->files[j]->task == call->tasks[i];
	for (size_t i = 0; i < call->n_tasks && !err; i++)
		err = check_mappings(call, call->tasks[i]);
	if (err || !gpu->n_files)
		return err;
	/* Anybody's file but our own would be refused. */
	fd = driver.open(path);
	if (fd < 0)
		return criu_error(call, fd, "open %s", path);
	return kfd_check_version(call, fd);
}

static void kfd_free(struct kfd *kfd)
{
	if (!kfd)
		return;
	if (kfd->fd >= 0)
		close(kfd->fd);
	free(kfd->devices);
	free(kfd->bos);
	free(kfd->private_data);
	free(kfd->handles);
	free(kfd->objects);
	free(kfd);
}

static void render_free(struct render *render)
{
	if (!render)
		return;
	for (uint32_t i = 0; render->mappings && i < render->n; i++)
		free(render->mappings[i]);
	free(render->mappings);
	free(render->n_mappings);
	free(render->handles);
	free(render->offsets);
	free(render->own_handles);
	free(render->objects);
	free(render);
}

void dump_release(struct amdgpu *gpu)
{
	for (size_t i = 0; i < gpu->n_kfds; i++)
		kfd_free(gpu->kfds[i]);
	for (size_t i = 0; i < gpu->n_renders; i++)
		render_free(gpu->renders[i]);
	for (size_t i = 0; i < gpu->n_dmabufs; i++)
		free(gpu->dmabufs[i]);
	for (size_t i = 0; i < gpu->n_objects; i++)
		free(gpu->objects[i]);
	for (size_t i = 0; i < gpu->n_nodes; i++)
		close(gpu->nodes[i].fd);
	free(gpu->kfds);
	free(gpu->renders);
	free(gpu->dmabufs);
	free(gpu->objects);
	free(gpu->nodes);
}

/* ---- eviction ---- */

/* Adds a pointer to a list; -ENOMEM frees nothing. */
static int append(void ***list, size_t *n, void *item)
{
	void **grown = realloc(*list, (*n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	grown[(*n)++] = item;
	*list = grown;
	return 0;
}

static struct kfd *kfd_new(struct criu_call *call, struct criu_file *file)
{
	struct amdgpu *gpu = call->context;
	struct kfd *kfd = calloc(1, sizeof(*kfd));

	if (!kfd || append((void ***)&gpu->kfds, &gpu->n_kfds, kfd) < 0) {
		free(kfd);
		return NULL;
	}
	kfd->file = file;
	kfd->fd = -1;
	file->context = kfd;
	return kfd;
}

/* The kernel refuses before it evicts, or takes the eviction back. Of any other error nobody knows.
 */
static bool is_refusal(int err)
{
	return err == -ENODEV || err == -EBADF || err == -EACCES || err == -EPERM ||
	       err == -EINVAL || err == -ENOTTY;
}

static int explain_refusal(struct criu_call *call, const struct criu_file *file, int err)
{
	if (err == -EBADF)
		return criu_error(call, err,
				  "%s: was opened by another process than its first holder, fd %d",
				  file->path, file->fd);
	if (err == -ENODEV)
		return criu_error(call, err, "%s: the process has no GPU", file->path);
	if (err == -EACCES)
		return criu_error(call, err, "%s: needs CAP_CHECKPOINT_RESTORE", file->path);
	return criu_error(call, err, "%s: evict the queues", file->path);
}

static int evict(struct criu_call *call, struct criu_task *task, struct kfd *kfd)
{
	const struct record record = {.pid = (uint32_t)task->host_pid,
				      .fd = (uint32_t)kfd->file->fd,
				      .start_time = process_start_time(task->host_pid)};
	int id = criu_journal(call, &record, sizeof(record)), err;

	if (id < 0)
		return id;
	err = kfd_criu_op(call, kfd->fd, KFD_PROCESS_INFO, &kfd->info);
	if (err && is_refusal(err))
		criu_journal_drop(call, id);
	if (err)
		return explain_refusal(call, kfd->file, err);
	kfd->is_paused = true;
	kfd->pid = kfd->info.pid;
	if ((pid_t)kfd->pid == task->pid)
		return 0;
	/* Its own error is what counts; should this fail, the journal has it. */
	if (kfd_criu_op(call, kfd->fd, KFD_UNPAUSE, &kfd->info) == 0)
		criu_journal_drop(call, id);
	kfd->is_paused = false;
	return criu_error(call, -ENOTSUP, "%s: is of process %u, whose file it must be",
			  kfd->file->path, kfd->pid);
}

int dump_pause_task(struct criu_call *call, struct criu_task *task)
{
	for (size_t i = 0; i < task->n_files; i++) {
		struct criu_file *file = task->files[i];
		struct kfd *kfd;
		int err;

		if (file->task != task || strcmp(file->class_of->name, "amdgpu.kfd") != 0)
			continue;
		kfd = kfd_new(call, file);
		if (!kfd)
			return -ENOMEM;
		/* Of the task's other open files nothing more is to be known. */
		if (task->context)
			continue;
		kfd->fd = criu_file_borrow(call, file);
		if (kfd->fd < 0)
			return criu_error(call, kfd->fd, "%s: have a descriptor of it", file->path);
		task->context = kfd;
		err = evict(call, task, kfd);
		if (err) {
			task->context = NULL;
			return err;
		}
	}
	return 0;
}

int dump_unpause_task(struct criu_call *call, struct criu_task *task)
{
	struct kfd *kfd = task->context;
	struct kfd_criu arg = {0};
	int err;

	if (!kfd || !kfd->is_paused)
		return 0;
	kfd->is_paused = false;
	err = kfd_criu_op(call, kfd->fd, KFD_UNPAUSE, &arg);
	return err ? criu_error(call, err, "%s: let the queues go on", kfd->file->path) : 0;
}

/* ---- after a crash ---- */

/* The descriptor of that process, while we trace it. */
static int unpause_remote(const struct record *record)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)record->pid, 0);
	_cleanup_close_ int fd = -1;
	struct kfd_criu arg = {0};
	int err;

	if (pidfd < 0)
		return errno == ESRCH ? 0 : -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)record->fd, 0);
	if (fd < 0)
		return errno == ESRCH || errno == EBADF ? 0 : -errno;
	err = kfd_criu_op(NULL, fd, KFD_UNPAUSE, &arg);
	/* It is not paused; or it is another file meanwhile. */
	return err == -EINVAL || err == -ENOTTY ? 0 : err;
}

int dump_recover(struct criu_call *call, const void *data, size_t size)
{
	struct record record;
	pid_t pid;
	int err;

	if (size != sizeof(record))
		return -EINVAL;
	memcpy(&record, data, sizeof(record));
	pid = (pid_t)record.pid;
	if (process_start_time(pid) != record.start_time)
		return 0;
	/* Who asks for it must trace the process: for a moment, our end lets go of it. */
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
		return errno == ESRCH ? 0 : criu_error(call, -errno, "trace process %d", pid);
	err = unpause_remote(&record);
	return err ? criu_error(call, err, "let the queues of process %d go on", pid) : 0;
}

/* ---- files ---- */

static int dump_one(struct criu_call *call, struct criu_file *file, int fd)
{
	struct amdgpu *gpu = call->context;
	struct render *render;
	struct dmabuf *dmabuf;

	if (strcmp(file->class_of->name, "amdgpu.kfd") == 0) {
		struct kfd *kfd = file->context;

		return kfd->is_paused ? dump_read_kfd(call, kfd) : 0;
	}
	if (strcmp(file->class_of->name, "amdgpu.render") == 0) {
		render = calloc(1, sizeof(*render));
		if (!render || append((void ***)&gpu->renders, &gpu->n_renders, render) < 0) {
			free(render);
			return -ENOMEM;
		}
		render->file = file;
		file->context = render;
		return dump_read_render(call, render, fd);
	}
	dmabuf = calloc(1, sizeof(*dmabuf));
	if (!dmabuf || append((void ***)&gpu->dmabufs, &gpu->n_dmabufs, dmabuf) < 0) {
		free(dmabuf);
		return -ENOMEM;
	}
	dmabuf->file = file;
	return dump_read_dmabuf(call, dmabuf, fd);
}

/* Everything is read first; who shares what with whom is known with the last file. */
int dump_file(struct criu_call *call, struct criu_file *file, int fd)
{
	struct amdgpu *gpu = call->context;
	int err = dump_one(call, file, fd);

	if (err || ++gpu->n_dumped < gpu->n_files)
		return err;
	return dump_write(call);
}
