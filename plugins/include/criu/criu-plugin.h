/* SPDX-License-Identifier: MIT */
/*
 * criu-plugin.h: the only header that a plugin of criu needs.
 *
 * There are two interfaces. The second half of this file declares the one of CRIU 4.2 (v0.2: a
 * table of hooks, CR_PLUGIN_REGISTER), whose plugins build and load unchanged. The first half is
 * the contract: a plugin exports one constant, CRIU_PLUGIN, of type struct criu_plugin, which says
 * as data which open files and mappings it handles (classes), in which order they must be handled
 * (rules), where processes wait for each other (barriers), what can be set (options) and what it
 * needs. Its hooks are the members that are not NULL.
 *
 * Documentation/PLUGIN-CONTRACT.md has the promises (G1 to G20) that this header refers to, and
 * Documentation/PLUGINS.md builds a plugin from nothing.
 *
 * Words: an *open file* is what the kernel calls an open file description, shared by all
 * descriptors that were made from it by dup(2), fork(2) or SCM_RIGHTS. *Tree order* is parents
 * before children and siblings by ascending pid; *reverse order* is exactly the reverse. All
 * structures begin with their size: a member is there if it lies below that size.
 */
#ifndef CRIU_PLUGIN_H
#define CRIU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ==== The contract, version 1 =============================================================== */

#define CRIU_PLUGIN_ABI 1u

/*
 * What a hook answers. Anything else that is not negative fails the operation, as nobody could tell
 * what it means (G13). A negative value is -errno and fails the operation; say why with
 * criu_error() before.
 */
enum criu_result {
	CRIU_HANDLED = 0,
	CRIU_NOT_MINE = 1, /* from claims() only */
	CRIU_WAIT = 2,     /* from restore_file() only, by way of criu_wait_key() or _class() */
};

/* What probe() answers; a negative value is -errno, as for every hook. */
enum criu_probe {
	CRIU_ACTIVE = 0, /* the device is here, the plugin takes part */
	CRIU_IDLE = 1,   /* the device is here, this tree does not use it */
	CRIU_ABSENT = 2, /* this host has no such device */
};

enum criu_operation {
	CRIU_DUMP = 1 << 0,
	CRIU_RESTORE = 1 << 1,
};

struct criu_call;
struct criu_task;
struct criu_file;
struct criu_mapping;
struct criu_candidate;

/* ---- classes ---- */

enum criu_match_kind {
	CRIU_MATCH_DRIVER = 1, /* character device whose major /proc/devices gives to driver `text`,
				  minor in [first, last] */
	CRIU_MATCH_DEVICE,     /* character or block device `major`, minor in [first, last] */
	CRIU_MATCH_PATH,       /* fnmatch(3) pattern on the path as the task sees it */
	CRIU_MATCH_LINK,       /* prefix of the link of a file without path: "anon_inode:[x]",
				  "/dmabuf:" */
	CRIU_MATCH_FDINFO,     /* a line of /proc/PID/fdinfo/N begins with `text` and a colon;
				  descriptors only, not mappings */
};

struct criu_match {
	enum criu_match_kind kind;
	uint32_t major;
	uint32_t first, last; /* minors; both 0: all */
	const char *text;
};

/* clang-format off */
#define CRIU_DRIVER(name_, first_, last_)                                                          \
	{.kind = CRIU_MATCH_DRIVER, .text = (name_), .first = (first_), .last = (last_)}
#define CRIU_DEVICE(major_, first_, last_)                                                         \
	{.kind = CRIU_MATCH_DEVICE, .major = (major_), .first = (first_), .last = (last_)}
#define CRIU_PATH(pattern_)  {.kind = CRIU_MATCH_PATH, .text = (pattern_)}
#define CRIU_LINK(prefix_)   {.kind = CRIU_MATCH_LINK, .text = (prefix_)}
#define CRIU_FDINFO(key_)    {.kind = CRIU_MATCH_FDINFO, .text = (key_)}
/* clang-format on */

