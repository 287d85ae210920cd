/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_UTIL_NETLINK_ASK_H
#define WEFT_UTIL_NETLINK_ASK_H
/* One netlink question and its whole answer, in the calling thread's network namespace. */
#include <libmnl/libmnl.h>

/*
 * Opens a socket on `bus` (NETLINK_ROUTE, ...), sends `request`, hands each message of the answer to `each` as
 * mnl_cb_run() does, and closes it. 0, or -errno: the kernel's answer, or what `each` left in errno with MNL_CB_ERROR.
 */
int netlink_ask(int bus, struct nlmsghdr *request, mnl_cb_t each, void *context);

#endif
