// SPDX-License-Identifier: GPL-2.0-only
/* criu-fails: an internet socket cannot be saved */
/* Sockets of other families are refused by name. */
#include "crtest.h"

#include <netinet/in.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	int fd;

	crtest_begin(argc, argv);
	fd = crtest_must(socket(AF_INET, SOCK_DGRAM, 0));
	crtest_wait();
	crtest_true(fcntl(fd, F_GETFD) == 0);
	return crtest_end();
}
