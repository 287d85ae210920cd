/* SPDX-License-Identifier: Apache-2.0 */
#include "node/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/addr.h"
#include "util/netlink_ask.h"

struct list {
	void *items;
	size_t count, capacity, size;
};

/* A zeroed new last item, or NULL. */
static void *list_add(struct list *list)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 16;
		void *items = reallocarray(list->items, capacity, list->size);

		if (!items)
			return NULL;
		list->items = items;
		list->capacity = capacity;
	}
	return memset((char *)list->items + list->count++ * list->size, 0, list->size);
}

static int is_veth(const struct nlattr *info)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, info)
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			return !strcmp(mnl_attr_get_str(attribute), "veth");
	return 0;
}

static int add_link(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_link *link = list_add(context);
	const struct nlattr *attribute;

	if (!link)
		return MNL_CB_ERROR;
	link->ifindex = (uint32_t)header->ifi_index;
	link->peer_netns_id = NETNS_ID_NONE;
	mnl_attr_for_each(attribute, message, sizeof(*header)) {
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_LINK:
			link->peer_ifindex = mnl_attr_get_u32(attribute);
			break;
		case IFLA_LINK_NETNSID:
			link->peer_netns_id = (int32_t)mnl_attr_get_u32(attribute);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(attribute) == sizeof(link->mac))
				memcpy(link->mac, mnl_attr_get_payload(attribute), sizeof(link->mac));
			break;
		case IFLA_LINKINFO:
			link->is_veth = (uint8_t)is_veth(attribute);
			break;
		}
	}
	return MNL_CB_OK;
}

static int add_address(const struct nlmsghdr *message, void *context)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	const void *bytes = NULL;
	const struct nlattr *attribute;
	struct weft_addr *addr;

	if (header->ifa_scope == RT_SCOPE_LINK)
		return MNL_CB_OK;
	/* IFA_LOCAL is the interface's own end where IFA_ADDRESS is the far one of a point-to-point link */
	mnl_attr_for_each(attribute, message, sizeof(*header))
		if (mnl_attr_get_type(attribute) == IFA_LOCAL ||
		    (mnl_attr_get_type(attribute) == IFA_ADDRESS && !bytes))
			bytes = mnl_attr_get_payload(attribute);
	if (!bytes)
		return MNL_CB_OK;
	addr = list_add(context);
	if (!addr)
		return MNL_CB_ERROR;
	addr_from_bytes(header->ifa_family, bytes, addr);
	return MNL_CB_OK;
}

static int dump(uint16_t type, size_t header_size, mnl_cb_t each, struct list *list)
{
	char request[MNL_NLMSG_HDRLEN + 64] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);
	int result;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	mnl_nlmsg_put_extra_header(message, header_size);
	result = netlink_ask(NETLINK_ROUTE, message, each, list);
	if (result < 0) {
		free(list->items);
		list->items = NULL;
	}
	return result;
}

int netlink_links(struct netlink_link **ret, size_t *ret_count)
{
	struct list list = { .size = sizeof(struct netlink_link) };
	int result = dump(RTM_GETLINK, sizeof(struct ifinfomsg), add_link, &list);

	if (result < 0)
		return result;
	*ret = list.items;
	*ret_count = list.count;
	return 0;
}

int netlink_addresses(struct weft_addr **ret, size_t *ret_count)
{
	struct list list = { .size = sizeof(struct weft_addr) };
	int result = dump(RTM_GETADDR, sizeof(struct ifaddrmsg), add_address, &list);

	if (result < 0)
		return result;
	*ret = list.items;
	*ret_count = list.count;
	return 0;
}

static int read_netns_id(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct rtgenmsg))
		if (mnl_attr_get_type(attribute) == NETNSA_NSID)
			*(int32_t *)context = (int32_t)mnl_attr_get_u32(attribute);
	return MNL_CB_OK;
}

int netlink_netns_id(int netns_fd, int32_t *ret)
{
	char request[MNL_NLMSG_HDRLEN + 64] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);

	message->nlmsg_type = RTM_GETNSID;
	message->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(message, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(message, NETNSA_FD, (uint32_t)netns_fd);
	*ret = NETNS_ID_NONE;
	return netlink_ask(NETLINK_ROUTE, message, read_netns_id, ret);
}
