/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of this folder share. */
#ifndef CRIU_PLUGIN_PRIV_H
#define CRIU_PLUGIN_PRIV_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>

#include "compel/base/list.h"
#include "plugin/order.h"
#include "plugin/plugin.h"
#include "util/hash.h"

struct cr;
struct share;
struct legacy;
struct legacy_host;

enum plugin_state { PLUGIN_LOADED, PLUGIN_ACTIVE, PLUGIN_IDLE, PLUGIN_ABSENT };

struct plugin_class {
	struct plugin *plugin;
	const struct criu_class *decl;
	size_t node; /* in plugins.order */
	unsigned int position;
	/* Restore: files of it that are not made yet, as share.h counts them. */
	size_t share_index;
};

/* Ids of records in the undo journal. */
struct plugin_records {
	int *ids;
	size_t n, capacity;
};

/* Per plugin and task; the address of view is what the plugin knows. */
struct plugin_task {
	struct list node; /* plugin.tasks, in tree order */
	struct criu_task view;
	struct plugin *plugin;
	bool had_legacy_pause;
	bool is_listed;  /* in the tree when it was read last */
	bool is_open[2]; /* by phase: the opening hook succeeded and the closing one is due */
	struct plugin_records journal[2]; /* made in that phase */
	struct criu_file **files;
	struct criu_mapping **mappings;
	size_t files_capacity, mappings_capacity;
};

struct plugin_option {
	const struct criu_option *decl;
	const char *text; /* as given, or NULL */
	bool yes;
	int64_t number;
};

struct plugin_data {
	struct list node;
	struct plugin_data *next_of_hash;
	char *key;
	void *bytes;
	size_t size;
};

/* What the calls of a hook took. */
struct plugin_count {
	const char *hook;
	uint64_t calls, microseconds;
};
#define PLUGIN_HOOKS 32

struct plugin {
	struct list node; /* plugins.all, in load order */
	char *file;       /* name in the directory; "built in" */
	char *path;
	void *handle;
	const struct criu_plugin *exported;
	struct criu_plugin decl; /* a copy, unknown members zero */
	struct legacy *legacy;   /* a v0.2 plugin; then decl has only its name */
	enum plugin_state state;
	struct plugin_class *classes;
	struct plugin_option *options;
	void *context;
	struct list tasks;         /* struct plugin_task */
	struct criu_task **listed; /* for criu_call.tasks */
	size_t n_listed, listed_capacity;
	bool was_called;
	bool is_begun[2]; /* by phase: begin() succeeded */
	bool has_restore_begun;
	struct plugin_records journal[2]; /* of begin() and end() */
	struct list data;                 /* struct plugin_data */
	struct hash data_by_key;          /* hash of the key */
	struct hash tasks_by_pid;
	bool owns_something;
	bool is_in_image;     /* restore: the images say which version wrote them */
	size_t n_data_wanted; /* restore: how many data they should have of it */
	bool is_in_inventory; /* restore: and it is among those that are needed */
	char **images;        /* dump: names of the files it made */
	size_t n_images;
	uint64_t bytes; /* that it has put into the images; workers add */
	struct plugin_count counts[PLUGIN_HOOKS];
};

struct device_file {
	struct list node; /* plugins.files */
	struct criu_file view;
	struct plugin_class *class;
	char *path;
	struct criu_holder *holders;
	size_t holders_capacity;
	bool is_dumped;
};

struct device_mapping {
	struct list node; /* plugins.mappings */
	struct criu_mapping view;
	struct plugin_class *class;
	char *path;
	bool is_dumped;
};

struct plugins {
	enum criu_operation operation;
	struct list all;
	size_t n_contract;
	bool was_named; /* the directory was asked for */
	pthread_mutex_t data_lock;
	timer_t watchdog; /* call.c */
	bool has_watchdog;
	bool was_left;               /* a hook, by a jump */
	int first_free_fd;           /* restore: numbers from here on are the tool's */
	struct legacy_host *host;    /* legacy-host.c */
	struct activity *activities; /* restore: what each process is calling */
	size_t n_activities, activities_size;
	char *directory;
	struct order order;
	size_t anchors[ANCHORS]; /* nodes */
	char **rule_texts;
	size_t n_rule_texts;
	struct list files, mappings;
	struct hash files_by_id;
	struct hash mappings_by_start;
	struct hash mappings_by_path; /* one of each path */
	device_borrow borrow;
	bool is_settled;
	struct share *share;
	size_t own_index;   /* in share: of the task whose process this is */
	bool has_left;      /* this process takes no part in share any more */
	pid_t own_pid;      /* as in the images; 0 in the coordinator */
	struct hash majors; /* hash of driver name -> major + 1 */
	bool has_majors;
};

#define plugins_for_each(plugin, plugins) list_for_each_entry (plugin, &(plugins)->all, node)

/* Contract plugins that take part. */
static inline bool plugin_takes_part(const struct plugin *plugin)
{
	return !plugin->legacy && plugin->state != PLUGIN_IDLE && plugin->state != PLUGIN_ABSENT;
}

static inline bool plugin_is_active(const struct plugin *plugin)
{
	return plugin->state == PLUGIN_ACTIVE && !plugin->legacy;
}

