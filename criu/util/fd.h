/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File descriptors: whole reads and writes, small files, passing descriptors between processes,
 * pidfds. Everything returns -errno, repeats after EINTR, and opens with O_CLOEXEC.
 */
#ifndef CRIU_UTIL_FD_H
#define CRIU_UTIL_FD_H

#include <stddef.h>
#include <sys/types.h>

/* Reads until size bytes or the end of the file; the number of bytes, or -errno. */
ssize_t read_all(int fd, void *buf, size_t size);
ssize_t pread_all(int fd, void *buf, size_t size, off_t offset);
/* Exactly size bytes: 0, or -errno; -ENODATA where the file ends before. */
int read_exact(int fd, void *buf, size_t size);
int pread_exact(int fd, void *buf, size_t size, off_t offset);
/* All of it: 0 or -errno. */
int write_all(int fd, const void *buf, size_t size);
int pwrite_all(int fd, const void *buf, size_t size, off_t offset);

/*
 * The whole file at path relative to dirfd, with a zero byte behind it; the caller frees *ret.
 * ret_size may be NULL. Works for /proc, where sizes are not known before.
 */
int fd_read_file(int dirfd, const char *path, char **ret, size_t *ret_size);
/* Reads into buf, at most size - 1 bytes, and ends it with a zero byte; the length, or -EFBIG if
 * the file is longer. */
ssize_t fd_read_file_into(int dirfd, const char *path, char *buf, size_t size);
/* One write(2) of text to an existing file, as files in /proc and cgroups want it. */
int fd_write_file(int dirfd, const char *path, const char *text);
int fd_write_filef(int dirfd, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What the link says, of any length; the caller frees *ret. path "" reads the link that dirfd
 * itself was opened on (O_PATH). */
int fd_read_link(int dirfd, const char *path, char **ret);

/* At most this many descriptors fit into one message; fds_send() and fds_receive() split longer
 * arrays by themselves. */
#define FD_BATCH 253
/* Sends n descriptors over the unix socket; they stay open here. 0 or -errno. */
int fds_send(int socket, const int *fds, size_t n);
/* Receives exactly n, close-on-exec; on error none stays open. 0 or -errno, -ECONNRESET if the peer
 * went away. */
int fds_receive(int socket, int *ret_fds, size_t n);
int send_fd(int socket, int fd);
/* The descriptor or -errno. */
int recv_fd(int socket);

/* pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2): fd (close-on-exec) or 0, or -errno. */
int pidfd_new(pid_t pid);
/* Of one thread, by its tid. -EINVAL: kernels before 6.9 have none. */
int pidfd_new_thread(pid_t tid);
int pidfd_fetch(int pidfd, int target_fd);
int pidfd_signal(int pidfd, int signo);

/* Moves *fd to a free number >= min (the old one is closed) unless it is there already.
 * Close-on-exec. 0 or -errno. */
int fd_move_above(int *fd, int min);
/* Moves *fd to exactly number, closing what was there. 0 or -errno. */
int fd_move_to(int *fd, int number, int cloexec);
/* Closes first..last inclusive; last may be ~0U. */
int fd_close_range(unsigned int first, unsigned int last);
int fd_set_cloexec(int fd, int on);
int fd_set_nonblock(int fd, int on);

#endif
