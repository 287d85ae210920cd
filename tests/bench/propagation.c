/* SPDX-License-Identifier: Apache-2.0 */
/*
 * propagation FILE-A FILE-B MANIFEST PINNED-MAP ADDRESS PORT TIMES: how long from a changed manifest to the changed
 * map. FILE-A and FILE-B hold the same Service with different numbers of endpoints. By turns a copy of each is renamed
 * to MANIFEST, and the entry (ADDRESS, PORT, TCP) of weft_services is read until it has another number of slots. Prints
 * the median, the 99th percentile and the maximum in milliseconds.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/addr.h"
#include "weft/abi.h"

#define TIMEOUT_NS UINT64_C(5000000000)
#define SETTLE_NS UINT64_C(20000000) /* between changes: each is to be one, not part of a batch */

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "propagation: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint32_t slot_count(int map, const struct weft_service_key *key)
{
	struct weft_service value;

	if (bpf_map_lookup_elem(map, key, &value) < 0)
		die("the map has no entry for the service: %s", strerror(errno));
	return value.slot_count;
}

/* The source watches for renames: what it reads must be whole. */
static void prepare(const char *from, const char *to)
{
	static char text[1 << 20];
	FILE *file = fopen(from, "r");
	size_t size = file ? fread(text, 1, sizeof(text), file) : 0;

	if (!size || size == sizeof(text))
		die("%s cannot be read", from);
	fclose(file);
	file = fopen(to, "w");
	if (!file || fwrite(text, 1, size, file) != size || fclose(file) != 0)
		die("%s cannot be written: %s", to, strerror(errno));
}

static uint64_t one_change(const char *from, const char *manifest, int map, const struct weft_service_key *key)
{
	uint32_t before = slot_count(map, key);
	char next[4096];
	uint64_t start;

	snprintf(next, sizeof(next), "%s.next", from);
	prepare(from, next);
	start = now();
	if (rename(next, manifest) < 0)
		die("%s: %s", manifest, strerror(errno));
	while (slot_count(map, key) == before)
		if (now() - start > TIMEOUT_NS)
			die("after 5 s the map has not changed");
	return now() - start;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	const struct timespec settle = { .tv_nsec = SETTLE_NS };
	struct weft_service_key key = { .protocol = IPPROTO_TCP };
	uint64_t *times;
	size_t count;
	int map;

	if (argc != 8 || addr_parse(argv[5], &key.addr) < 0)
		die("usage: propagation FILE-A FILE-B MANIFEST PINNED-MAP ADDRESS PORT TIMES");
	key.port = htons((uint16_t)atoi(argv[6]));
	count = (size_t)atoi(argv[7]);
	times = calloc(count, sizeof(*times));
	map = bpf_obj_get(argv[4]);
	if (!times || !count || map < 0)
		die("%s: %s", argv[4], strerror(errno));
	for (size_t i = 0; i < count; i++) {
		times[i] = one_change(argv[1 + i % 2], argv[3], map, &key);
		nanosleep(&settle, NULL);
	}
	qsort(times, count, sizeof(*times), compare);
	printf("%.3f %.3f %.3f\n", (double)times[count / 2] / 1e6, (double)times[count * 99 / 100] / 1e6,
	       (double)times[count - 1] / 1e6);
	free(times);
	return 0;
}
