/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The report of a run. It lives in a shared anonymous mapping made before anything forks, so that a
 * task being restored in its own process can tell the tool why it failed. No locks, as any writer
 * may be killed at any instant: a cause is first written into a slot of its own, then made the
 * first one by a compare-and-exchange, and only the winner is ever read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "util/report.h"

#define CAUSE_SLOTS   16
#define STEP_SLOTS    128
#define WARNING_SLOTS 8

struct report_step {
	uint32_t is_ready;
	char name[32];
	uint64_t microseconds;
	uint64_t bytes;
};

struct report {
	uint32_t first;  /* slot of the first cause plus one; 0: nothing failed */
	uint32_t n_used; /* slots handed out */
	uint32_t n_errors;
	struct report_cause causes[CAUSE_SLOTS];
	uint32_t n_warnings;
	struct report_cause warnings[WARNING_SLOTS];
	uint64_t bytes;
	uint32_t stage_version; /* odd while the stage is being written */
	char stage[32];
	uint32_t n_steps;
	struct report_step steps[STEP_SLOTS];
};

struct report *report_new(void)
{
	void *at = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void report_free(struct report *report)
{
	if (report)
		munmap(report, sizeof(*report));
}

static void text_copy(char *to, size_t size, const char *from, size_t length)
{
	length = MIN(length, size - 1);
	memcpy(to, from, length);
	to[length] = '\0';
}

void report_set_stage(struct report *report, const char *stage)
{
	if (!report)
		return;
	__atomic_add_fetch(&report->stage_version, 1, __ATOMIC_ACQ_REL);
	text_copy(report->stage, sizeof(report->stage), stage, strlen(stage));
	__atomic_add_fetch(&report->stage_version, 1, __ATOMIC_RELEASE);
}

void report_get_stage(const struct report *report, char *ret, size_t size)
{
	if (!report) {
		*ret = '\0';
		return;
	}
	/* Bounded: who was to write the rest may have been killed. A torn name is better than none.
	 */
	for (int i = 0; i < 1000; i++) {
		uint32_t version = __atomic_load_n(&report->stage_version, __ATOMIC_ACQUIRE);

		text_copy(ret, size, report->stage, strnlen(report->stage, sizeof(report->stage)));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(version & 1) &&
		    version == __atomic_load_n(&report->stage_version, __ATOMIC_RELAXED))
			return;
	}
}

bool report_cause_set(struct report *report, int err, pid_t pid, const char *text)
{
	struct report_cause *cause;
	const char *colon = strstr(text, ": ");
	uint32_t none = 0, slot;

	if (!report)
		return false;
	__atomic_add_fetch(&report->n_errors, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&report->first, __ATOMIC_ACQUIRE))
		return false;
	slot = __atomic_fetch_add(&report->n_used, 1, __ATOMIC_ACQ_REL);
	if (slot >= CAUSE_SLOTS)
		return false;

	cause = &report->causes[slot];
	memset(cause, 0, sizeof(*cause));
	cause->err = err;
	cause->pid = pid;
	report_get_stage(report, cause->stage, sizeof(cause->stage));
	text_copy(cause->text, sizeof(cause->text), text, strlen(text));
	if (colon)
		text_copy(cause->object, sizeof(cause->object), text, (size_t)(colon - text));
	return __atomic_compare_exchange_n(&report->first, &none, slot + 1, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

uint32_t report_n_errors(const struct report *report)
{
	return report ? __atomic_load_n(&report->n_errors, __ATOMIC_RELAXED) : 0;
}

static struct report_cause *report_first(struct report *report)
{
	uint32_t first = report ? __atomic_load_n(&report->first, __ATOMIC_ACQUIRE) : 0;

	return first ? &report->causes[first - 1] : NULL;
}

void report_remedy_set(struct report *report, const char *text)
{
	struct report_cause *cause = report_first(report);

	if (cause && !*cause->remedy)
		text_copy(cause->remedy, sizeof(cause->remedy), text, strlen(text));
}

void report_plugin_set(struct report *report, const char *plugin)
{
	struct report_cause *cause = report_first(report);

	if (cause && !*cause->plugin)
		text_copy(cause->plugin, sizeof(cause->plugin), plugin, strlen(plugin));
}

void report_cause_clear(struct report *report)
{
	if (!report)
		return;
	__atomic_store_n(&report->n_used, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&report->first, 0, __ATOMIC_RELEASE);
}

void report_cause_demote(struct report *report)
{
	const struct report_cause *cause = report_first(report);

	if (cause && report->n_warnings < WARNING_SLOTS)
		report->warnings[report->n_warnings++] = *cause;
	report_cause_clear(report);
}

const struct report_cause *report_cause_get(const struct report *report)
{
	return report_first((struct report *)report);
}

void report_bytes_add(struct report *report, uint64_t bytes)
{
	if (report)
		__atomic_add_fetch(&report->bytes, bytes, __ATOMIC_RELAXED);
}

uint64_t report_bytes_get(const struct report *report)
{
	return report ? __atomic_load_n(&report->bytes, __ATOMIC_RELAXED) : 0;
}

void report_step_add(struct report *report, const char *name, uint64_t microseconds, uint64_t bytes)
{
	uint32_t slot;

	if (!report)
		return;
	slot = __atomic_fetch_add(&report->n_steps, 1, __ATOMIC_ACQ_REL);
	if (slot >= STEP_SLOTS)
		return;
	text_copy(report->steps[slot].name, sizeof(report->steps[slot].name), name, strlen(name));
	report->steps[slot].microseconds = microseconds;
	report->steps[slot].bytes = bytes;
	__atomic_store_n(&report->steps[slot].is_ready, 1, __ATOMIC_RELEASE);
}

/* Length of the well-formed UTF-8 sequence at text (RFC 3629: shortest form, no surrogates), or 0.
 */
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char first, last, second_first, second_last;
		size_t length;
	} forms[] = {
		{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (text[0] < forms[i].first || text[0] > forms[i].last)
			continue;
		if (forms[i].length > 1 &&
		    (text[1] < forms[i].second_first || text[1] > forms[i].second_last))
			return 0;
		for (size_t at = 2; at < forms[i].length; at++)
			if (text[at] < 0x80 || text[at] > 0xbf)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t length = utf8_length((const unsigned char *)text);

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else if (!length)
			fputs("\\ufffd", out);
		else
			fwrite(text, 1, length, out);
		text += length ? length : 1;
	}
	fputc('"', out);
}

