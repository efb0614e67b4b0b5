/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sessions and groups that no parent could give: a daemon whose session leader is gone, orphans of
 * a session whose leader lives, a child forked before its parent made a session, a group whose
 * leader is gone and one whose leader has left it. Each process keeps parent, session and group.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "crtest.h"

struct place {
	pid_t pid, ppid, sid, pgid;
};

static struct place *was; /* in memory that all share */
static pid_t root;

static void hold(int index)
{
	was[index] = (struct place){getpid(), getppid(), getsid(0), getpgrp()};
	for (;;)
		pause();
}

static void wait_for(int index)
{
	while (!__atomic_load_n(&was[index].pgid, __ATOMIC_ACQUIRE))
		crtest_sleep_ms(1);
}

/* Forks a process that runs on with the given parent; true in it. */
static bool forks(void)
{
	return crtest_must(fork()) == 0;
}

static void adopted(void)
{
	while (getppid() != root)
		crtest_sleep_ms(1);
}

/* 0: a daemon, its session's leader gone; 1: another of that session; 2: a child of the daemon. */
static void daemons(void)
{
	if (forks()) {
		setsid();
		if (forks()) {
			adopted();
			if (forks())
				hold(2);
			hold(0);
		}
		if (forks()) {
			adopted();
			setpgid(0, 0);
			hold(1);
		}
		_exit(0);
	}
	wait_for(0);
	wait_for(1);
	wait_for(2);
}

/* 3: leader of a session; 4: an orphan in it, adopted by the root; 5: its child, a leader of its
 * own. */
static void orphans(void)
{
	if (forks()) {
		setsid();
		if (forks()) {
			if (forks()) {
				adopted();
				if (forks()) {
					setsid();
					hold(5);
				}
				hold(4);
			}
			_exit(0);
		}
		waitpid(-1, NULL, 0);
		hold(3);
	}
	wait_for(3);
	wait_for(4);
	wait_for(5);
}

/* 6: a leader, whose child 7 was born before it was one, and 8 after. */
static void before_setsid(void)
{
	if (forks()) {
		if (forks())
			hold(7);
		setsid();
		if (forks())
			hold(8);
		hold(6);
	}
	wait_for(6);
	wait_for(7);
	wait_for(8);
}

/* 9, 10: in the group of a process that is gone; 11 left the group that 12 is still in. */
static void groups(void)
{
	pid_t leader = crtest_must(fork());

	if (!leader) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	while (getpgid(leader) != leader)
		crtest_sleep_ms(1);
	if (forks()) {
		setpgid(0, leader);
		hold(9);
	}
	if (forks()) {
		setpgid(0, leader);
		hold(10);
	}
	wait_for(9);
	wait_for(10);
	kill(leader, SIGKILL);
	waitpid(leader, NULL, 0);

	leader = crtest_must(fork());
	if (!leader) {
		setpgid(0, 0);
		wait_for(12);
		setpgid(0, getpgid(getppid()));
		hold(11);
	}
	if (forks()) {
		while (setpgid(0, leader) < 0)
			crtest_sleep_ms(1);
		hold(12);
	}
	wait_for(11);
	wait_for(12);
}

static void check(int index)
{
	const struct place *p = &was[index];
	char path[64], text[512];
	FILE *f;
	int ppid = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", p->pid);
	f = fopen(path, "r");
	if (f && fgets(text, sizeof(text), f))
		sscanf(strrchr(text, ')') + 4, "%d", &ppid);
	if (f)
		fclose(f);
	crtest_equal("parent", ppid, p->ppid);
	crtest_equal("session", getsid(p->pid), p->sid);
	crtest_equal("group", getpgid(p->pid), p->pgid);
}

int main(int argc, char **argv)
{
	int fd;

	crtest_begin(argc, argv);
	root = getpid();
	crtest_must(prctl(PR_SET_CHILD_SUBREAPER, 1));
	fd = crtest_must(open(crtest_path("table"), O_RDWR | O_CREAT, 0600));
	crtest_must(ftruncate(fd, 4096));
	was = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	daemons();
	orphans();
	before_setsid();
	groups();
	crtest_wait();
	for (int i = 0; i < 13; i++)
		check(i);
	for (int i = 0; i < 13; i++)
		kill(was[i].pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return crtest_end();
}