/* --- registry.c --- */
struct plugin *registry_new(struct cr *cr, const char *file, const char *path, void *handle);
int registry_add(struct cr *cr, const struct criu_plugin *decl, const char *file, const char *path,
		 void *handle);
void registry_drop(struct plugin *plugin);
/* Drops one that was taken in already. */
void registry_forget(struct cr *cr, struct plugin *plugin);
/* --- check.c: is a declaration whole? -EINVAL, logged --- */
int plugin_check(struct cr *cr, const char *file, const struct criu_plugin *decl);
/* --- elf.c --- */
/*
 * Why a file cannot be a plugin, or NULL: then the dynamic linker may look at it. *ret_lacks, which
 * the caller frees: a path without which, as its notes say, it is absent, and which this host does
 * not have. Unchanged if there is none.
 */
const char *plugin_file_problem(const char *path, char **ret_lacks);
/* The notes of a segment; for tests. */
const char *plugin_notes_problem(const char *notes, size_t size, size_t align, char **ret_lacks);
/* --- disjoint.c --- */
/* False only if there can be no file that both match. */
bool matches_may_meet(struct cr *cr, const struct criu_match *one, const struct criu_match *two);
/* --- options.c --- */
int plugin_options_read(struct cr *cr);
/* --- needs.c --- */
int plugin_check_needs(struct cr *cr, const struct plugin *plugin);
/* Major of a character driver of /proc/devices, or -ENOENT. */
int driver_major(struct cr *cr, const char *driver);

/* --- call.c: one guarded call of a hook --- */

struct call {
	struct criu_call view; /* first: what the plugin gets */
	struct cr *cr;
	struct plugin *plugin;
	struct plugin_task *task;
	const struct criu_file *file;
	const struct criu_mapping *mapping;
	int phase; /* PHASE_x of an opening or closing hook, else -1 */
	uint64_t deadline_us;
	unsigned int timeout_ms;
	volatile sig_atomic_t is_overdue;
	volatile sig_atomic_t crash; /* the signal it died of */
	bool has_said;
	/* The hook came back with 0; perhaps too late, and the call has failed for that. */
	bool is_done;
	sigjmp_buf escape;
	char waits_for[160];
	bool waits_for_class;
};

struct call_about {
	const char *hook;
	struct plugin_task *task;
	const struct criu_file *file;
	const struct criu_mapping *mapping;
	const struct criu_outcome *outcome;
	int phase;
	uint32_t allowed; /* bits 1 << enum criu_result that are answers beside 0 */
};

/*
 * Calls body(&call, arg) with everything around it: deadline (G11), crash (G8), meaning of the
 * result (G13). Returns 0, an allowed positive result, or a logged -errno. ret_call may be NULL.
 */
int plugin_call(struct cr *cr, struct plugin *plugin, const struct call_about *about,
		int (*body)(struct criu_call *call, void *arg), void *arg, struct call *ret_call);
/* A call whose failure changes nothing any more: if nothing else has failed it is a warning. */
void plugin_call_last(struct cr *cr, struct plugin *plugin, const struct call_about *about,
		      int (*body)(struct criu_call *call, void *arg));
/* Milliseconds that each call may take. */
unsigned int plugin_timeout(const struct cr *cr, const struct plugin *plugin);
int plugin_calls_start(struct cr *cr);
void plugin_calls_end(struct cr *cr);
/* "plugin amdgpu: dump_file: pid 123: fd 5 (/dev/kfd)" */
void plugin_call_describe(const struct call *call, char *ret, size_t size);

/* --- count.c --- */
void plugin_count(struct plugin *plugin, const char *hook, uint64_t microseconds);
/* To the log and the report. */
void plugin_counts_report(struct cr *cr, const struct plugin *plugin);

/* --- data.c: keys and bytes --- */
int plugin_data_add(struct cr *cr, struct plugin *plugin, const char *key, const void *bytes,
		    size_t size);
int plugin_data_find(struct cr *cr, const struct plugin *plugin, const char *key,
		     const void **ret_bytes, size_t *ret_size);
void plugin_data_free(struct plugin *plugin);

/* --- image.c: a file that a plugin is about to make among the images --- */
/* One that was added when the manifest was settled already; the task's last one so far. */
void plugins_settle_mapping(struct cr *cr, struct device_mapping *mapping);
int plugin_image_note(struct cr *cr, struct plugin *plugin, const char *name);
const char *plugin_inventory_name(const struct plugin *plugin);
/* A plugin of the contract; NULL: none is called so. */
struct plugin *plugin_by_inventory_name(const struct cr *cr, const char *name);

/* --- phases.c --- */
void plugin_journal_note(struct call *call, int id);

/* --- tasks.c --- */
struct plugin_task *plugin_find_task(const struct plugin *plugin, pid_t pid);

/* --- activity.c: what a task's process is in the middle of, for the coordinator --- */
int activity_new(struct cr *cr, size_t n);
void activity_free(struct plugins *plugins);
/* Waits until no process is in a call, that long at most. */
void activity_drain(struct plugins *plugins, unsigned int milliseconds);
/* The process died: -EFAULT, logged, if it was in a call. */
int activity_died(struct cr *cr, pid_t pid);
void activity_begin(struct plugins *plugins, const char *plugin, const char *hook,
		    unsigned int timeout_ms);
void activity_end(struct plugins *plugins);

#endif
