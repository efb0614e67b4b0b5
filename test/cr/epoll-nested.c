// SPDX-License-Identifier: GPL-2.0-only
/* epoll: data and events of targets, a nested set, one-shot and edge-triggered targets, a target
 * whose number was closed since. */
#include "crtest.h"

#include <stdint.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = {.events = events, .data.u64 = data};

	crtest_must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

int main(int argc, char **argv)
{
	int inner, outer, ready, quiet, moved, other, n;
	struct epoll_event e[8];
	uint64_t one = 1;

	crtest_begin(argc, argv);
	inner = crtest_must(epoll_create1(EPOLL_CLOEXEC));
	outer = crtest_must(epoll_create1(0));
	ready = crtest_must(eventfd(5, 0));
	quiet = crtest_must(eventfd(0, 0));
	moved = crtest_must(eventfd(0, 0));
	add(inner, ready, EPOLLIN, 0x1122334455667788);
	add(inner, quiet, EPOLLIN | EPOLLONESHOT, 2);
	add(inner, moved, EPOLLIN | EPOLLET, 3);
	add(outer, inner, EPOLLIN, 4);
	/* The set knows this target by a number that is something else by now. */
	other = crtest_must(dup(moved));
	close(moved);

	crtest_wait();

	n = epoll_wait(outer, e, 8, 0);
	crtest_equal("events of the outer set", n, 1);
	crtest_equal("data of the inner set", e[0].data.u64, 4);
	n = epoll_wait(inner, e, 8, 0);
	crtest_equal("events of the inner set", n, 1);
	crtest_equal("data", e[0].data.u64, 0x1122334455667788);
	crtest_must(read(ready, &one, sizeof(one)));
	one = 1;
	crtest_must(write(quiet, &one, sizeof(one)));
	n = epoll_wait(inner, e, 8, 1000);
	crtest_equal("one-shot", n, 1);
	crtest_equal("data of one-shot", e[0].data.u64, 2);
	crtest_equal("one-shot is over", epoll_wait(inner, e, 8, 0), 0);
	crtest_must(write(other, &one, sizeof(one)));
	n = epoll_wait(inner, e, 8, 1000);
	crtest_equal("the moved target", n, 1);
	crtest_equal("data of the moved target", e[0].data.u64, 3);
	return crtest_end();
}
