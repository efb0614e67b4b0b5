// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the recording plugin declares. Variants are made with -D, see test/plugins/files.mk:
 *
 *	RECORDER_RULES     one of the sets of rules below; RULES_ORDER by default: a before b,
 *everywhere RECORDER_FLAGS     of its classes RECORDER_VERSION   of its images RECORDER_NEEDS it
 *needs a driver that nobody has RECORDER_OTHER     a plugin of another vendor: "other", class
 *other.c on c0... RECORDER_ALONE     whose files no rule orders RECORDER_RIVAL     another one that
 *claims the nodes of class a as well: "rival", class rival.a RECORDER_OVERRIDES and says that it
 *may
 */
#include "recorder.h"

#include <stdio.h>
#include <string.h>

#ifndef RECORDER_RULES
#define RECORDER_RULES RULES_ORDER
#endif
#ifndef RECORDER_FLAGS
#define RECORDER_FLAGS 0
#endif
#ifndef RECORDER_VERSION
#define RECORDER_VERSION "1.1"
#endif

/* Sets of rules. */
#define ALWAYS (CRIU_DUMP | CRIU_RESTORE)
#define RULES_NONE
#define RULES_ORDER                                                            \
	{                                                                      \
		.before = "recorder.a", .after = "recorder.b", .when = ALWAYS, \
		.scope = CRIU_SCOPE_TREE                                       \
	}
#define RULES_TASK                                                             \
	{                                                                      \
		.before = "recorder.a", .after = "recorder.b", .when = ALWAYS, \
		.scope = CRIU_SCOPE_TASK                                       \
	}
#define RULES_SWAPPED                                                          \
	{                                                                      \
		.before = "recorder.b", .after = "recorder.a", .when = ALWAYS, \
		.scope = CRIU_SCOPE_TREE                                       \
	}
#define RULES_CYCLE RULES_ORDER, RULES_SWAPPED
#define RULES_REQUIRED                                                       \
	{                                                                    \
		.before = "nobody.x", .after = "recorder.a", .when = ALWAYS, \
		.scope = CRIU_SCOPE_TREE, .flags = CRIU_RULE_REQUIRED        \
	}
/* Devices after memory, on dump. */
#define RULES_LATE                                                             \
	RULES_ORDER,                                                           \
	{                                                                      \
		.before = "@memory", .after = "recorder.a", .when = CRIU_DUMP, \
		.scope = CRIU_SCOPE_TREE                                       \
	}
/* Ignored where recorder is not loaded. */
#define RULES_OTHER                                                         \
	{                                                                   \
		.before = "recorder.b", .after = "other.c", .when = ALWAYS, \
		.scope = CRIU_SCOPE_TREE                                    \
	}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int recorder_claims(struct criu_call *call, const struct criu_candidate *candidate)
{
	const char *refused = criu_option_string(call, "refuse");
	struct entry entry = {.call = call, .hook = "claims"};
	int result;

	snprintf(entry.about, sizeof(entry.about), " task=%d fd=%d node=%s mapping=%d",
		 candidate->host_pid, candidate->fd, node_of(candidate->path),
		 candidate->is_mapping);
	if (!criu_option_bool(call, "log-claims"))
		entry.hook = NULL;
	result = entry.hook ? enter(&entry) : 0;
	if (result == 0 && *refused && strcmp(refused, node_of(candidate->path)) == 0)
		result = CRIU_NOT_MINE;
	return entry.hook ? leave(&entry, result) : result;
}

/* Exactly these, so that it is plain that no node is of two classes. */
#define NODES(letter_)                                                                           \
	CRIU_PATH("*/fakedev*/" letter_ "[0-9]"), CRIU_PATH("*/fakedev*/" letter_ "[0-9][0-9]"), \
		CRIU_PATH("*/fakedev*/" letter_ "[0-9][0-9][0-9]")

#if defined(RECORDER_OTHER)
#define NAME "other"
#undef RECORDER_RULES
#ifdef RECORDER_ALONE
#define RECORDER_RULES RULES_NONE
#else
#define RECORDER_RULES RULES_OTHER
#endif
static const struct criu_match matches_c[] = {NODES("c")};
static const struct criu_class classes[] = {
	{.name = "other.c",
	 .matches = matches_c,
	 .n_matches = 3,
	 .claims = recorder_claims,
	 .flags = RECORDER_FLAGS},
};
static const struct criu_barrier barriers[] = {{"meet", "other.c"}};
#elif defined(RECORDER_RIVAL)
#define NAME "rival"
#undef RECORDER_RULES
#define RECORDER_RULES RULES_NONE
static const struct criu_match matches_a[] = {NODES("a")};
#ifdef RECORDER_OVERRIDES
static const char *const overridden[] = {"recorder.a", NULL};
#else
#define overridden NULL
#endif
static const struct criu_class classes[] = {
	{.name = "rival.a",
	 .matches = matches_a,
	 .n_matches = 3,
	 .claims = recorder_claims,
	 .overrides = overridden,
	 .flags = RECORDER_FLAGS},
};
static const struct criu_barrier barriers[] = {{"meet", "rival.a"}};
#else
#define NAME "recorder"
static const struct criu_match matches_a[] = {NODES("a")};
static const struct criu_match matches_b[] = {NODES("b")};
static const struct criu_class classes[] = {
	{.name = "recorder.a",
	 .matches = matches_a,
	 .n_matches = 3,
	 .claims = recorder_claims,
	 .flags = RECORDER_FLAGS},
	{.name = "recorder.b",
	 .matches = matches_b,
	 .n_matches = 3,
	 .claims = recorder_claims,
	 .flags = RECORDER_FLAGS},
};
static const struct criu_barrier barriers[] = {{"meet", "recorder.a"}};
#endif

