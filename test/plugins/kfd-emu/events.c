// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events, and ranges of shared virtual memory, whose attributes only are kept. Event numbers are
 * the lowest that are free; on restore they are what they were (amdkfd/kfd_events.c). Attributes of
 * ranges go over what was there, whole pages only (amdkfd/kfd_svm.c); parts of a range are ranges
 * of their own, and are never joined again.
 */
#include "emu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct event *event_by_id(struct process *process, uint32_t id)
{
	for (struct event *event = process->events; event; event = event->next)
		if (event->id == id)
			return event;
	return NULL;
}

/* kfd_event_create(), create_signal_event(), create_other_event() */
int event_new(struct process *process, const struct event *wanted, bool has_id, uint32_t *ret_id)
{
	struct event *event, **at = &process->events;
	uint32_t id = 1;

	if (wanted->type != KFD_EVENT_SIGNAL && wanted->type != KFD_EVENT_DEBUG &&
	    wanted->type != KFD_EVENT_MEMORY && wanted->type != KFD_EVENT_HW_EXCEPTION)
		return -EINVAL;
	while (event_by_id(process, id))
		id++;
	if (has_id && event_by_id(process, wanted->id))
		return -ENOSPC;
	event = calloc(1, sizeof(*event));
	if (!event)
		return -ENOMEM;
	*event = *wanted;
	event->id = has_id ? wanted->id : id;
	event->next = NULL;
	/* In ascending order, as an idr has them. */
	while (*at && (*at)->id < event->id)
		at = &(*at)->next;
	event->next = *at;
	*at = event;
	*ret_id = event->id;
	return 0;
}

int run_create_event(struct call *call)
{
	struct kfd_create_event *arg = (void *)call->data;
	struct event wanted = {.type = arg->type, .auto_reset = arg->auto_reset != 0};
	int ret;

	/* kfd_kmap_event_page(): a buffer of the process, given once. */
	if (arg->page_offset) {
		struct device *device =
			device_by_user_id(call->process, (uint32_t)(arg->page_offset >> 32));

		if (call->process->event_page)
			return -EINVAL;
		if (!device || !buffer_by_handle(device, arg->page_offset))
			return -EINVAL;
		call->process->event_page = arg->page_offset;
	}
	ret = event_new(call->process, &wanted, false, &arg->event_id);
	arg->slot = arg->trigger_data = arg->event_id;
	call_note(call, " event=%u", arg->event_id);
	return ret;
}

int run_destroy_event(struct call *call)
{
	struct kfd_event_id *arg = (void *)call->data;
	struct event *event = event_by_id(call->process, arg->id), **at = &call->process->events;

	call_note(call, " event=%u", arg->id);
	if (!event)
		return -EINVAL;
	while (*at != event)
		at = &(*at)->next;
	*at = event->next;
	free(event);
	return 0;
}

static int set_signaled(struct call *call, bool is_signaled)
{
	struct kfd_event_id *arg = (void *)call->data;
	struct event *event = event_by_id(call->process, arg->id);

	call_note(call, " event=%u", arg->id);
	if (!event || event->type != KFD_EVENT_SIGNAL)
		return -EINVAL;
	event->is_signaled = is_signaled;
	pthread_cond_broadcast(&call->emu->changed);
	return 0;
}

int run_set_event(struct call *call)
{
	return set_signaled(call, true);
}

int run_reset_event(struct call *call)
{
	return set_signaled(call, false);
}

/* How many of them are signaled; -EINVAL if one is not there. With take, auto-reset ones are reset.
 */
static int look_at_events(struct call *call, const struct kfd_wait_events *arg, bool take)
{
	struct kfd_event_data data;
	int n = 0;

	for (uint32_t i = 0; i < arg->n_events; i++) {
		struct event *event;

		if (copy_from_caller(call, arg->events + i * sizeof(data), &data, sizeof(data)) < 0)
			return -EFAULT;
		event = event_by_id(call->process, data.event_id);
		if (!event)
			return -EINVAL;
		n += event->is_signaled;
		if (take && event->is_signaled && event->auto_reset)
			event->is_signaled = false;
	}
	return n;
}

/* kfd_wait_on_events(). Waits for a hundredth of a second at most, then lets the caller ask again:
 * a thread that waits in the file system cannot be stopped for a dump. */
