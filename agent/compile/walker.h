/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_WALKER_H
#define WEFT_COMPILE_WALKER_H
#include <stddef.h>

#include "weft/abi.h"

/*
 * Sets threshold and alias of each slot so that weft_slot's two draws hit it in proportion to its weight: Walker's
 * alias method in Vose's form (M. D. Vose, "A linear algorithm for generating random numbers with a given
 * distribution", 1991), in integers. 0 or -ENOMEM.
 */
int walker_fill(struct weft_slot *slots, size_t count);
/* The same for equal weights. */
void walker_fill_equal(struct weft_slot *slots, size_t count);

#endif
