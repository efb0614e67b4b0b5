// SPDX-License-Identifier: GPL-2.0-only
/*
 * kfd-render FOLDER ROOT [ORDER]: kfd and four open render nodes of one GPU beside the one that is
 * its VM. ORDER says when they are opened: a letter each, k for kfd with its VM, r for a render
 * node; krrrr if it is not given, "rrkrr", "rrrr" for no kfd at all. Each has buffers and handles
 * of its own: the first one also some that are closed, so that its handles are not 1, 2, 3; the
 * second one imports a buffer of the first one, under another handle; the fourth one is opened
 * twice by dup(2).
 */
#include "kfd-client.h"
#include "crtest.h"

#include <sys/mman.h>
#include <sys/syscall.h>

enum { NODES_MAX = 16, EACH = 3, SIZE = 3 * CLIENT_PAGE };

struct render {
	struct client client;
	struct client_buffer buffer;
	struct client_queue queue;
	bool has_kfd;
	unsigned int n;
	int nodes[NODES_MAX], copy;
	struct client_gem gems[NODES_MAX][EACH], imported;
};

static void say(const char *text)
{
	if (text)
		crtest_fail("%s", text);
}

static void open_kfd(struct render *render, const char *root)
{
	struct client_buffer *place = &render->buffer;

	crtest_must(client_open(&render->client, root, 1));
	crtest_must(client_alloc(&render->client, place, CLIENT_VRAM, 0, 16384, 1));
	crtest_must(client_run(&render->client, &render->queue, 0, &place, 1));
	render->has_kfd = true;
}

static void fill_node(struct render *render, unsigned int i)
{
	struct client_gem first;
	struct drm_gem_close gone = {0};

	/* A hole in the handles. */
	if (i == 0) {
		crtest_must(client_gem_create(&first, render->nodes[0], SIZE, 0,
					      AMDGPU_GEM_DOMAIN_GTT));
		gone.handle = first.handle;
	}
	for (unsigned int j = 0; j < EACH; j++)
		crtest_must(client_gem_create(&render->gems[i][j], render->nodes[i], SIZE * (j + 1),
					      100 * i + j,
					      j ? AMDGPU_GEM_DOMAIN_VRAM : AMDGPU_GEM_DOMAIN_GTT));
	if (gone.handle) {
		/* A mapping would keep the buffer. */
		crtest_must(munmap(first.map, first.size));
		crtest_must(ioctl(render->nodes[0], DRM_IOCTL_GEM_CLOSE, &gone));
	}
}

static void share(struct render *render)
{
	struct client_gem *from = &render->gems[0][1];
	int dmabuf = crtest_must(client_gem_export(&render->client, from));

	crtest_must(client_gem_import(&render->imported, render->nodes[1], dmabuf, from->size,
				      from->seed));
	close(dmabuf);
}

/* The importer sees what the exporter writes. */
static void check_share(struct render *render)
{
	volatile uint64_t *from = (uint64_t *)render->gems[0][1].map;
	volatile uint64_t *to = (uint64_t *)render->imported.map;
	uint64_t old = *from;

	*from = ~old;
	crtest_equal("what the importer sees", (long long)*to, (long long)~old);
	*from = old;
}

static bool is_same_file(int a, int b)
{
	enum { KCMP_FILE = 0 };

	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

static void check(struct render *render)
{
	for (unsigned int i = 0; i < render->n; i++)
		for (unsigned int j = 0; j < EACH; j++)
			say(client_gem_check(&render->gems[i][j]));
	say(client_gem_check(&render->imported));
	check_share(render);
	for (unsigned int i = 1; i < render->n; i++)
		crtest_true(!is_same_file(render->nodes[0], render->nodes[i]));
	crtest_true(is_same_file(render->nodes[render->n - 1], render->copy));
	if (render->has_kfd) {
		say(client_check(&render->buffer));
		say(client_check_runs(&render->queue));
		crtest_true(!is_same_file(render->nodes[0], render->client.gpus[0].drm));
	}
}

int main(int argc, char **argv)
{
	static struct render render;
	const char *order;

	crtest_begin(argc, argv);
	if (argc < 3)
		crtest_broken("kfd-render FOLDER ROOT [ORDER]");
	order = argc > 3 ? argv[3] : "krrrr";
	/* Without kfd, the client still knows where the nodes are. */
	crtest_must(client_find(&render.client, argv[2]));
	for (unsigned int i = 0; i < strlen(order); i++)
		if (order[i] == 'k')
			open_kfd(&render, argv[2]);
		else if (render.n < NODES_MAX)
			render.nodes[render.n++] = crtest_must(client_open_node(&render.client, 0));
	for (unsigned int i = 0; i < render.n; i++)
		fill_node(&render, i);
	share(&render);
	render.copy = crtest_must(dup(render.nodes[render.n - 1]));
	check(&render);

	crtest_wait();

	check(&render);
	return crtest_end();
}