int run_wait_events(struct call *call)
{
	struct kfd_wait_events *arg = (void *)call->data;
	uint32_t ms = arg->timeout_ms < 10 ? arg->timeout_ms : 10;
	struct timespec until;
	int n;

	call->is_quiet = true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	for (int ret = 0;;
	     ret = pthread_cond_timedwait(&call->emu->changed, &call->emu->lock, &until)) {
		n = look_at_events(call, arg, false);
		if (n < 0)
			return n;
		if (arg->wait_for_all ? n == (int)arg->n_events : n > 0)
			break;
		if (ret == ETIMEDOUT) {
			arg->result = KFD_WAIT_TIMEOUT;
			return 0;
		}
	}
	arg->result = KFD_WAIT_COMPLETE;
	return look_at_events(call, arg, true) < 0 ? -EINVAL : 0;
}

/* ---- ranges ---- */

/* svm_range_set_default_attributes() */
static struct svm_range *range_new(struct process *process, uint64_t start, uint64_t size)
{
	struct svm_range *range = calloc(1, sizeof(*range));
	static const struct kfd_svm_attribute common[] = {
		{0, 0xffffffff}, {1, 0xffffffff}, {5, 3}, {7, 9}};

	if (!range)
		return NULL;
	range->start = start;
	range->size = size;
	range->n = 4 + process->n_devices;
	memcpy(range->attributes, common, sizeof(common));
	for (uint32_t i = 0; i < process->n_devices; i++)
		range->attributes[4 + i] =
			(struct kfd_svm_attribute){4, process->devices[i].user_id};
	range->next = process->ranges;
	process->ranges = range;
	return range;
}

static bool set_attribute(struct svm_range *range, const struct kfd_svm_attribute *attribute)
{
	switch (attribute->type) {
	case 0: /* preferred location */
	case 1: /* prefetch location */
		range->attributes[attribute->type].value = attribute->value;
		return true;
	case 5: /* set flags */
		range->attributes[2].value |= attribute->value;
		return true;
	case 6: /* clear flags */
		range->attributes[2].value &= ~attribute->value;
		return true;
	case 7: /* granularity */
		range->attributes[3].value = attribute->value < 0x3f ? attribute->value : 0x3f;
		return true;
	default: /* access, in place, none: of one GPU */
		for (uint32_t i = 4; i < range->n; i++)
			if (range->attributes[i].value == attribute->value) {
				range->attributes[i].type = attribute->type;
				return attribute->type <= 4;
			}
		return false;
	}
}

static struct svm_range *range_at(struct process *process, uint64_t start, uint64_t size)
{
	for (struct svm_range *range = process->ranges; range; range = range->next)
		if (range->start == start && range->size == size)
			return range;
	return NULL;
}

/* Only whole ranges are set again; what overlaps otherwise is beyond this emulator. */
int run_svm(struct call *call)
{
	struct kfd_svm *arg = (void *)call->data;
	uint64_t start = arg->start / EMU_PAGE, size = arg->size / EMU_PAGE;
	struct svm_range *range;

	call_note(call, " start=%#llx size=%llu", (unsigned long long)arg->start,
		  (unsigned long long)arg->size);
	/* kfd_ioctl_svm(), svm_ioctl() */
	if (!arg->start || !arg->size || arg->start % EMU_PAGE || arg->size % EMU_PAGE ||
	    arg->n_attributes > (sizeof(call->data) - sizeof(*arg)) / sizeof(arg->attributes[0]))
		return -EINVAL;
	range = range_at(call->process, start, size);
	if (arg->op == KFD_SVM_GET) {
		if (!range)
			return -EINVAL;
		for (uint32_t i = 0; i < arg->n_attributes; i++)
			for (uint32_t j = 0; j < range->n; j++)
				if (range->attributes[j].type == arg->attributes[i].type && j < 4)
					arg->attributes[i].value = range->attributes[j].value;
				else if (j >= 4 && arg->attributes[i].type >= 2 &&
					 range->attributes[j].value == arg->attributes[i].value)
					arg->attributes[i].type = range->attributes[j].type;
		return 0;
	}
	if (!range)
		range = range_new(call->process, start, size);
	if (!range)
		return -ENOMEM;
	for (uint32_t i = 0; i < arg->n_attributes; i++)
		if (!set_attribute(range, &arg->attributes[i]))
			return -EINVAL;
	return 0;
}