enum criu_class_flags {
	/* dump_file() and dump_mapping() of files that no rule orders may run at the same time, in
	 * threads of the core that do not trace the tasks (G9). Never two for one task. */
	CRIU_PARALLEL = 1 << 0,
	/* With CRIU_PARALLEL: also for files of one task. */
	CRIU_PARALLEL_IN_TASK = 1 << 1,
};

/* A kind of open file, and of the mappings of such files, that the plugin handles. */
struct criu_class {
	const char *name; /* "plugin.what": the part before the dot is the plugin's name */
	const struct criu_match *matches; /* any of them */
	size_t n_matches;
	/*
	 * Has the last word on what matched: CRIU_HANDLED or CRIU_NOT_MINE. Pure: looks at nothing
	 * but the candidate, changes nothing. Called in the thread that traces the tasks, any
	 * number of times, before PRE_DUMP_DEVICES. May be NULL: all that matches is the plugin's.
	 */
	int (*claims)(struct criu_call *call, const struct criu_candidate *candidate);
	/* Names of classes (of any plugin) that this one takes precedence over where both claim a
	 * file, NULL at the end; may be NULL. */
	const char *const *overrides;
	uint32_t flags; /* enum criu_class_flags */
};

/* ---- rules ---- */

enum criu_scope {
	CRIU_SCOPE_TASK = 1, /* within each task */
	CRIU_SCOPE_TREE = 2, /* over all tasks */
};

enum criu_rule_flags {
	CRIU_RULE_REQUIRED = 1 << 0, /* it is an error if no loaded plugin has one of the classes */
};

/*
 * Every file of class `before` is handled before any file of class `after`. Names of classes of any
 * plugin, or one of the core's anchors: "@files" (files that no plugin owns), "@mappings",
 * "@memory" (contents of memory), "@sockets", "@namespaces". Where no rule says otherwise, devices
 * are handled before the anchors on dump, and on restore too.
 */
struct criu_rule {
	const char *before, *after;
	uint32_t when;         /* of CRIU_DUMP | CRIU_RESTORE */
	enum criu_scope scope; /* scope TASK is served by the stronger order of the core on dump */
	uint32_t flags;        /* enum criu_rule_flags */
};

/* ---- barriers, options, needs ---- */

/* A place where all tasks that hold a file of the class wait for each other. */
struct criu_barrier {
	const char *name;
	const char *class_name;
};

enum criu_option_type {
	CRIU_OPTION_BOOL = 1, /* "yes", "no", "true", "false", "1", "0"; bare: yes */
	CRIU_OPTION_INT,      /* decimal, 0x hexadecimal; suffixes K, M, G are powers of 1024 */
	CRIU_OPTION_STRING,
};

struct criu_option {
	const char *name; /* set by --plugin-opt PLUGIN.name=value */
	enum criu_option_type type;
	const char *standard;    /* the value where it is not given, as text; NULL: no, 0 or "" */
	const char *help;        /* one line */
	const char *environment; /* a variable that sets it where it is not given, or NULL */
};

enum criu_need_kind {
	CRIU_NEED_CAPABILITY = 1, /* the tool has capability `number` (CAP_x) in effect */
	CRIU_NEED_DRIVER,         /* /proc/devices names the driver `text` */
	CRIU_NEED_KERNEL,         /* the kernel's release is at least `text` ("6.1") */
	CRIU_NEED_PATH,           /* `text` exists */
};

struct criu_need {
	enum criu_need_kind kind;
	int number;
	const char *text;
};

/* ---- what hooks are told ---- */

/* A descriptor that refers to an open file. */
struct criu_holder {
	const struct criu_task *task;
	int fd;
	bool is_cloexec;
};

/* What claims() is asked about: an open file or a mapping, before it has an owner. */
struct criu_candidate {
	uint32_t size;
	bool is_mapping;
	pid_t host_pid;   /* a task that has it, in the tool's pid namespace; 0 on restore */
	int fd;           /* its number there; -1 for a mapping */
	const char *path; /* text of the link in /proc, without " (deleted)" */
	uint64_t dev, ino, rdev;
	mode_t mode;
	uint32_t flags; /* open flags; of a mapping, only the access mode */
};

