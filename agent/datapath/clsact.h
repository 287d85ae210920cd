/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_DATAPATH_CLSACT_H
#define WEFT_DATAPATH_CLSACT_H
/* Programs as filters of an interface's clsact qdisc: the way before tcx. Ours is known by its priority and handle. */
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Attaches the program, or puts it in the place of ours that is there, in one step; nothing is done when that is program
 * `id` already. *ret_made_qdisc: there was no clsact qdisc. 0 or -errno.
 */
int clsact_attach(uint32_t ifindex, enum bpf_tc_attach_point point, int program_fd, uint32_t id, bool *ret_made_qdisc);
/* Fine when there is none. 0 or -errno. */
int clsact_detach(uint32_t ifindex, enum bpf_tc_attach_point point);
/* How many filters of others there are at `point`. -errno; none without a clsact qdisc. */
int clsact_others(uint32_t ifindex, enum bpf_tc_attach_point point);
/* Takes the qdisc away if it has no filter left. 0 or -errno. */
int clsact_remove_qdisc(uint32_t ifindex);

#endif
