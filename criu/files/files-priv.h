/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files engine and the kinds of path files share. */
#ifndef CRIU_FILES_FILES_PRIV_H
#define CRIU_FILES_FILES_PRIV_H

#include "compel/base/futex.h"
#include "files/files.h"
#include "kernel/fdinfo.h"
#include "util/hash.h"

struct kcmp_ids;
struct arena;
struct image;
struct ghosts;
struct ttys;
struct unix_list;

#define FILES_MAX_IMAGES 8

struct files {
	struct list all; /* struct file.all */
	size_t n;
	struct hash by_id;
	struct fd_table **tables;
	size_t n_tables, tables_capacity;
	struct hash tables_by_id;

	/* dump */
	struct kcmp_ids *kcmp;
	struct hash mapped_memfds; /* hash of (dev, ino) -> struct memfd without descriptor */
	struct hash links; /* hash of (dev, ino, path) -> first struct reg_file of that hash */
	struct {
		int kind;
		struct image *image;
	} images[FILES_MAX_IMAGES];
	size_t n_images;
	struct unix_list *unix_sockets; /* dump: those of the namespace, once a socket was met */
	struct hash unix_by_ino;        /* inode number -> first unix socket of it; both sides */
	struct ttys *ttys;              /* tty/tty.h; both sides */
	struct ghosts *ghosts;          /* ghost.c; both sides */
	bool *has_external;             /* those of --external that were met; NULL: none */
	bool has_warned_eventfd;

	/* restore */
	struct hash fs; /* pid -> FsEntry */
	struct FileLockEntry **locks;
	size_t n_locks, locks_capacity;
	struct hash queues;       /* queues.c: first entry of each pipe and socket that has one */
	struct hash pipe_masters; /* pipe-data.c: kind and pipe_id -> end that makes the pipe */
	bool has_pipe_masters;
	struct hash fresh_unix;  /* unix.c: type + 1 -> options that new sockets of it have */
	struct hash inherited;   /* hash of the key -> struct inherited */
	struct inherited *given; /* as many as the option was given */
	pid_t *helpers;
	size_t n_helpers, helpers_capacity;
	struct arena *arena;
	struct file **order; /* settled order */
	int first_free_fd;
	struct files_shared *shared;
};

/* Restore, in the coordinator: reads the images of what is on the way in pipes and sockets. 0 or
 * -errno, logged. */
int queues_load(struct cr *cr);
/* The first entry that the image has for this pipe or socket, or NULL. */
const void *queues_first(const struct cr *cr, int image_kind, uint32_t id);

struct files *files_new(void);
/* Makes a file of the kind and enters it under id. */
struct file *file_new(struct files *files, const struct file_kind *kind, uint32_t id);
void file_add_holder(struct file *file, struct file_holder *holder);
/* The table of a files_id, made if it is not there (then task is its first). */
struct fd_table *files_table(struct files *files, uint32_t files_id, struct task *task);
const struct file_kind *file_kind_of_type(int type);
const struct file_kind *file_kind_match(const struct fd_facts *facts);
void fd_table_free(struct fd_table *table);

/* Refuses an entry whose member is not that of its type. */
int file_refuse_entry(struct cr *cr, const struct file *file);
/* In a task's process: a duplicate of a description, from its owner; waits until it is there. The
 * caller closes it. */
int file_take(struct cr *cr, struct file *file, int *ret_fd);
/* The same of what the owner gave to file_keep_extra(), to make user of it. */
int file_take_extra(struct cr *cr, struct file *file, const struct file *user, int *ret_fd);

/* State of a file in memory that all tasks of a restore share. */
struct file_shared {
	struct futex state; /* FILE_x */
	int32_t owner_pid;  /* host pid of the owner's process */
	int32_t fd;         /* its number there */
	int32_t extra_fd;   /* what file_keep_extra() was given, or -1 */
};
enum { FILE_NOT_YET = 0, FILE_READY = 1, FILE_FAILED = 2 };

struct files_shared {
	struct futex failed;    /* some task's files failed: waiters give up */
	struct futex name_lock; /* linking a removed file to its name and away again */
	/* By the index of a task whose table it is: others that share the table and are done with
	 * descriptors of their own in it. */
	struct futex arrived[];
};

/* --- reg.c: regular files, directories, devices of the kernel's memory driver --- */

struct reg_file {
	struct file file;
	const char *name;      /* absolute, or the key of an external file */
	struct reg_file *next; /* dump: same hash of (dev, ino, path) */
	struct ghost *ghost;   /* unlinked: lies in ghost-file-N.img */
	struct reg_file
		*linked; /* lies under the name of this file, which goes away after the restore */
	pid_t dead_pid;  /* below /proc of a task that is gone: its pid; else 0 */
	int undo_id;     /* dump: of the temporary link that this is; restore: of the name that it
			    has while it is opened */
	bool is_external;
	bool is_device;   /* dump: mapped, and a plugin's */
	bool need_not_be; /* restore: its kind makes the name (a slave end in /dev/pts) */
	uint32_t *build_id;
	size_t n_build_id;
};

