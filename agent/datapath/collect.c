/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the maps that the programs fill, a bounded piece at each call: takes tracked connections out that are over or
 * idle, and counts the entries of the others (the kernel does not tell).
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>

#include "datapath/kernel_map.h"
#include "datapath/load.h"
#include "util/clock.h"

#define SECOND NANOSECONDS
#define ENTRIES_PER_CALL 8192

/* How long a connection may be silent. Both ends of an established TCP connection may be, for a day. */
static const struct {
	uint64_t established, half_open, closing, udp_one_way, udp_both_ways, icmp, other;
} timeouts = {
	.established = 24 * 3600 * SECOND,
	.half_open = 60 * SECOND,
	.closing = 10 * SECOND, /* both ends have sent FIN, or one RST */
	.udp_one_way = 60 * SECOND,
	.udp_both_ways = 180 * SECOND,
	.icmp = 30 * SECOND,
	.other = 180 * SECOND,
};

static const char *const counted[] = { "weft_affinity", "weft_udp_peers", "weft_fragments",
				       "weft_denials",	"weft_sockets",	  "weft_traffic" };
#define COUNTED (sizeof(counted) / sizeof(*counted))

struct walk {
	struct map *map;
	struct map_cursor cursor;
	uint32_t entries; /* seen in this round */
};

struct collect {
	struct walk connections;
	struct walk others[COUNTED];
	size_t turn; /* which of the others is next */
	datapath_over_fn *over;
	void *context;
};

int collect_new(struct datapath *datapath)
{
	struct collect *collect = calloc(1, sizeof(*collect));

	if (!collect)
		return -ENOMEM;
	collect->connections.map = datapath_find_map(datapath, "weft_conntrack");
	for (size_t i = 0; i < COUNTED; i++)
		collect->others[i].map = datapath_find_map(datapath, counted[i]);
	datapath->collect = collect;
	return 0;
}

void collect_free(struct datapath *datapath)
{
	free(datapath->collect);
	datapath->collect = NULL;
}

static uint64_t tcp_timeout(const struct weft_conn *conn)
{
	uint8_t first = conn->tcp_flags[0], second = conn->tcp_flags[1];

	if ((first | second) & TH_RST || (first & second & TH_FIN))
		return timeouts.closing;
	return first & second & TH_ACK ? timeouts.established : timeouts.half_open;
}

static uint64_t timeout_of(uint8_t protocol, const struct weft_conn *conn)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return tcp_timeout(conn);
	case IPPROTO_UDP:
		return conn->packets[0] && conn->packets[1] ? timeouts.udp_both_ways : timeouts.udp_one_way;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return timeouts.icmp;
	default:
		return timeouts.other;
	}
}

static bool is_over(const struct weft_conn_key *key, const struct weft_conn *conn, uint64_t now)
{
	return now > conn->last_seen && now - conn->last_seen > timeout_of(key->protocol, conn);
}

/* 1: taken out. A packet may have come since the entry was read, so it is looked at again. */
static int remove_if_over(struct collect *collect, const struct weft_conn_key *key, uint64_t now)
{
	struct map *map = collect->connections.map;
	struct weft_conn conn;
	int result;

	if (bpf_map_lookup_elem(map->fd, key, &conn) < 0)
		return errno == ENOENT ? 0 : -errno;
	result = is_over(key, &conn, now) ? map_delete(map, key) : 0;
	if (result > 0 && collect->over)
		collect->over(key, &conn, collect->context);
	return result;
}

void datapath_watch_over(struct datapath *datapath, datapath_over_fn *over, void *context)
{
	datapath->collect->over = over;
	datapath->collect->context = context;
}

/* Reads on where the last call has stopped. The entry counts are in force after each full round. */
static int read_on(struct walk *walk, uint32_t *count, void **ret_keys, void **ret_values)
{
	int more;

	*ret_keys = malloc((size_t)*count * walk->map->key_size);
	*ret_values = malloc((size_t)*count * map_value_bytes(walk->map));
	if (!*ret_keys || !*ret_values)
		return -ENOMEM;
	more = map_read_batch(walk->map, &walk->cursor, *ret_keys, *ret_values, count);
	if (more < 0)
		return more;
	walk->entries += *count;
	if (!more) {
		walk->map->entries = walk->entries;
		walk->map->is_full = walk->entries >= walk->map->capacity;
		walk->entries = 0;
	}
	return more;
}

static int collect_piece(struct collect *collect)
{
	struct walk *walk = &collect->connections;
	uint32_t count = ENTRIES_PER_CALL;
	void *keys, *values;
	int result = read_on(walk, &count, &keys, &values), removed = 0;
	uint64_t now = clock_now(CLOCK_MONOTONIC);

	for (uint32_t i = 0; result >= 0 && i < count; i++) {
		const struct weft_conn_key *key = (const struct weft_conn_key *)keys + i;

		if (!is_over(key, (const struct weft_conn *)values + i, now))
			continue;
		result = remove_if_over(collect, key, now);
		removed += result > 0;
	}
	free(keys);
	free(values);
	return result < 0 ? result : removed;
}

static int count_piece(struct collect *collect)
{
	struct walk *walk = &collect->others[collect->turn];
	uint32_t count = map_batch_size(walk->map);
	void *keys, *values;
	int more = read_on(walk, &count, &keys, &values);

	free(keys);
	free(values);
	if (more <= 0)
		collect->turn = (collect->turn + 1) % COUNTED;
	return more < 0 ? more : 0;
}

int datapath_collect_connections(struct datapath *datapath)
{
	int removed = collect_piece(datapath->collect);
	int result = count_piece(datapath->collect);

	return removed < 0 ? removed : result < 0 ? result : removed;
}
