/* SPDX-License-Identifier: Apache-2.0 */
#include "node/stale.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "datapath/sockets.h"
#include "node/node.h"
#include "util/addr.h"
#include "util/log.h"

static int is_udp(const void *key, const void *value, size_t size, void *context)
{
	const struct weft_service_key *service = key;

	(void)value;
	(void)size;
	(void)context;
	return service->protocol == IPPROTO_UDP;
}

bool stale_sockets_possible(const struct desired *desired)
{
	return table_each_dirty(desired->services, is_udp, NULL);
}

struct search {
	struct datapath *datapath;
	const struct desired *desired;
	const char *namespace, *name; /* of the pod; NULL: the node itself */
	int ended;
};

static bool still_serves(const struct desired *desired, const struct weft_udp_socket *socket)
{
	struct weft_service_key key = { .addr = socket->service_addr, .port = socket->service_port, .protocol = IPPROTO_UDP };
	const struct weft_service *service = table_get(desired->services, &key, NULL);
	const struct weft_slot *slots = (const struct weft_slot *)(service + 1);

	for (uint32_t i = 0; service && i < service->slot_count; i++)
		if (addr_equal(&slots[i].addr, &socket->backend_addr) && slots[i].port == socket->backend_port)
			return true;
	return false;
}

static void end_socket(struct search *search, const struct weft_udp_socket *socket)
{
	char text[ADDR_TEXT_MAX];
	int result = sockets_destroy_udp(socket);

	if (result == 0)
		search->ended++;
	else if (result != -ENOENT) /* closed meanwhile */
		log_warn("%s%s%s: ending a UDP socket whose backend %s:%u went away: %s", search->namespace ? "Pod " : "the node",
			 search->namespace ? search->namespace : "", search->name ? search->name : "",
			 addr_format(&socket->backend_addr, text), ntohs(socket->backend_port), strerror(-result));
}

static int each_record(const void *bytes, size_t size, void *context)
{
	struct search *search = context;
	const struct weft_udp_socket *sockets = bytes;

	for (size_t i = 0; i < size / sizeof(*sockets); i++)
		if (!still_serves(search->desired, &sockets[i]))
			end_socket(search, &sockets[i]);
	return 0;
}

static int search_namespace(const char *namespace, const char *name, uint64_t cookie, void *context)
{
	struct search *search = context;
	int result;

	(void)cookie;
	search->namespace = namespace;
	search->name = name;
	result = datapath_run_iterator(search->datapath, "list_udp", each_record, search);
	if (result < 0)
		log_warn("%s%s%s: listing UDP sockets: %s", namespace ? "Pod " : "the node", namespace ? namespace : "",
			 name ? name : "", strerror(-result));
	return 0; /* the other pods' sockets all the same */
}

int stale_sockets_end(struct node *node, struct datapath *datapath, const struct desired *desired)
{
	struct search search = { .datapath = datapath, .desired = desired };

	node_each_netns(node, search_namespace, &search);
	if (search.ended)
		log_info("ended %d UDP socket(s) whose backend went away", search.ended);
	return search.ended;
}
