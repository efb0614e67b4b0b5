// SPDX-License-Identifier: LGPL-2.1-only
/*
 * The area: one anonymous mapping with everything a blob needs.
 *
 *	image | arguments | slots, each with its way out | the main thread's way to leave | stacks,
 *the main thread's first
 *
 * The call that maps it has a chain behind it that unmaps it again, which in the usual case never
 *runs, because the thread is stopped as the call returns. From when the image is there, the main
 *thread's registers lead into the blob's own leaving. Unmapping goes through that same leaving,
 *watched call by call, up to the signal frame: its loading is replaced by munmap, because
 *rt_sigreturn would make the kernel forget an interrupted call of the program's.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "compel/base/bits.h"
#include "compel/base/cleanup.h"
#include "compel/lib/session-priv.h"
#include "compel/pie/control.h"

enum { DEFAULT_ARGS = 64 * 1024, DEFAULT_THREADS = 32, DEFAULT_STACK = 16 * 1024 };

static const uint64_t all_signals = ~0ULL;

static int find_parts(const struct compel_session *s, const struct compel_blob *blob,
		      struct area *a)
{
	const struct {
		const char *name;
		uint64_t *at;
	} parts[] = {
		{"compel_control", &a->control},
		{"compel_serve", &a->serve},
		{"compel_leave", &a->leave},
		{"compel_thread", &a->thread},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (compel_blob_find(blob, parts[i].name, parts[i].at) < 0)
			return session_say(s, COMPEL_ERROR, -EINVAL,
					   "blob %s lacks %s: built without runtime", blob->name,
					   parts[i].name);
	}
	return 0;
}

static int lay_out(const struct compel_session *s, const struct compel_blob *blob,
		   const struct compel_layout *layout, struct area *a)
{
	struct compel_layout want = layout ? *layout : (struct compel_layout){0};
	uint64_t args_at = round_up(blob->memory_size, PAGE);
	int err = find_parts(s, blob, a);

	if (err < 0)
		return err;
	a->args_size = round_up(want.args_size ? want.args_size : DEFAULT_ARGS, PAGE);
	a->nr_slots = want.threads ? want.threads : DEFAULT_THREADS;
	a->stack_size = round_up(want.stack_size ? want.stack_size : DEFAULT_STACK, PAGE);
	a->slot_stride = sizeof(struct compel_slot) + ARCH_LINK_SIZE;
	a->slots = args_at + a->args_size;
	a->leave_link = a->slots + a->nr_slots * a->slot_stride;
	a->stacks = round_up(a->leave_link + ARCH_LINK_SIZE, PAGE);
	a->size = a->stacks + (a->nr_slots + 1) * a->stack_size;

	err = session_maps_find_hole(&s->maps, a->size, s->main_tid, &a->address);
	if (err < 0)
		return session_say(s, COMPEL_ERROR, err, "find room for %llu bytes",
				   (unsigned long long)a->size);
	a->args = a->address + args_at;
	a->slots += a->address;
	a->leave_link += a->address;
	a->stacks += a->address;
	a->control += a->address;
	a->serve += a->address;
	a->leave += a->address;
	a->thread += a->address;
	return 0;
}

/* The chain's middle: after its registers are loaded, the area is gone, and the next link gives the
 * thread back. */
static int write_unmap_link(struct compel_session *s, struct thread *t, const struct area *a)
{
	struct user_regs_struct r = t->regs->general;
	const uint64_t args[6] = {a->address, a->size};
	char link[ARCH_LINK_SIZE] = {0};
	int err;

	compel_arch_set_syscall(&r, s->gadgets.syscall_ret,
				compel_arch_link_entry(t->final_link, &s->gadgets), __NR_munmap,
				args);
	compel_arch_link_fill(link, t->unmap_link, &s->gadgets, &r, all_signals, t->fpu_image);
	err = session_memory_write(s->pid, t->unmap_link, link, sizeof(link));
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "write below its stack") : 0;
}

static int map_area(struct compel_session *s, struct thread *t, const struct area *a)
{
	const uint64_t args[6] = {
		a->address,
		a->size,
		PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
		-1,
		0,
	};
	long ret = 0;
	int err = write_unmap_link(s, t, a);

	if (err == 0)
		err = session_thread_syscall(s, t, __NR_mmap, args,
					     compel_arch_link_entry(t->unmap_link, &s->gadgets),
					     &ret);
	if (err < 0)
		return err;
	if (ret < 0 && ret > -PAGE)
		return session_say(s, COMPEL_ERROR, ret, "map %llu bytes in it",
				   (unsigned long long)a->size);
	if ((uint64_t)ret != a->address)
		return session_say(s, COMPEL_ERROR, -EEXIST, "map at %#llx in it: it came to %#lx",
				   (unsigned long long)a->address, ret);
	return 0;
}

