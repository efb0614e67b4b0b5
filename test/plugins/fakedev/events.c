// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device tells: the log, a line for each event,
 *
 *	seq=7 op=checkpoint node=a1 tid=812 pid=812 opener=804 handle=3 state=paused,running
 *result=0
 *
 * with about=PID owner=N for operations on a process, wrong=RULE where a rule was broken
 *(operations.c) and fault=KIND where a fault struck; and the state of it all.
 */
#include "device.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(struct device *device, const char *text, size_t size)
{
	if (device->log_size + size + 1 > device->log_room) {
		size_t room = (device->log_size + size + 1) * 2;
		char *log = realloc(device->log, room);

		if (!log)
			abort();
		device->log = log;
		device->log_room = room;
	}
	memcpy(device->log + device->log_size, text, size + 1);
	device->log_size += size;
}

static const char *state_words(uint32_t state, char words[64])
{
	static const char *const names[] = {"running", "locked", "paused", "halted"};

	words[0] = 0;
	for (unsigned int i = 0; i < 4; i++)
		if (state & (1u << i)) {
			if (*words)
				strcat(words, ",");
			strcat(words, names[i]);
		}
	return *words ? words : "idle";
}

void event_log(struct device *device, const struct event *event)
{
	char line[512], words[64];
	int size = snprintf(line, sizeof(line), "seq=%lu op=%s node=%s tid=%d pid=%d",
			    ++device->n_events, event->op, event->node, event->caller->tid,
			    event->caller->pid);

	if (event->handle)
		size += snprintf(line + size, sizeof(line) - (size_t)size,
				 " opener=%u handle=%u state=%s", event->opener, event->handle,
				 state_words(event->state, words));
	if (event->about)
		size += snprintf(line + size, sizeof(line) - (size_t)size, " about=%u owner=%u",
				 event->about->pid, event->about->owner);
	size += snprintf(line + size, sizeof(line) - (size_t)size, " result=%d", event->result);
	if (event->wrong) {
		size += snprintf(line + size, sizeof(line) - (size_t)size, " wrong=%s",
				 event->wrong);
		device->n_wrong++;
	}
	if (event->fault)
		size += snprintf(line + size, sizeof(line) - (size_t)size, " fault=%s",
				 event->fault);
	line[size++] = '\n';
	line[size] = 0;
	append(device, line, (size_t)size);
}

static int print_handle(FILE *file, struct device *device, const struct handle *handle)
{
	char words[64];

	return fprintf(file,
		       "handle=%u node=%s opener=%d state=%s counter=%llu size=%llu offset=%llu "
		       "exported=%u imported=%u\n",
		       handle->id, handle->node.name, handle->opener,
		       state_words(handle_state(device, handle), words),
		       (unsigned long long)handle->counter,
		       handle->buffer ? (unsigned long long)handle->buffer->size : 0,
		       handle->buffer ? (unsigned long long)handle->buffer->offset : 0,
		       handle->buffer ? handle->buffer->exported : 0,
		       handle->imported ? handle->imported->exported : 0);
}

char *state_text(struct device *device)
{
	char *text = NULL, words[64];
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fprintf(file, "events=%lu wrong=%lu\n", device->n_events, device->n_wrong);
	/* Newest first in the list, oldest first in the text. */
	for (uint32_t id = 1; id <= device->last_handle; id++)
		for (struct handle *handle = device->handles; handle; handle = handle->next)
			if (handle->id == id)
				print_handle(file, device, handle);
	for (struct quiet *quiet = device->quiet; quiet; quiet = quiet->next)
		if (quiet->state && process_start(quiet->pid) == quiet->start)
			fprintf(file, "process=%d owner=%u state=%s\n", quiet->pid, quiet->owner,
				state_words(quiet->state, words));
	fclose(file);
	return text;
}
