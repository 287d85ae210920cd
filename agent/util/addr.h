/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_ADDR_H
#define WEFT_ADDR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/abi.h"

#define ADDR_TEXT_MAX 64 /* an address, or an address with prefix length, with the final NUL */

bool addr_is_v4(const struct weft_addr *addr);
bool addr_is_zero(const struct weft_addr *addr);
bool addr_equal(const struct weft_addr *a, const struct weft_addr *b);
/* "10.0.0.1", "fd00::1" -> v4-mapped or IPv6. Returns 0 or -EINVAL. */
int addr_parse(const char *text, struct weft_addr *ret);
/* Writes "10.0.0.1" or "fd00::1" to `text` (ADDR_TEXT_MAX bytes) and returns it. */
char *addr_format(const struct weft_addr *addr, char *text);
/* "10.0.0.0/8", "fd00::/64", or a bare address (its full length). *ret_length counts bits of the v4-mapped form. 0 or -EINVAL. */
int cidr_parse(const char *text, struct weft_addr *ret_addr, uint8_t *ret_length);
char *cidr_format(const struct weft_addr *addr, uint8_t length, char *text);
/* Whether `addr` lies in `network`/`length`. */
bool cidr_contains(const struct weft_addr *network, uint8_t length, const struct weft_addr *addr);
/* The first `length` bits (of the v4-mapped form), the others zero. */
struct weft_addr addr_masked(const struct weft_addr *addr, unsigned int length);
/* From the kernel's forms: AF_INET with 4 bytes or AF_INET6 with 16. Returns 0 or -EAFNOSUPPORT. */
int addr_from_bytes(int family, const void *bytes, struct weft_addr *ret);

#endif
