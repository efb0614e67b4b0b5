// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the emulator tells: the log, a line for each operation,
 *
 *	seq=7 op=checkpoint node=kfd tid=812 pid=812 role=tracer owner=804 file=3 devices=1 ...
 *
 * with wrong=RULE where a rule was broken and fault=KIND where a fault struck, and lines without a
 * tid for what happens by itself; and the state of it all.
 */
#include "emu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(struct emu *emu, const char *text, size_t size)
{
	if (emu->log_size + size + 1 > emu->log_room) {
		size_t room = (emu->log_size + size + 1) * 2;
		char *log = realloc(emu->log, room);

		if (!log)
			abort();
		emu->log = log;
		emu->log_room = room;
	}
	memcpy(emu->log + emu->log_size, text, size + 1);
	emu->log_size += size;
}

void log_text(struct emu *emu, const char *format, ...)
{
	char line[640];
	size_t size = (size_t)snprintf(line, sizeof(line), "seq=%lu ", ++emu->n_lines);
	va_list args;

	va_start(args, format);
	vsnprintf(line + size, sizeof(line) - size - 1, format, args);
	va_end(args);
	size = strlen(line);
	line[size++] = '\n';
	line[size] = 0;
	append(emu, line, size);
}

const char *node_name(const struct file *file, char name[24])
{
	if (file->kind == FILE_KFD)
		return "kfd";
	if (file->kind == FILE_RENDER)
		snprintf(name, 24, "renderD%u", file->gpu->minor);
	else
		snprintf(name, 24, "dmabuf/%u", file->object->number);
	return name;
}

/* owner: of a kfd file, the process it is about; else who opened it. */
static const char *role_of(const struct file *file, const struct caller *caller, pid_t *ret_owner)
{
	pid_t owner = file->process ? file->process->pid : file->opener;

	*ret_owner = owner;
	if (owner == caller->pid)
		return "owner";
	return caller->tid && status_field(owner, "TracerPid", 10) == caller->tid ? "tracer"
										  : "other";
}

void log_call(struct emu *emu, const struct call *call, int result, const char *fault)
{
	char name[24], more[64] = "";
	pid_t owner;
	const char *role = role_of(call->file, call->caller, &owner);

	if (call->wrong)
		emu->n_wrong++;
	if (call->wrong || fault)
		snprintf(more, sizeof(more), "%s%s%s%s", call->wrong ? " wrong=" : "",
			 call->wrong ? call->wrong : "", fault ? " fault=" : "",
			 fault ? fault : "");
	log_text(emu, "op=%s node=%s tid=%d pid=%d role=%s owner=%d file=%u%s result=%d%s",
		 call->name, node_name(call->file, name), call->caller->tid, call->caller->pid,
		 role, owner, call->file->id, call->note, result, more);
}

static void print_process(FILE *out, struct process *process)
{
	fprintf(out, "process=%d evicted=%u paused=%d blocked=%d\n", process->pid,
		process->n_devices ? process->devices[0].evicted : 0, process->is_paused,
		process->is_blocking_mmu);
	for (struct queue *queue = process->queues; queue; queue = queue->next)
		fprintf(out, "queue=%u pid=%d gpu=%u steps=%llu stuck=%d evicted=%u\n", queue->id,
			process->pid, queue->device->user_id, (unsigned long long)queue->steps,
			queue->is_stuck, queue->device->evicted);
	for (uint32_t i = 0; i < process->n_devices; i++) {
		struct device *device = &process->devices[i];
		uint32_t n = 0;

		for (uint32_t j = 0; j < device->n_buffers; j++)
			n += device->buffers[j] != NULL;
		fprintf(out, "device=%u pid=%d user=%u minor=%u bound=%d buffers=%u evicted=%u\n",
			device->gpu->id, process->pid, device->user_id, device->gpu->minor,
			device->vm != NULL, n, device->evicted);
	}
}

char *state_text(struct emu *emu)
{
	char *text = NULL, name[24];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "lines=%lu wrong=%lu\n", emu->n_lines, emu->n_wrong);
	for (unsigned int i = 0; i < emu->n_gpus; i++)
		fprintf(out, "gpu=%u minor=%u vram=%llu used=%llu\n", emu->gpus[i].id,
			emu->gpus[i].minor, (unsigned long long)emu->gpus[i].vram_size,
			(unsigned long long)emu->gpus[i].vram_used);
	for (struct file *file = emu->files; file; file = file->next) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < file->n_gems; i++)
			n += file->gems[i].object != NULL;
		fprintf(out, "file=%u node=%s opener=%d refs=%u handles=%u mappings=%zu\n",
			file->id, node_name(file, name), file->opener, file->refs, n, file->vm.n);
	}
	for (struct process *process = emu->processes; process; process = process->next)
		if (!process->is_cleared)
			print_process(out, process);
	for (uint32_t i = 1; i <= emu->last_object; i++) {
		const struct object *object = emu->objects[i];

		if (object)
			fprintf(out,
				"bo=%u gpu=%u domain=%u size=%llu offset=%llu refs=%u user=%d\n", i,
				object->gpu->id, object->domain, (unsigned long long)object->size,
				(unsigned long long)object->offset, object->refs, object->user_pid);
	}
	fclose(out);
	return text;
}
