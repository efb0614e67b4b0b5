/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CRIU_STATE_LSM_H
#define CRIU_STATE_LSM_H

#include "images/inventory.pb-c.h"

/* The security module that labels tasks on this machine. */
Lsmtype lsm_kind(void);

#endif
