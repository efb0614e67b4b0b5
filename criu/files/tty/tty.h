/* SPDX-License-Identifier: GPL-2.0-only */
/* Terminals: what kind.c, collect.c and restore.c share. */
#ifndef CRIU_FILES_TTY_TTY_H
#define CRIU_FILES_TTY_TTY_H

#include <termios.h>

#include "files/files-priv.h"
#include "images/tty.pb-c.h"

struct tty_info;

/* An open file description of a terminal. */
struct tty_file {
	struct file file;
	struct tty_info *info;
	uint32_t info_id; /* restore: before info is found */
	uint32_t regf_id;
	bool has_regf;
};

/* An end of a terminal: one line of tty-info.img. */
struct tty_info {
	struct list node; /* in the order in which they were met; head in struct ttys */
	TtyInfoEntry *entry;
	struct tty_file *first;    /* first description of it */
	struct tty_info *peer;     /* the other end of a pseudo-terminal, if the tree has it */
	struct TtyDataEntry *data; /* restore */
	bool is_master;
	bool is_done; /* restore: its settings were made */
};

struct ttys {
	struct list all; /* struct tty_info.node */
	/* restore */
	int own; /* the terminal of the tool, which stands for that of --shell-job; -1 */
	struct ttys_shared *shared;
};

/* In memory that all tasks share: who looks for a number, which sessions have their terminal. */
struct ttys_shared {
	struct futex is_opening;
	struct futex n_sessions; /* that have got it; waiters look again */
	uint32_t n;
	pid_t sid[];
};

struct ttys *ttys_of(struct cr *cr);
struct tty_info *tty_info_find(struct cr *cr, uint32_t id);
struct tty_info *tty_info_new(struct cr *cr, uint32_t id);
/* Finds the other ends of pseudo-terminals. */
void tty_pair(struct cr *cr);

static inline bool tty_is_pty(const struct tty_info *info)
{
	return info->entry->type == TTY_TYPE__PTY;
}

/* collect.c */
bool tty_match(const struct fd_facts *facts);
int tty_collect(struct cr *cr, struct file *file);

/*
 * unread.c: what waits to be read at this end (fd) of a pair, which stays there; other is the other
 * end. *ret, to be freed, and *ret_n are left alone where there is nothing. 0 or -errno, logged.
 */
int tty_take_unread(struct cr *cr, const struct tty_info *info, int fd, int other, char **ret,
		    int *ret_n);
/* Has bytes wait at an end where none do, through the other end; the pair has these settings then.
 * 0 or -errno, unlogged. */
int tty_put_unread(int fd, int other, bool to_master, const struct termios *settings,
		   const char *bytes, int n);

/* restore.c */
int tty_load(struct cr *cr, struct file *file);
int tty_link(struct cr *cr, struct file *file);
int tty_prepare(struct cr *cr, struct file *file);
int tty_restore(struct cr *cr, struct task *task, struct file *file, int *ret_fd);
int tty_resume(struct cr *cr, struct file *file, int fd);

#endif