/*
 * A task of the tree as this plugin sees it. Valid, at the same address, from the first hook that
 * shows it to criu_plugin.exit(); on restore each process has a copy.
 */
struct criu_task {
	uint32_t size;
	pid_t pid;      /* as in the images: in the innermost pid namespace of the tree's root */
	pid_t host_pid; /* in the tool's pid namespace; 0 on restore while there is no process */
	const struct criu_task *parent; /* NULL for the root of the tree */
	void *context;                  /* the plugin's own, NULL at first (G10) */
	/*
	 * The manifest (G6): this plugin's files that the task holds, in the settled order, and its
	 * mappings of files of this plugin's classes, by address. Empty before PRE_DUMP_DEVICES;
	 * complete and unchanging from then on, and on restore from restore_begin() on.
	 */
	struct criu_file *const *files;
	size_t n_files;
	struct criu_mapping *const *mappings;
	size_t n_mappings;
};

/* An open file that this plugin owns. Lives as long as the tasks. */
struct criu_file {
	uint32_t size;
	uint32_t id; /* its number in the images, unique in the tree */
	const struct criu_class *class_of;
	struct criu_task *task; /* the first holder in tree order, on whose behalf it is handled */
	int fd;                 /* its number there */
	const char *path;       /* as the task sees it */
	uint32_t flags;         /* open flags without O_CLOEXEC */
	uint64_t pos;
	uint64_t dev, ino, rdev;
	mode_t mode;
	const struct criu_holder *holders; /* in tree order, ascending numbers; all of the tree */
	size_t n_holders;
	unsigned int position; /* in the settled order of this operation, from 1 */
	void *context;         /* the plugin's own, NULL at first */
};

/* A mapping of a file of one of the plugin's classes. */
struct criu_mapping {
	uint32_t size;
	const struct criu_class *class_of;
	struct criu_task *task;
	/*
	 * An open file of the plugin with the same device, inode and path, held by the task itself
	 * if there is one, else by the first task in tree order; NULL where the tree only has the
	 * mapping left.
	 */
	struct criu_file *file;
	uint64_t start, length; /* bytes */
	uint64_t offset;        /* bytes */
	int prot;               /* PROT_x */
	bool is_shared;
	const char *path;
	uint64_t dev, ino, rdev;
	void *context; /* the plugin's own, NULL at first */
};

/* What becomes of the tree that was dumped or restored. */
enum criu_fate {
	CRIU_FATE_CONTINUES = 1,
	CRIU_FATE_STOPPED, /* --leave-stopped */
	CRIU_FATE_KILLED,
	CRIU_FATE_FAILED, /* dump: it continues, and `why` says why; restore: it is removed */
};

struct criu_outcome {
	uint32_t size;
	enum criu_fate fate;
	bool is_final;   /* false in POST_DUMP_DEVICES: what is intended, if nothing fails */
	const char *why; /* CRIU_FATE_FAILED: the first cause */
};

/* The stages of a restore, in order. At the end of each stands a barrier for all tasks. */
enum criu_stage {
	CRIU_STAGE_START = 1,
	CRIU_STAGE_NAMESPACES,
	CRIU_STAGE_FORKED,
	CRIU_STAGE_FILES,
	CRIU_STAGE_MAPPINGS,
	CRIU_STAGE_MEMORY,
	CRIU_STAGE_HELD,
};

/*
 * One call of a hook. Valid only until the hook returns. What it offers comes with the criu_*()
 * functions below.
 */
struct criu_call {
	uint32_t size;
	enum criu_operation operation;
	const struct criu_plugin *plugin;
	const char *hook;               /* "dump_file": for messages */
	struct criu_task *const *tasks; /* all live tasks, in tree order */
	size_t n_tasks;
	const struct criu_outcome *outcome; /* in closing hooks, else NULL */
	void *context; /* the plugin's own, kept from call to call; assign to it */
	void *core;    /* not the plugin's */
};

/* ---- the hooks ---- */

