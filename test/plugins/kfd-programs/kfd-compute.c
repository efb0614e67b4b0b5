// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfd-compute FOLDER ROOT [gpus=N] [buffers=N] [size=BYTES] [queues=0|1] [threads=N]
 *
 * One process with kfd and the render node of each GPU, that works until it is told to check.
 *
 *	buffers	of each kind on each GPU: VRAM, GTT, memory of the process, VRAM that no CPU
 *		has mapped (16 at most); every second one is mapped to all GPUs; one doorbell
 *		and one page of registers. 0: none at all, and no queue.
 *	queues	one on each GPU, in the buffers there that a CPU has mapped
 *	threads	that look at the buffers meanwhile
 *
 * It has an event that is signaled, one that is not, and one on which a thread waits.
 */
#include "kfd-client.h"
#include "crtest.h"

#include <pthread.h>
#include <sys/syscall.h>

enum { KINDS = 4, THREADS_MAX = 8, HIDDEN_MAX = 16 };

static const enum client_kind kinds[KINDS] = {CLIENT_VRAM, CLIENT_GTT, CLIENT_USERPTR,
					      CLIENT_HIDDEN};

struct settings {
	unsigned int gpus, buffers, queues, threads;
	unsigned long long size;
};

struct compute {
	struct settings set;
	struct client client;
	struct client_buffer *buffers, doorbells[CLIENT_GPUS_MAX], registers[CLIENT_GPUS_MAX];
	struct client_queue queues[CLIENT_GPUS_MAX];
	unsigned int n_buffers;
	uint32_t events[3];
	/* Of the threads: what is wrong. */
	const char *wrong;
	bool is_waiting_over;
};

static void say(const char *text)
{
	if (text)
		crtest_fail("%s", text);
}

static void parse(struct settings *set, int argc, char **argv)
{
	*set = (struct settings){.gpus = 1, .buffers = 1, .queues = 1, .size = 65536};
	for (int i = 3; i < argc; i++)
		if (sscanf(argv[i], "gpus=%u", &set->gpus) != 1 &&
		    sscanf(argv[i], "buffers=%u", &set->buffers) != 1 &&
		    sscanf(argv[i], "queues=%u", &set->queues) != 1 &&
		    sscanf(argv[i], "threads=%u", &set->threads) != 1 &&
		    sscanf(argv[i], "size=%llu", &set->size) != 1)
			crtest_broken("what is %s?", argv[i]);
	if (!set->buffers)
		set->queues = 0;
}

/* Of hidden ones there are a few only: to look at one takes many calls. */
static enum client_kind kind_of(unsigned int i)
{
	return kinds[i % KINDS] == CLIENT_HIDDEN && i >= HIDDEN_MAX * KINDS ? CLIENT_VRAM
									    : kinds[i % KINDS];
}

static void make_buffers(struct compute *compute)
{
	const struct settings *set = &compute->set;

	compute->buffers =
		calloc(set->gpus * set->buffers * KINDS + 1, sizeof(struct client_buffer));
	for (unsigned int gpu = 0; gpu < set->gpus; gpu++) {
		for (unsigned int i = 0; i < set->buffers * KINDS; i++) {
			unsigned int n = compute->n_buffers++;
			struct client_buffer *buffer = &compute->buffers[n];

			crtest_must(client_alloc(&compute->client, buffer, kind_of(i), gpu,
						 set->size, n + 1));
			if (i % 2 && set->gpus > 1)
				crtest_must(client_map_all(buffer));
		}
		if (!set->buffers)
			continue;
		crtest_must(client_alloc(&compute->client, &compute->doorbells[gpu],
					 CLIENT_DOORBELL, gpu, 8192, 0));
		crtest_must(client_alloc(&compute->client, &compute->registers[gpu], CLIENT_MMIO,
					 gpu, CLIENT_PAGE, 0));
	}
}

/* Each has words of its own in the buffers of its GPU. */
static void make_queues(struct compute *compute)
{
	unsigned int gpus = compute->set.gpus;

	for (unsigned int gpu = 0; compute->set.queues && gpu < gpus; gpu++) {
		struct client_buffer *places[PROGRAM_PLACES_MAX / 2];
		unsigned int n = 0;

		for (unsigned int i = 0; i < compute->n_buffers && n < PROGRAM_PLACES_MAX / 2; i++)
			if (compute->buffers[i].map && compute->buffers[i].gpu == gpu)
				places[n++] = &compute->buffers[i];
		crtest_must(client_run(&compute->client, &compute->queues[gpu], gpu, places, n));
	}
}

static int event_ioctl(const struct compute *compute, unsigned long cmd, uint32_t id)
{
	struct kfd_event_id arg = {.id = id};

	return ioctl(compute->client.kfd, cmd, &arg);
}

