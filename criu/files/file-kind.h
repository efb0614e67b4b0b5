/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kind of open file: everything the tool knows of eventfds, of pipes, of regular files stands in
 * one .c with one struct file_kind and one line in kinds.c. The engine (files/dump.c,
 * files/restore.c) does what all have in common: it finds out which descriptors share an open file
 * description, gives ids, writes fdinfo, keeps flags, owner, position of descriptors and order,
 * passes descriptions between tasks.
 */
#ifndef CRIU_FILES_FILE_KIND_H
#define CRIU_FILES_FILE_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "compel/base/list.h"

struct cr;
struct task;
struct fdinfo; /* kernel/fdinfo.h */

/* What is known of a descriptor (or of a mapped file, an executable, …) before any kind has looked
 * at it. */
struct fd_facts {
	struct task *task;
	int fd; /* number in the task; -1 if it is not a descriptor (exe, cwd, root, mapping) */
	int path_fd;      /* then: our O_PATH descriptor of it while it is being collected */
	const char *link; /* text of the /proc link, whole */
	struct stat st;
	struct fdinfo *info; /* NULL where fd is -1 */
	uint32_t flags;      /* open flags without O_CLOEXEC, O_LARGEFILE included */
	int64_t pos;
	int mnt_id; /* -1 unknown */
	bool is_cloexec;
};

/*
 * An open file description. A kind embeds it as its first member and adds its own.
 */
struct file {
	const struct file_kind *kind;
	uint32_t id;     /* of the image, from 1 */
	struct list all; /* in the order of ids; head in struct files */
	struct list
		holders; /* of struct file_holder: descriptors that refer to it, in tree order */
	uint32_t flags;  /* open flags without O_CLOEXEC */
	uint64_t pos;
	struct FownEntry *fown; /* F_GETOWN_EX, F_GETSIG, F_GETOWNER_UIDS; filled by the engine */
	/* dump */
	struct fd_facts facts; /* of the first holder in tree order */
	/* restore */
	struct FileEntry *entry; /* the message as read */
	struct list needs; /* of struct file_need: files that must exist (anywhere in the tree)
			      before this one */
	unsigned order; /* position in the settled order, from 1; needs come before. 0: not settled
			   yet */
	struct file_shared *shared; /* state in memory that all tasks share */
	struct file *extra_user;    /* the owner: whose number the extra descriptor has, or NULL */
};

struct file_holder {
	struct list node;
	struct task *task; /* first task (in tree order) whose table it is */
	struct file *file;
	int fd;
	bool is_cloexec;
};

struct file_need {
	struct list node;
	struct file *file;
};

struct file_kind {
	const char *name;
	int type;    /* FD_TYPES__x: the format's number, says which member of file_entry is used */
	size_t size; /* of the struct that embeds struct file */

	/* --- dump --- */
	/* Is it mine? Looks at the facts only: no system calls, no messages. The first kind in
	 * kinds.c that says yes gets it. */
	bool (*match)(const struct fd_facts *facts);
	/*
	 * Reads the live kernel, once for each description; refuses (with a message) what cannot be
	 * dumped. The tree is frozen and may have been infected; use pidfd_getfd(2) through
	 * file_borrow_fd() for what needs the description itself. Must not write images. May be
	 * NULL.
	 */
	int (*collect)(struct cr *cr, struct file *file);
	/* Fills its member of the entry (the engine has set type and id; and flags and fown are in
	 * file) and writes payload. */
	int (*dump)(struct cr *cr, struct file *file, struct FileEntry *entry);
	/* After all files were dumped (things that need every id: epoll targets, queues). May be
	 * NULL. */
	int (*finish_dump)(struct cr *cr, struct file *file);

	/* --- restore --- */
	/*
	 * In the coordinator: takes the message (file->entry), checks it, sets file->flags, pos,
	 * fown; names what must exist first with file_add_need(). No kernel. All other files are
	 * loaded too when `link` runs, which may look them up with file_find().
	 */
	int (*load)(struct cr *cr, struct file *file);
	int (*link)(struct cr *cr, struct file *file); /* may be NULL */
	/* In the coordinator, just before the first fork: what must be there for several tasks. May
	 * be NULL. */
	int (*prepare)(struct cr *cr, struct file *file);
	/*
	 * In the process of the owner (first holder in tree order): creates the description. ret_fd
	 * is any number, O_CLOEXEC; the engine moves it, and sets owner and the status flags that
	 * fcntl(2) can set. Position is the kind's.
	 */
	int (*restore)(struct cr *cr, struct task *task, struct file *file, int *ret_fd);
	/*
	 * In the process of a task: a description of its own of the same file with these flags, for
	 * a mapping, an executable, a directory. NULL: files of this kind cannot be that.
	 */
	int (*open)(struct cr *cr, struct file *file, uint32_t flags, int *ret_fd);
	/*
	 * In the owner's process when all descriptors of the task are at their numbers (epoll
	 * targets, inotify, timers to arm late, seals, unlinking of ghosts). May be NULL.
	 */
	int (*finish)(struct cr *cr, struct task *task, struct file *file, int fd);
	/*
	 * In the coordinator, when the whole tree stands and is held, just before it runs: fd is a
	 * duplicate of the description (timers are armed here, so that the time of the restore does
	 * not count). May be NULL.
	 */
	int (*resume)(struct cr *cr, struct file *file, int fd);
	void (*free)(struct file *file); /* what the kind itself allocated; may be NULL */
};

extern const struct file_kind
	*const file_kinds[]; /* kinds.c; ends with NULL; order is the order of match */

#endif