/* Hooks of a phase; all may be NULL. begin() runs before the first task(), end() after the last. */
struct criu_phase {
	int (*begin)(struct criu_call *call);
	int (*task)(struct criu_call *call, struct criu_task *task);
	int (*end)(struct criu_call *call);
};

struct criu_plugin {
	uint32_t abi;        /* CRIU_PLUGIN_ABI */
	uint32_t size;       /* sizeof(struct criu_plugin) */
	const char *name;    /* [a-z][a-z0-9_-]*, unique: names it in images, options, reports */
	const char *version; /* of the plugin's images, "major.minor": the same major reads them, if
				its minor is not lower */
	const char *about;   /* one line */

	const struct criu_class *classes;
	size_t n_classes;
	const struct criu_rule *rules;
	size_t n_rules;
	const struct criu_barrier *barriers;
	size_t n_barriers;
	const struct criu_option *options;
	size_t n_options;
	const struct criu_need *needs; /* checked when the plugin takes part */
	size_t n_needs;
	uint32_t timeout_ms; /* for each call; 0: 60000. --plugin-timeout replaces it (G11) */

	/*
	 * First call, in the tool's main thread, before anything is touched: is there a device,
	 * does it concern this tree? On dump call->tasks has the tree; on restore it has the tasks,
	 * their manifest not yet. NULL: active. Who answers IDLE or ABSENT gets no further call
	 * (G1).
	 */
	int (*probe)(struct criu_call *call);

	/*
	 * Dump. All in the thread that traces the tasks (G9), but for classes that are
	 * CRIU_PARALLEL. `pause` while all tasks run; for each task whose pause.task() returned
	 * CRIU_HANDLED exactly one resume.task() follows. `pre_dump` when all are frozen; for each
	 * task whose pre_dump.task() did, exactly one post_dump.task() (G8). The same holds for
	 * begin() of the opening and end() of the closing phase. A hook that is NULL counts as
	 * having succeeded. Closing hooks go in reverse order; one that fails is reported, and the
	 * others still run. A task that a hook failed for must be left as it was by that hook.
	 */
	struct criu_phase pause;
	struct criu_phase pre_dump;
	/*
	 * Once for each open file, on behalf of the first holder (G7), before its mappings. fd is
	 * a duplicate of it, the core's, valid until the call returns. NULL: nothing is to be
	 * saved.
	 */
	int (*dump_file)(struct criu_call *call, struct criu_file *file, int fd);
	int (*dump_mapping)(struct criu_call *call, struct criu_mapping *mapping);
	struct criu_phase post_dump;
	struct criu_phase resume;

	/*
	 * Restore. restore_begin() in the coordinator, before any process, mount or rule exists
	 * (G14). For each for which it succeeded restore_end() follows exactly once (G20).
	 */
	int (*restore_begin)(struct criu_call *call);
	/* In the coordinator, when every task has finished the stage and none has begun the next
	 * (G15). */
	int (*barrier)(struct criu_call *call, enum criu_stage stage);
	/* In the task's own process, when it enters a stage (FORKED, FILES, MAPPINGS). */
	int (*task_stage)(struct criu_call *call, struct criu_task *task, enum criu_stage stage);
	/*
	 * In the process of the first holder: makes the open file again. *fd becomes any number,
	 * which the core takes over. May answer with criu_wait_key() or criu_wait_class() (G16);
	 * then it is called again once that is there.
	 */
	int (*restore_file)(struct criu_call *call, struct criu_file *file, int *fd);
	/*
	 * In the task's process, when its files are there: what the mapping is to be made of.
	 * *offset holds the saved one, *fd is -1: the core opens the path itself. A descriptor in
	 * *fd is the core's from then on. NULL: as saved.
	 */
	int (*update_mapping)(struct criu_call *call, struct criu_mapping *mapping,
			      uint64_t *offset, int *fd);
	/* In the coordinator, in tree order, when everything is final and nothing runs yet; a
	 * failure fails the restore (G19). For each task with files or mappings of the plugin. */
	int (*resume_late)(struct criu_call *call, struct criu_task *task);
	int (*restore_end)(struct criu_call *call);

