/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/clsact.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "util/netlink_ask.h"

#define CLSACT_PRIORITY 15808
#define CLSACT_HANDLE 1

static int clsact_query(const struct bpf_tc_hook *hook, uint32_t *ret_id)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, ours, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	int error = bpf_tc_query(hook, &ours);

	*ret_id = error ? 0 : ours.prog_id;
	return error;
}

int clsact_attach(uint32_t ifindex, enum bpf_tc_attach_point point, int program_fd, uint32_t id, bool *ret_made_qdisc)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, ours, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY, .prog_fd = program_fd,
			    .flags = BPF_TC_F_REPLACE);
	uint32_t there;
	int error;

	*ret_made_qdisc = false;
	if (clsact_query(&hook, &there)) {
		error = bpf_tc_hook_create(&hook);
		if (error && error != -EEXIST)
			return error;
		*ret_made_qdisc = !error;
	}
	if (there == id)
		return 0;
	return bpf_tc_attach(&hook, &ours);
}

int clsact_detach(uint32_t ifindex, enum bpf_tc_attach_point point)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, ours, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	uint32_t there;

	if (clsact_query(&hook, &there))
		return 0;
	return bpf_tc_detach(&hook, &ours);
}

static int count_filter(const struct nlmsghdr *message, void *context)
{
	const struct tcmsg *filter = mnl_nlmsg_get_payload(message);
	int *others = context;

	/* handle 0: not a filter, but the head of those of one priority */
	if (message->nlmsg_type == RTM_NEWTFILTER && filter->tcm_handle && filter->tcm_info >> 16 != CLSACT_PRIORITY)
		(*others)++;
	return MNL_CB_OK;
}

int clsact_others(uint32_t ifindex, enum bpf_tc_attach_point point)
{
	char buffer[MNL_NLMSG_HDRLEN + sizeof(struct tcmsg)] __attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct tcmsg *filter = mnl_nlmsg_put_extra_header(request, sizeof(*filter));
	int others = 0, error;

	request->nlmsg_type = RTM_GETTFILTER;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	filter->tcm_ifindex = (int)ifindex;
	filter->tcm_parent = TC_H_MAKE(TC_H_CLSACT, point == BPF_TC_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
	error = netlink_ask(NETLINK_ROUTE, request, count_filter, &others);
	return error ? error : others;
}

int clsact_remove_qdisc(uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex);
	uint32_t there;
	int ingress = clsact_others(ifindex, BPF_TC_INGRESS), egress = clsact_others(ifindex, BPF_TC_EGRESS);
	int error;

	if (ingress < 0 || egress < 0)
		return ingress < 0 ? ingress : egress;
	if (ingress || egress)
		return 0;
	hook.attach_point = BPF_TC_INGRESS;
	if (!clsact_query(&hook, &there))
		return 0;
	hook.attach_point = BPF_TC_EGRESS;
	if (!clsact_query(&hook, &there))
		return 0;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	error = bpf_tc_hook_destroy(&hook);
	return error == -EINVAL || error == -ENOENT ? 0 : error; /* somebody was faster */
}
