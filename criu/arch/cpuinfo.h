/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the CPU can do, as --cpu-cap keeps it in cpuinfo.img: a tree that has begun to use an
 * instruction, or has a register in use, goes on only where there are the same. Each architecture
 * says what that means to it.
 */
#ifndef CRIU_ARCH_CPUINFO_H
#define CRIU_ARCH_CPUINFO_H

#include <stddef.h>

struct cr;
struct CpuinfoEntry;

/* Steps of the plans: nothing happens unless --cpu-cap asks for the image. */
int cpuinfo_dump(struct cr *cr);
int cpuinfo_check(struct cr *cr);

/* What this CPU can do; freed by image_message_free(). */
struct CpuinfoEntry *cpuinfo_get(void);

/* Puts into why what of caps (CPU_CAP_x) a tree dumped on one CPU would miss on another, and
 * returns -ENOTSUP; 0 if nothing. -EBADMSG: the entry is not one of this architecture. */
int cpuinfo_compare(const struct CpuinfoEntry *dumped, const struct CpuinfoEntry *own,
		    unsigned int caps, char *why, size_t size);

#endif
