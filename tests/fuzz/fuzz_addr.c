/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and CIDRs as manifests and requests bring them: what parses must print to something that parses to the same. */
#include <stdlib.h>
#include <string.h>

#include "util/addr.h"

static void check_addr(const char *text)
{
	struct weft_addr addr, again;
	char printed[ADDR_TEXT_MAX];

	if (addr_parse(text, &addr) < 0)
		return;
	if (addr_parse(addr_format(&addr, printed), &again) < 0 || !addr_equal(&addr, &again))
		abort();
}

static void check_cidr(const char *text)
{
	struct weft_addr addr, again;
	uint8_t length, length_again;
	char printed[ADDR_TEXT_MAX];

	if (cidr_parse(text, &addr, &length) < 0)
		return;
	if (length > 128 || !cidr_contains(&addr, length, &addr))
		abort();
	if (cidr_parse(cidr_format(&addr, length, printed), &again, &length_again) < 0)
		abort();
	if (length != length_again || !addr_equal(&addr, &again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_addr(text);
	check_cidr(text);
	free(text);
	return 0;
}
