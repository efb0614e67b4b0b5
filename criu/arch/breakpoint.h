/* SPDX-License-Identifier: GPL-2.0-only */
/* The instruction that the kernel writes into a program where it has a probe. */
#ifndef CRIU_ARCH_BREAKPOINT_H
#define CRIU_ARCH_BREAKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does page differ from what was at its place before by nothing but breakpoints? Both have size
 * bytes. */
bool breakpoint_is_all(const uint8_t *page, const uint8_t *before, size_t size);

#endif
