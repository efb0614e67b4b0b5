// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues, and what runs on them (program.h). A queue runs unless it is evicted: how often is
 * counted for each device of its process, as the scheduler has it (kfd_device_queue_manager.c,
 * evict_process_queues_cpsch() and restore_process_queues_cpsch()), so what is evicted twice must
 * be restored twice. Nothing restores the queues when a file is closed.
 */
#include "emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

struct queue *queue_by_id(struct process *process, uint32_t id)
{
	for (struct queue *queue = process->queues; queue; queue = queue->next)
		if (queue->id == id)
			return queue;
	return NULL;
}

static void forget_places(struct emu *emu, struct queue *queue)
{
	for (uint32_t i = 0; i < queue->n_places; i++)
		object_put(emu, queue->places[i].object);
	free(queue->places);
	queue->places = NULL;
	queue->n_places = 0;
	queue->generation = 0;
}

void queue_free(struct emu *emu, struct process *process, struct queue *queue)
{
	struct queue **at = &process->queues;

	while (*at != queue)
		at = &(*at)->next;
	*at = queue->next;
	forget_places(emu, queue);
	free(queue);
}

bool object_is_busy(const struct call *call, const struct object *object)
{
	const struct process *owner = object->owner;
	bool is_running = false;

	if (!owner || owner->pid == call->caller->pid)
		return false;
	for (const struct queue *queue = owner->queues; queue; queue = queue->next)
		is_running |= !queue->device->evicted && !queue->is_stuck;
	/* Who shares it knows what is written there. */
	for (struct process *process = call->emu->processes; is_running && process;
	     process = process->next)
		if (process->pid == call->caller->pid && process_has(process, object))
			return false;
	return is_running;
}

void process_evict(struct process *process)
{
	for (uint32_t i = 0; i < process->n_devices; i++)
		process->devices[i].evicted++;
}

void process_unevict(struct process *process)
{
	for (uint32_t i = 0; i < process->n_devices; i++)
		if (process->devices[i].evicted)
			process->devices[i].evicted--;
}

static bool find_place(const struct vm *vm, uint64_t va, struct place *ret_place)
{
	const struct mapping *mapping = vm_find(vm, va, 8);

	if (!mapping)
		return false;
	ret_place->object = mapping->object;
	ret_place->offset = va - mapping->va + mapping->offset;
	return true;
}

/* Of a process by way of its address space, which is there longer than the process has it. */
static int read_place(const struct place *place, void *data, size_t size)
{
	const struct object *object = place->object;
	off_t at = (off_t)(object->user_address + place->offset);

	if (object->user_address && object->owner)
		return pread(object->owner->mem, data, size, at) == (ssize_t)size ? 0 : -EFAULT;
	return object_read(place->object, place->offset, data, size);
}

static int write_place(const struct place *place, uint64_t value)
{
	const struct object *object = place->object;
	off_t at = (off_t)(object->user_address + place->offset);

	if (object->user_address && object->owner)
		return pwrite(object->owner->mem, &value, 8, at) == 8 ? 0 : -EFAULT;
	return object_write(place->object, place->offset, &value, sizeof(value));
}

enum { RING, WRITE_POINTER, READ_POINTER, PLACES };

/* Where everything is, until the mappings change. */
static int find_places(struct emu *emu, struct queue *queue)
{
	const struct vm *vm = &queue->device->vm->vm;
	struct place fixed[PLACES];
	struct program program;

	if (queue->generation == emu->generation)
		return 0;
	forget_places(emu, queue);
	if (!find_place(vm, queue->ring, &fixed[RING]) ||
	    !find_place(vm, queue->write_pointer, &fixed[WRITE_POINTER]) ||
	    !find_place(vm, queue->read_pointer, &fixed[READ_POINTER]))
		return -EFAULT;
	if (read_place(&fixed[RING], &program, sizeof(program)) < 0)
		return -EFAULT;
	if (program.magic != PROGRAM_MAGIC || program.n_places > PROGRAM_PLACES_MAX)
		program.n_places = 0;
	queue->places = calloc(PLACES + program.n_places, sizeof(struct place));
	if (!queue->places)
		return -ENOMEM;
	for (uint32_t i = 0; i < PLACES + program.n_places; i++) {
		struct place *place = &queue->places[i];

		if (i < PLACES)
			*place = fixed[i];
		else if (!find_place(vm, program.places[i - PLACES], place))
			return -EFAULT;
		object_get(place->object);
		queue->n_places++;
	}
	/* No program yet: look again in the next step. */
	if (program.n_places)
		queue->generation = emu->generation;
	return 0;
}

static void stop(struct emu *emu, struct process *process, struct queue *queue, uint64_t status)
{
	queue->is_stuck = true;
	emu->n_wrong++;
	log_text(emu, "op=step pid=%d queue=%u steps=%llu wrong=%s", process->pid, queue->id,
		 (unsigned long long)queue->steps, status == PROGRAM_TORN ? "torn" : "vm-fault");
	if (queue->n_places > RING)
		object_write(queue->places[RING].object,
			     queue->places[RING].offset + offsetof(struct program, status), &status,
			     sizeof(status));
}

static void step(struct emu *emu, struct process *process, struct queue *queue)
{
	uint64_t pointers[2], values[PROGRAM_PLACES_MAX];
	uint32_t n;

	if (!queue->device->vm || find_places(emu, queue) < 0) {
		stop(emu, process, queue, PROGRAM_FAULT);
		return;
	}
	if (read_place(&queue->places[WRITE_POINTER], &pointers[0], 8) < 0 ||
	    read_place(&queue->places[READ_POINTER], &pointers[1], 8) < 0 ||
	    pointers[0] == pointers[1])
		return;
	n = queue->n_places - PLACES;
	for (uint32_t i = 0; i < n; i++) {
		if (read_place(&queue->places[PLACES + i], &values[i], 8) < 0) {
			/* Memory that has just gone is no fault. */
			if (!process_is_gone(process))
				stop(emu, process, queue, PROGRAM_FAULT);
			return;
		}
		if (values[i] != (i % 2 ? ~values[0] : values[0])) {
			stop(emu, process, queue, PROGRAM_TORN);
			return;
		}
	}
	for (uint32_t i = 0; i < n; i++)
		write_place(&queue->places[PLACES + i], i % 2 ? ~(values[0] + 1) : values[0] + 1);
	queue->steps += n != 0;
}

/* amdgpu_amdkfd_gpuvm.c, amdgpu_amdkfd_restore_userptr_worker(): what RESUME has scheduled. */
static void finish_resume(struct emu *emu, struct process *process)
{
	process->is_resuming = false;
	process_unevict(process);
	log_text(emu, "op=queues_restored pid=%d evicted=%u", process->pid,
		 process->n_devices ? process->devices[0].evicted : 0);
}

void emu_tick(struct emu *emu)
{
	pthread_mutex_lock(&emu->lock);
	processes_reap(emu);
	for (struct process *process = emu->processes; process; process = process->next) {
		if (process->is_resuming)
			finish_resume(emu, process);
		for (struct queue *queue = process->queues; queue; queue = queue->next)
			if (!queue->device->evicted && !queue->is_stuck)
				step(emu, process, queue);
	}
	pthread_mutex_unlock(&emu->lock);
}
