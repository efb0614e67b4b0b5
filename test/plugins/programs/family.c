// SPDX-License-Identifier: GPL-2.0-only
/*
 * family FOLDER DEVICE: a parent and two children.
 *
 *	shared      a0 and b0, opened and mapped by the parent, inherited by both: the first child
 *keeps descriptor and mapping, the second only the mapping private     a1 and b1 of the first
 *child, a2 and b2 of the second sharing     the parent's b0 imports a0's buffer; the first child's
 *b1 imports a1's, and the second child's b2 imports a0's, which is another process's twice the
 *parent has a0 at two more descriptors, by dup(2)
 */
#include "client.h"
#include "crtest.h"

#include <sys/syscall.h>

enum { A, B };

struct member {
	struct client_file own[2];
	const struct client_file *imported_from;
};

static struct client_file shared[2];

static void say(const char *text)
{
	if (text)
		crtest_fail("%s", text);
}

static void look(struct member *member)
{
	say(client_check(&member->own[A]));
	say(client_check(&member->own[B]));
	if (member->imported_from)
		say(client_check_share(member->imported_from, &member->own[B]));
	say(client_check_map(&shared[A]));
	say(client_check_map(&shared[B]));
}

static int child(int number, const char *device, int ready)
{
	struct member member = {.imported_from = number == 1 ? &member.own[A] : NULL};
	char name_a[] = "a0", name_b[] = "b0";

	name_a[1] = name_b[1] = (char)('0' + number);
	crtest_must(client_open(&member.own[A], device, name_a, 100u * (unsigned int)number, 2,
				CLIENT_ALL));
	crtest_must(client_open(&member.own[B], device, name_b, 100u * (unsigned int)number + 1, 3,
				CLIENT_BUFFER));
	crtest_must(client_share(number == 1 ? &member.own[A] : &shared[A], &member.own[B]));
	if (number == 2) {
		close(shared[A].fd);
		close(shared[B].fd);
	}
	look(&member);
	crtest_must(write(ready, "", 1));
	close(ready);
	while (!crtest_is_triggered())
		crtest_sleep_ms(10);
	look(&member);
	if (number == 1) {
		say(client_check(&shared[A]));
		say(client_check(&shared[B]));
	} else {
		say(client_check_imported(&shared[A], &member.own[B]));
	}
	return crtest_child_status();
}

static bool is_same_file(int a, int b)
{
	enum { KCMP_FILE = 0 };

	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

static void check_parent(int second, int third)
{
	struct fakedev_info info[2];

	say(client_check(&shared[A]));
	say(client_check(&shared[B]));
	say(client_check_share(&shared[A], &shared[B]));
	crtest_true(is_same_file(shared[A].fd, second));
	crtest_true(is_same_file(shared[A].fd, third));
	crtest_must(ioctl(second, FAKEDEV_INFO, &info[0]));
	crtest_must(ioctl(shared[A].fd, FAKEDEV_INFO, &info[1]));
	crtest_equal("handle", info[0].handle, info[1].handle);
}

int main(int argc, char **argv)
{
	int ends[2], second, third;
	pid_t children[3];
	char byte;

	crtest_begin(argc, argv);
	if (argc != 3)
		crtest_broken("family FOLDER DEVICE");
	crtest_must(client_open(&shared[A], argv[2], "a0", 1, 2, CLIENT_ALL));
	crtest_must(client_open(&shared[B], argv[2], "b0", 2, 1, CLIENT_ALL));
	crtest_must(client_share(&shared[A], &shared[B]));
	second = crtest_must(dup(shared[A].fd));
	third = crtest_must(fcntl(shared[A].fd, F_DUPFD_CLOEXEC, 50));
	crtest_must(pipe(ends));
	for (int i = 1; i < 3; i++) {
		children[i] = crtest_must(fork());
		if (children[i] == 0) {
			close(ends[0]);
			close(second);
			close(third);
			_exit(child(i, argv[2], ends[1]));
		}
	}
	close(ends[1]);
	for (int i = 1; i < 3; i++)
		if (read(ends[0], &byte, 1) != 1)
			crtest_broken("a child is not ready (see err)");
	close(ends[0]);
	check_parent(second, third);

	crtest_wait();

	for (int i = 1; i < 3; i++)
		crtest_join("child", children[i]);
	check_parent(second, third);
	return crtest_end();
}
