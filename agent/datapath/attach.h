/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_DATAPATH_ATTACH_H
#define WEFT_DATAPATH_ATTACH_H
/*
 * What attach.c and short_way.c share about the programs at interfaces. Pinned below DIRECTORY/interfaces, by interface
 * number, because names change:
 *
 *   IFINDEX_from_pod_tcx, IFINDEX_to_pod_tcx         the links that keep the programs attached
 *   IFINDEX_from_pod_clsact, IFINDEX_to_pod_clsact   where the kernel has no tcx: the programs, as a note of what is attached
 *   IFINDEX_qdisc                                    the clsact qdisc is of our making (a pin of a program, as a note)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attach {
	bool no_tcx; /* the kernel said so: clsact from then on */
};

/* Numbers of the interfaces that have pins below `directory`; *ret is malloc'd. 0 or -errno; no directory: none. */
int attach_interfaces(const char *directory, uint32_t **ret, size_t *ret_count);

/* How many programs and filters of others are at an interface, both directions. -errno as the kernel says. */
int attach_others(const char *directory, uint32_t ifindex);

#define SHORT_WAY_WHY_MAX 256

struct short_way_state {
	bool on;
	char why[SHORT_WAY_WHY_MAX]; /* for people */
};

struct datapath;

/* Looks whether the short way may be taken, as the options say. */
void short_way_look(const struct datapath *datapath, struct short_way_state *ret);

#endif
