// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes that wait to be read at an end of a pseudo-terminal. The kernel shows them to nobody who
 * does not take them out, and a slave that edits lines gives no more than whole ones. So they are
 * taken with settings under which all can be read, and put back through the other end with settings
 * that change nothing but keep the ends of lines where they were (an end of file stands among them
 * as a zero byte). What is written arrives by way of a queue of the kernel: settings are given back
 * only when it has.
 *
 * A process of its own does that, in a session of its own and without signals: it lives on, and
 * puts back what it has taken, should the tool be killed in between.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "cr.h"
#include "files/tty/tty.h"
#include "run.h"
#include "util/alloc.h"
#include "util/fd.h"
#include "util/log.h"

/* As much as the kernel's queue takes; and what of it a line discipline lets arrive. */
#define UNREAD_MAX  65536
#define ARRIVED_MAX 4095
/* How often, every 100 microseconds, it is looked whether all has arrived. */
#define ARRIVE_TRIES 50000

/* In memory shared with the process that takes. */
struct unread {
	int err, n;
	char bytes[UNREAD_MAX];
};

/* Settings of the pair under which bytes written at the other end arrive as they are. */
static struct termios quiet(const struct termios *of, bool to_master)
{
	struct termios t = *of;

	/* Nothing but what the slave writes passes through settings on its way. */
	if (to_master) {
		t.c_oflag &= ~(tcflag_t)OPOST;
		return t;
	}
	t.c_iflag = 0;
	t.c_lflag &= ICANON | IEXTEN;
	for (size_t i = 0; i < NCCS; i++)
		if (i != VEOF && i != VEOL && i != VEOL2 && i != VMIN && i != VTIME)
			t.c_cc[i] = _POSIX_VDISABLE;
	return t;
}

/* How many of them can be read once all have arrived, where lines are edited: up to the end of the
 * last. */
static int n_in_lines(const struct termios *t, const char *bytes, int n)
{
	int n_seen = 0, n_lines = 0;

	for (int i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];

		n_seen += c != 0;
		if (c == '\n' || c == 0 || c == t->c_cc[VEOL] || c == t->c_cc[VEOL2])
			n_lines = n_seen;
	}
	return n_lines;
}

static int wait_arrived(int fd, int n)
{
	const struct timespec nap = {.tv_nsec = 100000};
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	for (int i = 0; i < ARRIVE_TRIES; i++) {
		int now = 0;

		/* With nothing to read yet, poll(2) has the kernel empty its queue first. */
		poll(&poll_fd, 1, 0);
		if (ioctl(fd, TIOCINQ, &now) < 0)
			return -errno;
		if (now >= n)
			return 0;
		nanosleep(&nap, NULL);
	}
	return -ETIMEDOUT;
}

int tty_put_unread(int fd, int other, bool to_master, const struct termios *settings,
		   const char *bytes, int n)
{
	bool has_lines = !to_master && (settings->c_lflag & ICANON);
	struct termios t = quiet(settings, to_master);
	int n_arrived = MIN(n, ARRIVED_MAX);
	_cleanup_free_ char *written = xmalloc((size_t)n);
	int err;

	memcpy(written, bytes, (size_t)n);
	for (int i = 0; has_lines && i < n; i++)
		if (!written[i])
			written[i] = (char)t.c_cc[VEOF];
	if (tcsetattr(fd, TCSANOW, &t) < 0)
		return -errno;
	err = write_all(other, written, (size_t)n);
	if (!err)
		err = wait_arrived(fd,
				   has_lines ? n_in_lines(settings, bytes, n_arrived) : n_arrived);
	if (tcsetattr(fd, TCSANOW, settings) < 0 && !err)
		err = -errno;
	return err;
}

/* Takes them out of an end whose settings let all be read; more may arrive when there is room. */
static int take(int fd, struct unread *ret)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (ret->n < UNREAD_MAX && poll(&poll_fd, 1, 0) > 0) {
		ssize_t got;
		int n = 0;

		/* The other end may be closed, which can be read as well. */
		if (ioctl(fd, TIOCINQ, &n) < 0 || !n)
			break;
		got = read(fd, ret->bytes + ret->n, MIN((size_t)n, UNREAD_MAX - (size_t)ret->n));
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			ret->n += (int)got;
	}
	return 0;
}

static int take_and_put(struct cr *cr, int fd, int other, bool is_master, struct unread *ret)
{
	struct termios saved, raw;
	int err, put = 0;

	if (tcgetattr(fd, &saved) < 0)
		return -errno;
	raw = saved;
	raw.c_lflag &= ~(tcflag_t)ICANON;
	raw.c_cc[VMIN] = raw.c_cc[VTIME] = 0;
	/* Those of a master are the slave's, whose unread lines must stay lines. */
	if (!is_master && tcsetattr(fd, TCSANOW, &raw) < 0)
		return -errno;
	err = take(fd, ret);
	(void)fault_hit_outliving(cr, "task-tty");
	if (ret->n)
		put = tty_put_unread(fd, other, is_master, &saved, ret->bytes, ret->n);
	else if (!is_master && tcsetattr(fd, TCSANOW, &saved) < 0)
		put = -errno;
	return err ? err : put;
}

static int run_taker(struct cr *cr, int fd, int other, bool is_master, struct unread *ret)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0) {
		setsid();
		ret->err = take_and_put(cr, fd, other, is_master, ret);
		_exit(0);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return ret->err;
}

int tty_take_unread(struct cr *cr, const struct tty_info *info, int fd, int other, char **ret,
		    int *ret_n)
{
	struct unread *unread = mmap(NULL, sizeof(*unread), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err;

	if (unread == MAP_FAILED)
		return log_err(cr, -errno, "tty %u: memory", info->entry->id);
	/* Where the process is killed. */
	unread->err = -ECHILD;
	err = run_taker(cr, fd, other, info->is_master, unread);
	if (err < 0) {
		log_err(cr, err, "tty %u: read what is unread, and put it back", info->entry->id);
	} else if (unread->n) {
		*ret = xmalloc((size_t)unread->n);
		memcpy(*ret, unread->bytes, (size_t)unread->n);
		*ret_n = unread->n;
	}
	munmap(unread, sizeof(*unread));
	return err;
}