static void make_events(struct compute *compute)
{
	for (int i = 0; i < 3; i++) {
		struct kfd_create_event arg = {.type = KFD_EVENT_SIGNAL, .auto_reset = i == 2};

		crtest_must(ioctl(compute->client.kfd, KFD_IOC_CREATE_EVENT, &arg));
		compute->events[i] = arg.event_id;
	}
	crtest_must(event_ioctl(compute, KFD_IOC_SET_EVENT, compute->events[0]));
}

static bool is_signaled(const struct compute *compute, uint32_t id)
{
	struct kfd_event_data data = {.event_id = id};
	struct kfd_wait_events arg = {.events = (uintptr_t)&data, .n_events = 1};

	return ioctl(compute->client.kfd, KFD_IOC_WAIT_EVENTS, &arg) == 0 &&
	       arg.result == KFD_WAIT_COMPLETE;
}

static void *wait_for_event(void *arg)
{
	struct compute *compute = arg;

	while (!is_signaled(compute, compute->events[2]))
		crtest_sleep_ms(5);
	__atomic_store_n(&compute->is_waiting_over, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *look_around(void *arg)
{
	struct compute *compute = arg;

	while (!crtest_is_triggered())
		for (unsigned int i = 0; i < compute->n_buffers && !crtest_is_triggered(); i++)
			if (compute->buffers[i].map && client_check(&compute->buffers[i]))
				__atomic_store_n(&compute->wrong, "a thread saw wrong contents",
						 __ATOMIC_SEQ_CST);
	return NULL;
}

/* Each GPU has its own. */
static void check_registers(struct compute *compute)
{
	const struct client_buffer *registers = compute->registers;

	for (unsigned int i = 0; compute->set.buffers && i < compute->set.gpus; i++) {
		say(client_check(&registers[i]));
		for (unsigned int j = 0; j < i; j++)
			crtest_true(memcmp(registers[i].map, registers[j].map, 4) != 0);
	}
}

static void check(struct compute *compute)
{
	check_registers(compute);
	for (unsigned int i = 0; i < compute->n_buffers; i++)
		say(client_check(&compute->buffers[i]));
	for (unsigned int i = 0; compute->set.queues && i < compute->set.gpus; i++)
		say(client_check_runs(&compute->queues[i]));
	crtest_true(is_signaled(compute, compute->events[0]));
	crtest_true(!is_signaled(compute, compute->events[1]));
}

/* What it has can be used as before: handles, ids, events, new buffers. */
static void use(struct compute *compute)
{
	struct client_buffer more;

	if (client_alloc(&compute->client, &more, CLIENT_VRAM, compute->set.gpus - 1, 8192, 77) < 0)
		crtest_fail("alloc: %s", strerror(errno));
	else
		say(client_check(&more));
	if (client_free(&more) < 0)
		crtest_fail("free: %s", strerror(errno));
	for (unsigned int i = 0; i < compute->n_buffers; i++)
		if (!compute->buffers[i].has_places && client_free(&compute->buffers[i]) < 0)
			crtest_fail("buffer %u cannot be freed: %s", i, strerror(errno));
	for (unsigned int i = 0; compute->set.queues && i < compute->set.gpus; i++)
		if (event_ioctl(compute, KFD_IOC_DESTROY_QUEUE, compute->queues[i].id) < 0)
			crtest_fail("queue %u cannot be destroyed: %s", i, strerror(errno));
	for (int i = 0; i < 3; i++)
		if (event_ioctl(compute, KFD_IOC_DESTROY_EVENT, compute->events[i]) < 0)
			crtest_fail("event %d cannot be destroyed: %s", i, strerror(errno));
}

int main(int argc, char **argv)
{
	static struct compute compute;
	pthread_t waiter, threads[THREADS_MAX];

	crtest_begin(argc, argv);
	if (argc < 3)
		crtest_broken("kfd-compute FOLDER ROOT [KEY=VALUE]...");
	parse(&compute.set, argc, argv);
	crtest_must(client_open(&compute.client, argv[2], compute.set.gpus));
	make_buffers(&compute);
	make_queues(&compute);
	make_events(&compute);
	pthread_create(&waiter, NULL, wait_for_event, &compute);
	for (unsigned int i = 0; i < compute.set.threads && i < THREADS_MAX; i++)
		pthread_create(&threads[i], NULL, look_around, &compute);
	check(&compute);

	crtest_wait();

	check(&compute);
	crtest_true(!__atomic_load_n(&compute.is_waiting_over, __ATOMIC_SEQ_CST));
	if (event_ioctl(&compute, KFD_IOC_SET_EVENT, compute.events[2]) < 0)
		crtest_fail("set an event: %s", strerror(errno));
	else
		pthread_join(waiter, NULL);
	for (unsigned int i = 0; i < compute.set.threads && i < THREADS_MAX; i++)
		pthread_join(threads[i], NULL);
	say(compute.wrong);
	use(&compute);
	client_close(&compute.client);
	return crtest_end();
}
