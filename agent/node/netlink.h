/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_NODE_NETLINK_H
#define WEFT_NODE_NETLINK_H
/* rtnetlink questions about the calling thread's network namespace. Each opens and closes its own socket. */
#include <stddef.h>
#include <stdint.h>

#include "weft/abi.h"

#define NETNS_ID_NONE (-1)

struct netlink_link {
	uint32_t ifindex;
	uint32_t peer_ifindex; /* IFLA_LINK; 0: none */
	int32_t peer_netns_id; /* IFLA_LINK_NETNSID; NETNS_ID_NONE: the same namespace, or no peer */
	uint8_t mac[6];
	uint8_t is_veth;
};

/* All links; *ret is malloc'd. 0 or -errno. */
int netlink_links(struct netlink_link **ret, size_t *ret_count);
/* All addresses but those of scope link; *ret is malloc'd. 0 or -errno. */
int netlink_addresses(struct weft_addr **ret, size_t *ret_count);
/* The number by which the caller's namespace knows the one open at `netns_fd`; NETNS_ID_NONE if it has none. 0 or -errno. */
int netlink_netns_id(int netns_fd, int32_t *ret);

#endif