extern const struct file_kind file_kind_reg;

/* A file by path that needs no descriptor: finds or makes the entry for facts (which are copied).
 */
int reg_add(struct cr *cr, const struct fd_facts *facts, uint32_t flags, uint64_t pos,
	    bool may_reuse, struct reg_file **ret);
/* The entry for the path of a mapped device that a plugin owns: nothing but path and mode counts.
 */
int reg_add_device(struct cr *cr, const struct fd_facts *facts, uint32_t flags,
		   struct reg_file **ret);
int reg_open(struct cr *cr, struct reg_file *reg, uint32_t flags, int *ret_fd);

/* --- memfd.c --- */

/* The entry for mappings of a shared memory object; facts->path_fd leads to it. */
int memfd_add_mapping(struct cr *cr, const struct fd_facts *facts, uint32_t *ret_id);

/* --- remap.c: names that no longer lead to the file --- */

/* Decides how a path file whose name does not lead to it is kept: sets ghost, linked or dead_pid,
 * or refuses. */
int remap_collect(struct cr *cr, struct reg_file *reg);
int remap_dump(struct cr *cr);
/* Reads remap-fpath.img; files are loaded already. */
int remap_load(struct cr *cr);

/* In the coordinator: a task for each pid whose files below /proc are open, until files_finish().
 */
int remap_start_dead(struct cr *cr);
/* Of removed files, should the restore be cut short in one of the moments in which they have their
 * names: in the coordinator, when their temporary names are there, and before these go. */
int remap_guard_names(struct cr *cr);
void remap_forget_names(struct cr *cr);

/* --- fs.c, inherit.c, old.c, load.c --- */

int fs_dump(struct cr *cr, struct task *task);
int fs_load(struct cr *cr, struct task *task);
int inherit_load(struct cr *cr);
/* Once all files are linked: descriptors that none of them asked for. */
void inherit_warn_unmatched(struct cr *cr);

/* --- external.c --- */

/* Was --external type[id] given? */
bool external_match(struct cr *cr, const char *type, const char *id);
/* Once all files are collected: those that none was. */
void external_warn_unmatched(struct cr *cr);
/* Warns of what --irmap-scan-path names in vain. */
void irmap_warn_paths(struct cr *cr);
int files_load_old(struct cr *cr);
/* Makes the file of an entry, which it takes. */
int file_load_entry(struct cr *cr, struct FileEntry *entry);

/* --- tty/ --- */

int tty_restore_session(struct cr *cr, struct task *task);
void ttys_free(struct ttys *ttys);
/*
 * In a task's process, before its turn: makes the file now if the task owns it (it is not made
 * again), else waits until its owner has made it.
 */
int file_make_early(struct cr *cr, struct task *task, struct file *file);

/* --- locks.c --- */

/* Refuses locks that cannot be kept. */
int locks_collect(struct cr *cr);
int locks_dump(struct cr *cr);
int locks_load(struct cr *cr);
int locks_restore_table(struct cr *cr, const struct fd_table *table);

/* --- ghost.c: unlinked files, kept with their contents --- */

struct ghost;
/* The ghost of the inode, made if it is the first file that needs it; refuses what is over the
 * limit. */
int ghost_collect(struct cr *cr, struct reg_file *reg, struct ghost **ret);
uint32_t ghost_id(const struct ghost *ghost);
int ghost_dump_all(struct cr *cr);
/* The ghost with that id, read from its image (once), to be created at name. */
int ghost_load(struct cr *cr, uint32_t id, const char *name, struct ghost **ret);
/* In the coordinator: creates all ghosts next to their names. */
int ghost_create_all(struct cr *cr);
/* The name it has meanwhile, or NULL. */
const char *ghost_temporary(const struct ghost *ghost);
/* In a task: opens the ghost under name, as it was opened. */
int ghost_open(struct cr *cr, struct ghost *ghost, const char *name, uint32_t flags, int *ret_fd);
/* In the coordinator: takes their temporary names away. */
int ghost_remove_all(struct cr *cr);
void ghosts_free(struct ghosts *ghosts);
/* Restore: the ghost that was on that device (kernel's packing) with that inode number, or NULL:
 * watches look for their targets. */
struct ghost *ghost_of_inode(struct cr *cr, uint32_t dev, uint64_t ino);
/*
 * In a task: opens what lies under a temporary name as if it had the old name, which it gets for a
 * moment, so that /proc shows that.
 */
int open_under_name(struct cr *cr, const char *temporary, const char *name, uint32_t flags,
		    int *ret_fd);

/* --- build-id.c --- */

/*
 * The GNU build-id of the ELF file behind fd as the image keeps it (bytes packed into words, zero
 * padded): number of words, 0 if it has none, or -errno. The caller frees *ret.
 */
int build_id_read(int fd, uint32_t **ret);

/* --- sockets/unix.c --- */

void unix_free_fresh(struct files *files);

/* --- fown.c --- */

int fown_collect(struct cr *cr, struct file *file, int borrowed_fd);
int fown_restore(struct cr *cr, const struct file *file, int fd);

#endif