/* Without the instructions for a chain, leaving means to leave the mapping behind. */
static uint64_t leave_frame(const struct compel_session *s, const struct thread *t)
{
	return compel_arch_link_frame(gadgets_are_complete(&s->gadgets) ? t->unmap_link
									: t->final_link);
}

static int fill_area(struct compel_session *s, struct thread *t, const struct compel_blob *blob,
		     const struct area *a)
{
	_cleanup_free_ char *image = malloc(blob->image_size);
	char link[ARCH_LINK_SIZE] = {0};
	struct user_regs_struct r = t->regs->general;
	struct compel_control control = {
		.args = a->args,
		.args_size = a->args_size,
		.image = a->address,
		.leave_frame = leave_frame(s, t),
		.slots = a->slots,
		.slot_stride = a->slot_stride,
		.nr_slots = a->nr_slots,
		.pair = {-1, -1},
	};
	int err;

	if (!image)
		return -ENOMEM;
	memcpy(image, blob->image, blob->image_size);
	memcpy(image + (a->control - a->address), &control, sizeof(control));
	compel_arch_set_call(&r, a->leave, a->stacks + a->stack_size, 0);
	compel_arch_link_fill(link, a->leave_link, &s->gadgets, &r, all_signals, t->fpu_image);

	err = session_memory_write(s->pid, a->address, image, blob->image_size);
	if (err == 0)
		err = session_memory_write(s->pid, a->leave_link, link, sizeof(link));
	return err < 0 ? session_say(s, COMPEL_ERROR, err, "copy blob %s into it", blob->name) : 0;
}

int compel_blob_load(struct compel_session *s, const struct compel_blob *blob,
		     const struct compel_layout *layout)
{
	struct area a = {0};
	struct thread *t = NULL;
	int err;

	if (s->area.size)
		return session_say(s, COMPEL_ERROR, -EBUSY, "load blob %s: there is one already",
				   blob->name);
	err = lay_out(s, blob, layout, &a);
	if (err == 0)
		err = session_thread_hijack(s, s->main_tid, s->options.main_regs, &t);
	if (err < 0)
		return err;
	err = map_area(s, t, &a);
	if (err < 0) {
		session_thread_rest(s, t);
		return err;
	}
	err = fill_area(s, t, blob, &a);
	s->area = a;
	if (err == 0)
		err = session_thread_rest(s, t);
	if (err == 0)
		session_say(s, COMPEL_DEBUG, 0, "blob %s is at %#llx, %llu bytes", blob->name,
			    (unsigned long long)a.address, (unsigned long long)a.size);
	return err;
}

struct raddr compel_blob_address(const struct compel_session *s)
{
	return raddr_of(s->area.address);
}

struct raddr compel_args_address(const struct compel_session *s)
{
	return raddr_of(s->area.args);
}

size_t compel_args_size(const struct compel_session *s)
{
	return s->area.args_size;
}

/* Stopped before the call that would load the frame; makes it munmap, with the last link to return
 * to. */
static int unmap_instead(struct compel_session *s, struct thread *t)
{
	struct user_regs_struct r = t->regs->general;
	const uint64_t args[6] = {s->area.address, s->area.size};
	uint64_t at = s->gadgets.syscall_ret ? s->gadgets.syscall_ret : s->gadgets.syscall;
	long ret = 0;
	int err;

	compel_arch_change_syscall(&r, compel_arch_after_syscall(at),
				   compel_arch_link_entry(t->final_link, &s->gadgets), __NR_munmap,
				   args);
	err = session_thread_set(s, t, &r);
	if (err == 0)
		err = session_thread_resume(s, t, true);
	if (err == 0)
		err = session_thread_wait_syscall(s, t);
	if (err == 0)
		err = compel_arch_general_get(t->tid, &r);
	if (err < 0)
		return err;
	ret = compel_arch_syscall_result(&r);
	if (ret < 0)
		return session_say(s, COMPEL_ERROR, ret, "unmap the blob");
	s->area.size = 0;
	return session_thread_rest(s, t);
}

/* Lets the main thread run its leaving, one system call stop after the other. */
static int watch_leaving(struct compel_session *s, struct thread *t)
{
	struct user_regs_struct r;
	bool is_entry = true;
	int err;

	for (;; is_entry = !is_entry) {
		err = session_thread_resume(s, t, true);
		if (err == 0)
			err = session_thread_wait_syscall(s, t);
		if (err == 0)
			err = compel_arch_general_get(t->tid, &r);
		if (err < 0)
			return err;
		if (is_entry && compel_arch_syscall_nr(&r) == __NR_rt_sigreturn)
			return unmap_instead(s, t);
	}
}

int session_area_unload(struct compel_session *s)
{
	struct thread *t = session_thread_find(s, s->main_tid);
	int err;

	if (!s->area.size)
		return 0;
	err = session_main_stop(s);
	if (err == 0)
		err = watch_leaving(s, t);
	if (err == 0)
		s->area = (struct area){0};
	return err;
}
