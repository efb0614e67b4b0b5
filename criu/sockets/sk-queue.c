// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data in unix sockets that nobody received yet. Looked at with MSG_PEEK and SO_PEEK_OFF, which
 * leave it where it is; the offset is put back after. Streams are kept in the pieces that come,
 * datagrams one by one, an empty one too. Descriptors in flight are refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cr.h"
#include "compel/base/cleanup.h"
#include "images/lib/image.h"
#include "sockets/unix.h"
#include "task/task.h"
#include "util/alloc.h"
#include "util/log.h"

#include "images/sk-packet.pb-c.h"

/* More than a socket's buffer is never in one piece. */
#define STREAM_PIECE 65536

static int write_packet(struct cr *cr, const struct file *file, const char *buf, size_t n)
{
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;
	struct image *img;
	int err;

	e.id_for = file->id;
	e.length = n;
	err = files_image(cr, IMAGE_SK_QUEUES, &img);
	if (err)
		return err;
	err = image_write_entry(img, &e.base, buf, n);
	return err ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

/* 1: there was a packet; 0: that was all. */
static int peek_packet(struct cr *cr, const struct file *file, int fd, int type, char **buf,
		       size_t *size, size_t *ret_n)
{
	char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec iov;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	ssize_t n;

	for (;;) {
		iov = (struct iovec){*buf, *size};
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		n = recvmsg(fd, &msg,
			    MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC |
				    (type == SOCK_STREAM ? 0 : MSG_TRUNC));
		if (n < 0)
			return errno == EAGAIN
				       ? 0
				       : log_err(cr, -errno, "socket %#x: look into its queue",
						 file->id);
		for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
				continue;
			for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
				close(((int *)CMSG_DATA(c))[i]);
			return log_refuse(cr, -ENOTSUP,
					  "pid %d: fd %d: descriptors are in flight in this socket",
					  file->facts.task->host_pid, file->facts.fd);
		}
		if (type == SOCK_STREAM || (size_t)n <= *size)
			break;
		/* A datagram that is longer: look again from its start, with more room. */
		*size = n;
		*buf = xrealloc(*buf, *size);
	}
	*ret_n = n;
	return type == SOCK_STREAM ? n > 0 : 1;
}

static int dump_packets(struct cr *cr, const struct file *file, int fd, int type)
{
	_cleanup_free_ char *buf = xmalloc(STREAM_PIECE);
	size_t size = STREAM_PIECE, n;
	int zero_length = 0, got, off;

	while ((got = peek_packet(cr, file, fd, type, &buf, &size, &n)) > 0) {
		int err = write_packet(cr, file, buf, n);

		if (err)
			return err;
		/* The offset does not move over an empty datagram: it would be seen for ever. */
		if (n == 0 && ++zero_length) {
			log_warn(cr,
				 "socket %#x: what is queued behind an empty datagram is not saved",
				 file->id);
			break;
		}
		socklen_t len = sizeof(off);
		if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, &len) < 0 || off < 0)
			break;
	}
	return got < 0 ? got : 0;
}

int sk_queue_dump(struct cr *cr, const struct file *file, int type)
{
	_cleanup_close_ int fd = -1;
	int zero = 0, before, waiting, err, err2 = 0;
	socklen_t n = sizeof(before);

	err = file_borrow_fd(cr, file, &fd);
	if (err)
		return err;
	if (type == SOCK_STREAM && ioctl(fd, FIONREAD, &waiting) == 0 && !waiting)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, &n) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) < 0)
		return log_err(cr, -errno, "socket %#x: look into its queue", file->id);
	err = dump_packets(cr, file, fd, type);
	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, sizeof(before)) < 0)
		err2 = log_err(cr, -errno, "socket %#x: put its peek offset back", file->id);
	return err ? err : err2;
}

static int send_packet(struct cr *cr, const struct file *file, int type, int fd, struct image *img,
		       const SkPacketEntry *e)
{
	_cleanup_free_ char *buf = xmalloc(e->length);
	size_t sent = 0;
	int err;

	if (e->n_scm)
		return log_refuse(cr, -ENOTSUP, "sk-queues.img: socket %#x: descriptors in flight",
				  file->id);
	err = image_read_payload(img, buf, e->length);
	if (err)
		return log_refuse(cr, err, "%s", image_last_error(cr->images));
	do {
		ssize_t n = send(fd, buf + sent, e->length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return log_err(cr, -errno, "socket %#x: put %u bytes back into its queue",
				       file->id, e->length);
		sent += n;
	} while (type == SOCK_STREAM && sent < e->length);
	return 0;
}

int sk_queue_send(struct cr *cr, const struct file *file, int type, int fd)
{
	_cleanup_image_ struct image *img = NULL;
	SkPacketEntry *e;
	int err;

	if (!queues_first(cr, IMAGE_SK_QUEUES, file->id))
		return 0;
	err = image_open(cr->images, IMAGE_SK_QUEUES, 0, &img);
	while (!err && (err = image_read(img, &e)) > 0) {
		if (e->id_for == file->id)
			err = send_packet(cr, file, type, fd, img, e);
		else
			err = image_skip_payload(img, e->length);
		image_message_free(e);
		if (err)
			return err;
	}
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}
