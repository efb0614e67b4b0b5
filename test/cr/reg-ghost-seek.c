// SPDX-License-Identifier: GPL-2.0-only
/* criu-skip-compare: fd.6 */
/* criu-dump-options: --no-ghost-fiemap */
/* As reg-ghost.c says, with the holes found by lseek(2). */
#include "reg-ghost.c"
