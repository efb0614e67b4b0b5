/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CRIU_ENGINE_INVENTORY_H
#define CRIU_ENGINE_INVENTORY_H

struct cr;

/* Completes the image directory: digests, then inventory.img. All images must be closed. 0 or
 * -errno, logged. */
int inventory_dump(struct cr *cr);

#endif
