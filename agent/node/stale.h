/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_NODE_STALE_H
#define WEFT_NODE_STALE_H
/*
 * Connected UDP sockets whose backend went away: nothing would ever tell their programs, so they are ended (SOCK_DESTROY)
 * and the programs see ECONNABORTED and resolve again. TCP connections run out by themselves.
 */
#include <stdbool.h>

#include "compile/desired.h"

struct node;
struct datapath;

/* Whether a change that is about to be written may leave such sockets: ask before datapath_apply(). */
bool stale_sockets_possible(const struct desired *desired);
/* Ends them in all pods and on the node. Returns how many; problems are logged. */
int stale_sockets_end(struct node *node, struct datapath *datapath, const struct desired *desired);

#endif
