/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TESTS_FRAME_H
#define WEFT_TESTS_FRAME_H
/* Ethernet frames for tests, of both families by the same calls: built header by header, lengths and checksums at the end. */
#include <assert.h>
#include <endian.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "util/addr.h"

#define FRAME_MAX 2048

struct frame {
	uint8_t data[FRAME_MAX];
	size_t size;
	size_t next;	  /* where the number of the next header goes; 0: nowhere */
	size_t transport; /* 0: no transport header yet */
	bool v4;
};

static inline void put16(uint8_t *at, uint16_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static inline void put32(uint8_t *at, uint32_t value) { put16(at, (uint16_t)(value >> 16)), put16(at + 2, (uint16_t)value); }
static inline uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static inline uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }

static inline uint8_t *frame_add(struct frame *frame, size_t size)
{
	uint8_t *at = frame->data + frame->size;

	assert(frame->size + size <= FRAME_MAX);
	memset(at, 0, size);
	frame->size += size;
	return at;
}

/* Ethernet and IP header; addresses as text. IPv4 with `options` bytes of no-operation (a multiple of 4). */
static inline void frame_ip_options(struct frame *frame, const char *source, const char *destination, size_t options)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa };
	struct weft_addr from, to;
	uint8_t *ip;

	memset(frame, 0, sizeof(*frame));
	addr_parse(source, &from);
	addr_parse(destination, &to);
	memcpy(frame_add(frame, sizeof(macs)), macs, sizeof(macs));
	frame->v4 = addr_is_v4(&from);
	put16(frame_add(frame, 2), frame->v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	ip = frame_add(frame, frame->v4 ? 20 : 40);
	if (frame->v4) {
		ip[0] = (uint8_t)(0x45 + options / 4);
		ip[8] = 63;
		memcpy(ip + 12, &from.word[3], 4);
		memcpy(ip + 16, &to.word[3], 4);
		memset(frame_add(frame, options), 1, options);
		frame->next = 14 + 9;
	} else {
		ip[0] = 0x60;
		ip[7] = 63;
		memcpy(ip + 8, &from, 16);
		memcpy(ip + 24, &to, 16);
		frame->next = 14 + 6;
	}
}

static inline void frame_ip(struct frame *frame, const char *source, const char *destination)
{
	frame_ip_options(frame, source, destination, 0);
}

/* A header of `size` bytes and protocol number `protocol`; an IPv6 extension header keeps the chain going. */
static inline uint8_t *frame_header(struct frame *frame, uint8_t protocol, size_t size, bool extension)
{
	size_t at = frame->size;

	frame->data[frame->next] = protocol;
	frame->next = at;
	if (!extension)
		frame->transport = at;
	return frame_add(frame, size);
}

/* Hop-by-hop, destination options (8-byte units), routing with segments left in byte 3. */
static inline uint8_t *frame_extension(struct frame *frame, uint8_t protocol, size_t size)
{
	uint8_t *header = frame_header(frame, protocol, size, true);

	header[1] = (uint8_t)(size / 8 - 1);
	return header;
}

/* A fragment: in the IPv4 header or in an extension header. `offset` in bytes. */
static inline void frame_fragment(struct frame *frame, uint32_t id, size_t offset, bool more)
{
	uint8_t *header;

	if (frame->v4) {
		put16(frame->data + 18, (uint16_t)id);
		put16(frame->data + 20, (uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
		return;
	}
	header = frame_header(frame, IPPROTO_FRAGMENT, 8, true);
	put16(header + 2, (uint16_t)(offset | more));
	put32(header + 4, id);
}

static inline uint8_t *frame_tcp(struct frame *frame, uint16_t source, uint16_t destination, uint8_t flags)
{
	uint8_t *tcp = frame_header(frame, IPPROTO_TCP, 20, false);

	put16(tcp, source);
	put16(tcp + 2, destination);
	put32(tcp + 4, 1000);
	put32(tcp + 8, flags & 0x10 ? 5000 : 0);
	tcp[12] = 0x50;
	tcp[13] = flags;
	put16(tcp + 14, 512);
	return tcp;
}

static inline void frame_udp(struct frame *frame, uint16_t source, uint16_t destination)
{
	uint8_t *udp = frame_header(frame, IPPROTO_UDP, 8, false);

	put16(udp, source);
	put16(udp + 2, destination);
	put16(udp + 4, 8);
}

/* `type` is the IPv4 number of echo request (8) and reply (0); other types as they are. */
static inline uint8_t *frame_icmp(struct frame *frame, uint8_t type, uint16_t id)
{
	uint8_t *icmp = frame_header(frame, frame->v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 8, false);

	icmp[0] = frame->v4 ? type : type == 8 ? 128 : type == 0 ? 129 : type;
	put16(icmp + 4, id);
	return icmp;
}

/* --- checksums --- */

static inline uint32_t sum_bytes(const uint8_t *bytes, size_t size, uint32_t sum)
{
	for (size_t i = 0; i + 1 < size; i += 2)
		sum += get16(bytes + i);
	if (size & 1)
		sum += (uint32_t)bytes[size - 1] << 8;
	return sum;
}

static inline uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of the transport header and what follows, with the pseudo header: 0xffff when the checksum in it is right. */
static inline uint16_t frame_transport_sum(const struct frame *frame, uint8_t protocol)
{
	const uint8_t *addresses = frame->data + 14 + (frame->v4 ? 12 : 8);
	size_t size = frame->size - frame->transport;
	uint32_t sum = sum_bytes(addresses, frame->v4 ? 8 : 32, (uint32_t)size + protocol);

	return sum_fold(sum_bytes(frame->data + frame->transport, size, sum));
}

static inline uint16_t frame_ip_sum(const struct frame *frame)
{
	return sum_fold(sum_bytes(frame->data + 14, (size_t)(frame->data[14] & 15) * 4, 0));
}

/* Lengths, and the checksum of the IPv4 header; transport checksums are of no interest to the programs. */
static inline void frame_finish(struct frame *frame)
{
	if (frame->v4) {
		put16(frame->data + 16, (uint16_t)(frame->size - 14));
		put16(frame->data + 24, 0);
		put16(frame->data + 24, (uint16_t)~frame_ip_sum(frame));
	} else {
		put16(frame->data + 18, (uint16_t)(frame->size - 54));
	}
}

#endif
