/* SPDX-License-Identifier: GPL-2.0-only */
/* The file that gets the pid of a restored tree's root (--pidfile). */
#ifndef CRIU_CLI_PIDFILE_H
#define CRIU_CLI_PIDFILE_H

struct cr;

/* Before anything is restored: creates it. *ret_fd is the caller's, -1 if none is asked for. 0 or
 * -errno, logged. */
int pidfile_create(struct cr *cr, int *ret_fd);

/* The tree is held: writes the pid now, to be taken back with the tree. 0 or -errno, logged. */
int pidfile_write_early(struct cr *cr, int fd);

/* The restore has succeeded or failed (result): writes the pid, unless that was done, or takes the
 * file away. */
void pidfile_finish(struct cr *cr, int fd, int result);

#endif
