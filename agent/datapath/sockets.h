/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SOCKETS_H
#define WEFT_SOCKETS_H
/* The sockets of the calling thread's network namespace: read by BPF iterators and sock_diag, taken over, ended. */
#include <stddef.h>

#include "weft/abi.h"

struct datapath;

typedef int sockets_bytes_fn(const void *bytes, size_t size, void *context);

/*
 * Runs an iterator program (report_tcp, list_udp) over the sockets here and hands all that it wrote to `each` at once, if it
 * wrote anything; `each` may be NULL. Returns what `each` returned, 0, or -errno; -ENOENT: no such program.
 */
int datapath_run_iterator(struct datapath *datapath, const char *program, sockets_bytes_fn *each, void *context);

/* Ends a socket as the kernel would on an error: its program sees ECONNABORTED. -ENOENT: it is gone. net/ipv4/udp_diag.c */
int sockets_destroy_udp(const struct weft_udp_socket *socket);

/*
 * Enters the TCP connections and connected UDP sockets of here into weft_conntrack, as begun by the other end where the local
 * port is a listener's: connections older than the programs go on, judged by the policy in force. Returns how many, or -errno.
 */
int sockets_seed_connections(struct datapath *datapath);

#endif
