/* SPDX-License-Identifier: Apache-2.0 */
#include "util/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4_PREFIX_BITS 96

bool addr_is_v4(const struct weft_addr *addr)
{
	return !addr->word[0] && !addr->word[1] && addr->word[2] == htonl(0xffff);
}

bool addr_equal(const struct weft_addr *a, const struct weft_addr *b) { return !memcmp(a, b, sizeof(*a)); }

bool addr_is_zero(const struct weft_addr *addr)
{
	static const struct weft_addr zero;

	return addr_equal(addr, &zero);
}

int addr_from_bytes(int family, const void *bytes, struct weft_addr *ret)
{
	struct weft_addr addr = { { 0, 0, htonl(0xffff), 0 } };

	if (family == AF_INET)
		memcpy(&addr.word[3], bytes, 4);
	else if (family == AF_INET6)
		memcpy(&addr, bytes, sizeof(addr));
	else
		return -EAFNOSUPPORT;
	*ret = addr;
	return 0;
}

int addr_parse(const char *text, struct weft_addr *ret)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		return addr_from_bytes(AF_INET, bytes, ret);
	if (inet_pton(AF_INET6, text, bytes) == 1)
		return addr_from_bytes(AF_INET6, bytes, ret);
	return -EINVAL;
}

char *addr_format(const struct weft_addr *addr, char *text)
{
	if (addr_is_v4(addr))
		inet_ntop(AF_INET, &addr->word[3], text, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, addr, text, ADDR_TEXT_MAX);
	return text;
}

struct weft_addr addr_masked(const struct weft_addr *addr, unsigned int length)
{
	struct weft_addr result = *addr;

	for (unsigned int word = 0; word < 4; word++) {
		unsigned int bits = length > word * 32 ? length - word * 32 : 0;

		if (bits < 32)
			result.word[word] &= htonl(bits ? ~(UINT32_MAX >> bits) : 0);
	}
	return result;
}

int cidr_parse(const char *text, struct weft_addr *ret_addr, uint8_t *ret_length)
{
	const char *slash = strchr(text, '/');
	char bare[ADDR_TEXT_MAX];
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	struct weft_addr addr;
	unsigned long length, offset;
	char *end;

	if (size >= sizeof(bare))
		return -EINVAL;
	memcpy(bare, text, size);
	bare[size] = '\0';
	if (addr_parse(bare, &addr) < 0)
		return -EINVAL;
	offset = addr_is_v4(&addr) && !strchr(bare, ':') ? V4_PREFIX_BITS : 0;
	length = 128 - offset;
	if (slash) {
		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		length = strtoul(slash + 1, &end, 10);
		if (*end || length > 128 - offset)
			return -EINVAL;
	}
	length += offset;
	*ret_addr = addr_masked(&addr, (unsigned int)length);
	*ret_length = (uint8_t)length;
	return 0;
}

char *cidr_format(const struct weft_addr *addr, uint8_t length, char *text)
{
	char bare[ADDR_TEXT_MAX];
	int v4 = addr_is_v4(addr) && length >= V4_PREFIX_BITS;

	addr_format(addr, bare);
	snprintf(text, ADDR_TEXT_MAX, "%.48s/%d", bare, v4 ? length - V4_PREFIX_BITS : length);
	return text;
}

bool cidr_contains(const struct weft_addr *network, uint8_t length, const struct weft_addr *addr)
{
	for (unsigned int word = 0; word < 4 && word * 32 < length; word++) {
		unsigned int bits = length - word * 32;
		uint32_t mask = bits >= 32 ? UINT32_MAX : ~(UINT32_MAX >> bits);

		if ((ntohl(network->word[word]) ^ ntohl(addr->word[word])) & mask)
			return false;
	}
	return true;
}
