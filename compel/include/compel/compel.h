/* SPDX-License-Identifier: LGPL-2.1-only */
/* All of the library: stop threads (ptrace.h), look at registers (regs.h), run code in a process
 * (session.h, blob.h). */
#ifndef COMPEL_COMPEL_H
#define COMPEL_COMPEL_H

#include "compel/blob.h"
#include "compel/log.h"
#include "compel/ptrace.h"
#include "compel/regs.h"
#include "compel/session.h"

#endif