static const struct criu_rule rules[] = {RECORDER_RULES};

#ifdef RECORDER_NEEDS
static const struct criu_need driver_needs[] = {{CRIU_NEED_DRIVER, 0, "no-such-driver"}};
#define N_NEEDS COUNT(driver_needs)
#else
#define driver_needs NULL
#define N_NEEDS      0
#endif

#define TEXT(name_, standard_, help_)                                                 \
	{                                                                             \
		.name = (name_), .type = CRIU_OPTION_STRING, .standard = (standard_), \
		.help = (help_)                                                       \
	}
#define FLAG(name_, standard_, help_)                                               \
	{                                                                           \
		.name = (name_), .type = CRIU_OPTION_BOOL, .standard = (standard_), \
		.help = (help_)                                                     \
	}

static const struct criu_option options[] = {
	{.name = "log",
	 .type = CRIU_OPTION_STRING,
	 .help = "file that gets a line for each call",
	 .environment = "CRIU_RECORDER_LOG"},
	{.name = "device",
	 .type = CRIU_OPTION_STRING,
	 .help = "folder of the fake device",
	 .environment = "CRIU_RECORDER_DEVICE"},
	TEXT("fail", NULL, "HOOK[:TASK|:NODE]:KIND[,...]: where to fail and how"),
	TEXT("probe", "active", "what probe() answers: active, idle, absent"),
	TEXT("refuse", NULL, "node that claims() does not want"),
	FLAG("log-claims", "no", "log calls of claims() too"),
	FLAG("lock", "yes", "lock processes in PAUSE_DEVICES"),
	FLAG("pause", "yes", "pause processes in PRE_DUMP_DEVICES"),
	FLAG("unpause", "yes", "unpause and unlock them in the closing hooks"),
	FLAG("journal", "yes", "leave records for recover()"),
	TEXT("wait", NULL, "restore: key, class, deadlock, never, get-never"),
	FLAG("barrier", "no", "restore: holders of class a meet when they enter stage mappings"),
	FLAG("mapping-fd", "yes", "restore: mappings are made of the very file, not of its path"),
	FLAG("move", "no", "restore: nodes are in the folder that option device names"),
	FLAG("keep", "no", "restore: every task keeps a descriptor for the plugin"),
	{.name = "number", .type = CRIU_OPTION_INT, .standard = "4K", .help = "logged by probe()"},
};

static int recorder_probe(struct criu_call *call)
{
	const char *answer = criu_option_string(call, "probe");
	struct entry entry = {.call = call, .hook = "probe"};
	int result;

	snprintf(entry.about, sizeof(entry.about), " tasks=%zu number=%lld", call->n_tasks,
		 (long long)criu_option_int(call, "number"));
	result = enter(&entry);
	if (result == 0 && strcmp(answer, "idle") == 0)
		result = CRIU_IDLE;
	else if (result == 0 && strcmp(answer, "absent") == 0)
		result = CRIU_ABSENT;
	return leave(&entry, result);
}

static void recorder_exit(struct criu_call *call)
{
	struct entry entry = {.call = call, .hook = "exit"};

	leave(&entry, enter(&entry));
	recorder_free(call);
}

#define PHASE(name_)                                                                \
	{                                                                           \
		.begin = recorder_##name_##_begin, .task = recorder_##name_##_task, \
		.end = recorder_##name_##_end                                       \
	}

#ifdef RECORDER_ABSENT_WITHOUT
CRIU_PLUGIN_ABSENT_WITHOUT("/proc");
CRIU_PLUGIN_ABSENT_WITHOUT(RECORDER_ABSENT_WITHOUT);
#endif

CRIU_PLUGIN_EXPORT const struct criu_plugin CRIU_PLUGIN = {
	.abi = CRIU_PLUGIN_ABI,
	.size = sizeof(struct criu_plugin),
	.name = NAME,
	.version = RECORDER_VERSION,
	.about = "records every call, for the fake device",
	.classes = classes,
	.n_classes = COUNT(classes),
	.rules = rules,
	.n_rules = COUNT(rules),
	.barriers = barriers,
	.n_barriers = COUNT(barriers),
	.options = options,
	.n_options = COUNT(options),
	.needs = driver_needs,
	.n_needs = N_NEEDS,
	.probe = recorder_probe,
	.pause = PHASE(pause),
	.pre_dump = PHASE(pre_dump),
	.post_dump = PHASE(post_dump),
	.resume = PHASE(resume),
	.dump_file = recorder_dump_file,
	.dump_mapping = recorder_dump_mapping,
	.restore_begin = recorder_restore_begin,
	.barrier = recorder_barrier,
	.task_stage = recorder_task_stage,
	.restore_file = recorder_restore_file,
	.update_mapping = recorder_update_mapping,
	.resume_late = recorder_resume_late,
	.restore_end = recorder_restore_end,
	.recover = recorder_recover,
	.exit = recorder_exit,
};