	/*
	 * After a crash of the tool, in a process that has nothing but the record: undoes what
	 * criu_journal() recorded. Must cope with what was undone already. call has no tasks, no
	 * options, no images.
	 */
	int (*recover)(struct criu_call *call, const void *record, size_t size);

	/* Last call of all who were probed as active, before the plugin is unloaded. */
	void (*exit)(struct criu_call *call);
	/* What the inventory of the images calls it, where that is not `name`; or NULL. */
	const char *inventory;

	/*
	 * Restore of images that say no owners, as those of CRIU 4.2, if their inventory names the
	 * plugin. CRIU_HANDLED and *class_of, or CRIU_NOT_MINE. What has a path is a mapping; of
	 * a file only the id is known, and its path is the plugin's to say (size bytes).
	 */
	int (*adopt)(struct criu_call *call, uint32_t id, char *path, size_t size,
		     const struct criu_class **class_of);
};

/* Exports the plugin. */
#define CRIU_PLUGIN_EXPORT __attribute__((visibility("default")))
extern const struct criu_plugin CRIU_PLUGIN;

/*
 * CRIU_PLUGIN_ABSENT_WITHOUT("/dev/x") at file scope: where this path is missing, or that of a
 * further one, probe() would answer CRIU_ABSENT. It is a note of the file (owner "criu", type 1),
 * so that the core need not load it where no option and no image names a plugin (G1).
 */
#define CRIU_NOTE_NAME           "criu"
#define CRIU_NOTE_ABSENT_WITHOUT 1
#define CRIU_PLUGIN_ABSENT_WITHOUT(path_)                                                 \
	__asm__(".pushsection .note.criu, \"a\", %note\n.balign 4\n.long 5, 2f - 1f, 1\n" \
		".asciz \"" CRIU_NOTE_NAME "\"\n.balign 4\n1: .asciz \"" path_ "\"\n"     \
		"2: .balign 4\n.popsection\n")

/* ---- what a plugin may call, from within a hook, with that hook's call ---- */

enum criu_level {
	CRIU_LEVEL_ERROR = 1,
	CRIU_LEVEL_WARNING,
	CRIU_LEVEL_INFO,
	CRIU_LEVEL_DEBUG,
};

