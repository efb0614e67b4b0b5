/* SPDX-License-Identifier: LGPL-2.1-only */
/* The one place where blob code chooses its architecture. */
#ifndef COMPEL_PIE_ARCH_H
#define COMPEL_PIE_ARCH_H

#if defined(__x86_64__)
#include "compel/arch/x86_64/pie/leave.h"
#include "compel/arch/x86_64/pie/raw-syscall.h"
#else
#error "this architecture is not there yet"
#endif

#endif