static void json_field(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",\n    \"%s\": ", name);
	if (*text)
		json_string(out, text);
	else
		fputs("null", out);
}

static void json_cause(FILE *out, const struct report_cause *cause)
{
	const char *name = strerrorname_np(-cause->err);

	fprintf(out, ",\n  \"cause\": {\n    \"errno\": %d", -cause->err);
	json_field(out, "class", name ? name : "");
	json_field(out, "stage", cause->stage);
	if (cause->pid)
		fprintf(out, ",\n    \"pid\": %d", cause->pid);
	json_field(out, "plugin", cause->plugin);
	json_field(out, "object", cause->object);
	json_field(out, "text", cause->text);
	json_field(out, "remedy", cause->remedy);
	fputs("\n  }", out);
}

static void json_warnings(FILE *out, const struct report *report)
{
	for (uint32_t i = 0; i < report->n_warnings; i++) {
		fprintf(out, "%s\n    { \"stage\": ", i ? "," : ",\n  \"warnings\": [");
		json_string(out, report->warnings[i].stage);
		fputs(", \"plugin\": ", out);
		json_string(out, report->warnings[i].plugin);
		fputs(", \"text\": ", out);
		json_string(out, report->warnings[i].text);
		fputs(" }", out);
	}
	if (report->n_warnings)
		fputs("\n  ]", out);
}

static void json_steps(FILE *out, const struct report *report)
{
	uint32_t n = MIN(__atomic_load_n(&report->n_steps, __ATOMIC_ACQUIRE), (uint32_t)STEP_SLOTS);
	const char *comma = "";

	fputs(",\n  \"steps\": [", out);
	for (uint32_t i = 0; i < n; i++) {
		const struct report_step *step = &report->steps[i];

		if (!__atomic_load_n(&step->is_ready, __ATOMIC_ACQUIRE))
			continue;
		fprintf(out, "%s\n    { \"name\": ", comma);
		json_string(out, step->name);
		fprintf(out, ", \"us\": %llu, \"bytes\": %llu }",
			(unsigned long long)step->microseconds, (unsigned long long)step->bytes);
		comma = ",";
	}
	fprintf(out, "%s]", *comma ? "\n  " : "");
}

int report_write_json(const struct report *report, int fd, const char *command, int exit_code)
{
	_cleanup_free_ char *text = NULL;
	const struct report_cause *cause = report_cause_get(report);
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -errno;
	fputs("{\n  \"command\": ", out);
	json_string(out, command);
	fprintf(out, ",\n  \"success\": %s,\n  \"exit_code\": %d", exit_code ? "false" : "true",
		exit_code);
	if (cause && exit_code)
		json_cause(out, cause);
	json_warnings(out, report);
	json_steps(out, report);
	fputs("\n}\n", out);
	if (fclose(out))
		return -errno;

	for (size_t at = 0; at < size;) {
		ssize_t n = write(fd, text + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return 0;
}