/* A line in the log, with plugin, hook and task. Threads: any. */
void criu_message(struct criu_call *call, enum criu_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Says why the hook is about to fail, and returns err (a negative errno) for `return`. What is said
 * first becomes the reported cause. */
int criu_error(struct criu_call *call, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Milliseconds until the call's deadline; 0 when it has passed (G11). */
unsigned int criu_time_left(struct criu_call *call);
/* True once the operation was cancelled or the deadline has passed: return -ECANCELED soon. */
bool criu_is_cancelled(struct criu_call *call);

/* Values of the plugin's options; asking for one that is not declared or is of another type gives
 * no, 0 or "". Strings live until exit(). */
bool criu_option_bool(struct criu_call *call, const char *name);
int64_t criu_option_int(struct criu_call *call, const char *name);
const char *criu_option_string(struct criu_call *call, const char *name);

/*
 * A few bytes under a key, kept in the images (dump) and given back on restore; private to the
 * plugin. put: 0, -EEXIST for a key that is there, -E2BIG over 1 MiB, -EPERM on restore. get: 0
 * with *data valid until exit(), or -ENOENT.
 */
int criu_data_put(struct criu_call *call, const char *key, const void *data, size_t size);
int criu_data_get(struct criu_call *call, const char *key, const void **data, size_t *size);

/*
 * A file of the plugin's own in the image directory: created on dump (-EEXIST if this dump made it
 * already), opened read-only on restore. name has no '/', and must not be one of the core's images.
 * Returns a descriptor, the caller's, or -errno. The files of a dump that fails are removed.
 */
int criu_image_open(struct criu_call *call, const char *name);

/* Dump, PRE_DUMP_DEVICES to POST_DUMP_DEVICES: a duplicate of the open file, the caller's; or
 * -errno. */
int criu_file_borrow(struct criu_call *call, const struct criu_file *file);

/*
 * A record that recover() gets should the tool and all that looks after it die (G12): on disk when
 * the call returns. It is dropped by criu_journal_drop(), and by the core when the closing hook of
 * the phase and task in which it was made has succeeded. size is at most 4096. An id > 0, or
 * -errno.
 */
int criu_journal(struct criu_call *call, const void *record, size_t size);
void criu_journal_drop(struct criu_call *call, int id);

/*
 * Restore, in restore_file(): `return criu_wait_key(call, "…")` asks to be called again when
 * criu_share_put_*() has been called with that key by any task; _class() when every file of the
 * class is there. Waiting that cannot end fails the restore with the chain of those who wait.
 */
int criu_wait_key(struct criu_call *call, const char *key);
int criu_wait_class(struct criu_call *call, const char *class_name);

/*
 * Exchange between the tasks of the tree and the coordinator, from restore_begin() to the end of
 * stage MAPPINGS (G17). Keys are the plugin's own. put: 0, -EEXIST; the descriptor stays the
 * caller's. get waits until it is there: a descriptor or the size of the bytes (at most size are
 * written to data), or -ECANCELED when the restore fails, -EDEADLK when it can never be there.
 */
int criu_share_put_fd(struct criu_call *call, const char *key, int fd);
int criu_share_put_bytes(struct criu_call *call, const char *key, const void *data, size_t size);
int criu_share_get_fd(struct criu_call *call, const char *key);
ssize_t criu_share_get_bytes(struct criu_call *call, const char *key, void *data, size_t size);

/* Returns 0 in all tasks that hold a file of the barrier's class when all have called it, or
 * -ECANCELED in all of them when one fails or dies. Each task once. */
int criu_barrier_wait(struct criu_call *call, const char *name);

/* Moves a descriptor that the plugin keeps for itself out of the way of the task's own (G20): the
 * new number, or -errno and fd is still open. */
int criu_keep_fd(struct criu_call *call, int fd);

/* ==== The interface of CRIU 4.2 (v0.2) ====================================================== */

/*
 * A plugin of this interface exports CR_PLUGIN_DESC, a table of hooks. Candidates are asked in the
 * byte order of their file names; -ENOTSUP means "not mine". See Documentation/PLUGIN-CONTRACT.md,
 * section 7, for what criu does differently from CRIU 4.2 here.
 */
#define CRIU_PLUGIN_GEN_VERSION(major, minor, sub) (((major) << 16) + ((minor) << 8) + (sub))
#define CRIU_PLUGIN_VERSION_MAJOR                  0
#define CRIU_PLUGIN_VERSION_MINOR                  2
#define CRIU_PLUGIN_VERSION_SUBLEVEL               0
#define CRIU_PLUGIN_VERSION_OLD                    CRIU_PLUGIN_GEN_VERSION(0, 1, 0)
#define CRIU_PLUGIN_VERSION                                                           \
	CRIU_PLUGIN_GEN_VERSION(CRIU_PLUGIN_VERSION_MAJOR, CRIU_PLUGIN_VERSION_MINOR, \
				CRIU_PLUGIN_VERSION_SUBLEVEL)

enum {
	CR_PLUGIN_HOOK__DUMP_UNIX_SK = 0,
	CR_PLUGIN_HOOK__RESTORE_UNIX_SK = 1,
	CR_PLUGIN_HOOK__DUMP_EXT_FILE = 2,
	CR_PLUGIN_HOOK__RESTORE_EXT_FILE = 3,
	CR_PLUGIN_HOOK__DUMP_EXT_MOUNT = 4,
	CR_PLUGIN_HOOK__RESTORE_EXT_MOUNT = 5,
	CR_PLUGIN_HOOK__DUMP_EXT_LINK = 6,
	CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA = 7,
	CR_PLUGIN_HOOK__UPDATE_VMA_MAP = 8,
	CR_PLUGIN_HOOK__RESUME_DEVICES_LATE = 9,
	CR_PLUGIN_HOOK__PAUSE_DEVICES = 10,
	CR_PLUGIN_HOOK__CHECKPOINT_DEVICES = 11,
	CR_PLUGIN_HOOK__POST_FORKING = 12,
	CR_PLUGIN_HOOK__RESTORE_INIT = 13,
	CR_PLUGIN_HOOK__DUMP_DEVICES_LATE = 14,
	CR_PLUGIN_HOOK__MAX
};

/* The stages that init and exit are told. */
enum {
	CR_PLUGIN_STAGE__DUMP = 0,
	CR_PLUGIN_STAGE__PRE_DUMP = 1,
	CR_PLUGIN_STAGE__RESTORE = 2,
	CR_PLUGIN_STAGE_MAX
};

typedef int(cr_plugin_init_t)(int stage);
typedef void(cr_plugin_fini_t)(int stage, int ret);

typedef int(cr_plugin_dump_unix_sk_t)(int fd, int id);
typedef int(cr_plugin_restore_unix_sk_t)(int id);
typedef int(cr_plugin_dump_file_t)(int fd, int id);
typedef int(cr_plugin_restore_file_t)(int id, bool *retry_needed);
typedef int(cr_plugin_dump_ext_mount_t)(char *mountpoint, int id);
typedef int(cr_plugin_restore_ext_mount_t)(int id, char *mountpoint, char *old_root, int *is_file);
typedef int(cr_plugin_dump_ext_link_t)(int index, int type, char *kind);
typedef int(cr_plugin_handle_device_vma_t)(int fd, const struct stat *stat);
typedef int(cr_plugin_update_vma_map_t)(const char *path, uint64_t addr, uint64_t old_pgoff,
					uint64_t *new_pgoff, int *plugin_fd);
typedef int(cr_plugin_resume_devices_late_t)(int pid);
typedef int(cr_plugin_pause_devices_t)(int pid);
typedef int(cr_plugin_checkpoint_devices_t)(int pid);
typedef int(cr_plugin_post_forking_t)(void);
typedef int(cr_plugin_restore_init_t)(void);
typedef int(cr_plugin_dump_devices_late_t)(int id);

typedef struct {
	const char *name;
	cr_plugin_init_t *init;
	cr_plugin_fini_t *exit;
	unsigned int version;   /* CRIU_PLUGIN_VERSION */
	unsigned int max_hooks; /* valid slots of hooks */
	void *hooks[CR_PLUGIN_HOOK__MAX];
} cr_plugin_desc_t;

extern cr_plugin_desc_t CR_PLUGIN_DESC;

/* The descriptor, without functions of its own at start and end. */
#define CR_PLUGIN_REGISTER_DUMMY(name_)           \
	cr_plugin_desc_t CR_PLUGIN_DESC = {       \
		.name = (name_),                  \
		.version = CRIU_PLUGIN_VERSION,   \
		.max_hooks = CR_PLUGIN_HOOK__MAX, \
	};

#define CR_PLUGIN_REGISTER(name_, init_, exit_)   \
	cr_plugin_desc_t CR_PLUGIN_DESC = {       \
		.name = (name_),                  \
		.init = (init_),                  \
		.exit = (exit_),                  \
		.version = CRIU_PLUGIN_VERSION,   \
		.max_hooks = CR_PLUGIN_HOOK__MAX, \
	};

/* Puts a function into its slot when the plugin is loaded. */
#define CR_PLUGIN_REGISTER_HOOK(hook_, func_)                                          \
	static void __attribute__((constructor)) cr_plugin_register_hook_##func_(void) \
	{                                                                              \
		CR_PLUGIN_DESC.hooks[hook_] = (void *)(func_);                         \
	}

/* The directory of the images, in the tool's process and in restored tasks. Not to be closed. */
int criu_get_image_dir(void);

/* Restore only, the exact name: true if the image lists the plugin (it is then taken off the list),
 * or is of a version that did not list plugins. */
bool check_and_remove_inventory_plugin(const char *name, size_t n);
/* Dump only: lists the plugin in the image. 0 or -1. */
int add_inventory_plugin(const char *name);

#ifdef __cplusplus
}
#endif

#endif
