/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_DATAPATH_FILTERS_H
#define WEFT_DATAPATH_FILTERS_H
/*
 * Packet filters on the host's path between two pods, in the caller's network namespace. Each returns true and says in
 * `why` what it found; also when the kernel does not let it look.
 */
#include <stdbool.h>
#include <stddef.h>

/* A base chain of nf_tables (iptables-nft included) at hook forward, or of a bridge, that has rules or drops by default. */
bool filters_nftables(char *why, size_t size);
/* Rules, or a policy to drop, in the FORWARD chains of iptables-legacy and ip6tables-legacy; tables of ebtables. */
bool filters_iptables(char *why, size_t size);

#endif
