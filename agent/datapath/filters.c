/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/filters.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after those of the C library, which they give way to */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter_bridge/ebtables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "util/netlink_ask.h"

struct finding {
	bool found;
	char *why;
	size_t size;
};

/* --- nf_tables --- */

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return NULL; /* arp: no matter of ours */
	}
}

/* Does what is at this hook see packets from one pod to another? */
static bool hook_matters(uint8_t family, uint32_t hook)
{
	return family == NFPROTO_NETDEV || (hook != NF_INET_LOCAL_IN && hook != NF_INET_LOCAL_OUT);
}

static const struct nlattr *find_attribute(const struct nlattr *nested, uint16_t type)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, nested)
		if (mnl_attr_get_type(attribute) == type)
			return attribute;
	return NULL;
}

static uint32_t attribute_number(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t) ? ntohl(mnl_attr_get_u32(attribute)) : 0;
}

/* Does it only translate addresses? What is translated does not go from pod to pod as it was sent. */
static bool is_nat(const struct nlattr *type)
{
	return type && !strcmp(mnl_attr_get_str(type), "nat");
}

static int look_at_chain(const struct nlmsghdr *message, void *context)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
	const char *family = family_name(header->nfgen_family);
	const struct nlattr *chain[NFTA_CHAIN_MAX + 1] = {}, *attribute;
	struct finding *finding = context;
	uint32_t policy = NF_ACCEPT;

	mnl_attr_for_each(attribute, message, sizeof(*header))
		if (mnl_attr_get_type(attribute) <= NFTA_CHAIN_MAX)
			chain[mnl_attr_get_type(attribute)] = attribute;
	if (!family || !chain[NFTA_CHAIN_HOOK] || !chain[NFTA_CHAIN_TABLE] || !chain[NFTA_CHAIN_NAME] ||
	    is_nat(chain[NFTA_CHAIN_TYPE]) || finding->found)
		return MNL_CB_OK;
	if (!hook_matters(header->nfgen_family,
			  attribute_number(find_attribute(chain[NFTA_CHAIN_HOOK], NFTA_HOOK_HOOKNUM))))
		return MNL_CB_OK;

	if (chain[NFTA_CHAIN_POLICY])
		policy = attribute_number(chain[NFTA_CHAIN_POLICY]);
	/* nothing can jump to a base chain: its references are its rules */
	finding->found = policy != NF_ACCEPT || attribute_number(chain[NFTA_CHAIN_USE]);
	if (finding->found)
		snprintf(finding->why, finding->size, "nftables chain %s %s %s %s", family,
			 mnl_attr_get_str(chain[NFTA_CHAIN_TABLE]), mnl_attr_get_str(chain[NFTA_CHAIN_NAME]),
			 policy != NF_ACCEPT ? "drops by default" : "has rules");
	return MNL_CB_OK;
}

bool filters_nftables(char *why, size_t size)
{
	char buffer[MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg)] __attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	struct finding finding = { .why = why, .size = size };
	int error;

	request->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nfgen_family = NFPROTO_UNSPEC;
	header->version = NFNETLINK_V0;
	error = netlink_ask(NETLINK_NETFILTER, request, look_at_chain, &finding);
	/* EPROTONOSUPPORT: a kernel without netfilter's netlink; EINVAL, EOPNOTSUPP: without nf_tables */
	if (error && error != -EPROTONOSUPPORT && error != -EINVAL && error != -EOPNOTSUPP) {
		snprintf(why, size, "nftables cannot be read: %s", strerror(-error));
		return true;
	}
	return finding.found;
}

/* --- iptables-legacy, ip6tables-legacy: one layout, but for where an entry says where its target is --- */

_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo) && IPT_SO_GET_INFO == IP6T_SO_GET_INFO &&
		       IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES,
	       "both families of iptables are asked alike");

struct legacy {
	const char *command;
	const char *names; /* the tables that exist */
	int domain, level;
	size_t target_offset; /* of the field in an entry */
};

static const struct legacy legacies[] = {
	{ "iptables", "/proc/self/net/ip_tables_names", AF_INET, IPPROTO_IP, offsetof(struct ipt_entry, target_offset) },
	{ "ip6tables", "/proc/self/net/ip6_tables_names", AF_INET6, IPPROTO_IPV6, offsetof(struct ip6t_entry, target_offset) },
};

static const struct {
	unsigned int hook;
	const char *chain;
} legacy_chains[] = {
	{ NF_INET_PRE_ROUTING, "PREROUTING" },
	{ NF_INET_FORWARD, "FORWARD" },
	{ NF_INET_POST_ROUTING, "POSTROUTING" },
};

/* Does the default of a chain, the standard target of the entry at `offset`, accept? */
static bool accepts_by_default(const struct legacy *legacy, const unsigned char *entries, size_t size, size_t offset)
{
	struct xt_standard_target target;
	uint16_t skip;

	if (offset + legacy->target_offset + sizeof(skip) > size)
		return false;
	memcpy(&skip, entries + offset + legacy->target_offset, sizeof(skip));
	if (offset + skip + sizeof(target) > size)
		return false;
	memcpy(&target, entries + offset + skip, sizeof(target));
	return target.verdict == -NF_ACCEPT - 1;
}

/* The table's entries, malloc'd, or NULL with errno. */
static struct ipt_get_entries *legacy_entries(const struct legacy *legacy, int fd, const struct ipt_getinfo *info)
{
	socklen_t size = sizeof(struct ipt_get_entries) + info->size;
	struct ipt_get_entries *entries = calloc(1, size);

	if (!entries)
		return NULL;
	memcpy(entries->name, info->name, sizeof(entries->name));
	entries->size = info->size;
	if (getsockopt(fd, legacy->level, IPT_SO_GET_ENTRIES, entries, &size)) {
		free(entries);
		return NULL;
	}
	return entries;
}

static bool legacy_table(const struct legacy *legacy, int fd, const char *table, char *why, size_t size)
{
	struct ipt_getinfo info = {};
	struct ipt_get_entries *entries;
	socklen_t length = sizeof(info);
	bool found = false;

	snprintf(info.name, sizeof(info.name), "%s", table);
	entries = getsockopt(fd, legacy->level, IPT_SO_GET_INFO, &info, &length) ? NULL : legacy_entries(legacy, fd, &info);
	if (!entries) {
		snprintf(why, size, "%s table %s cannot be read: %s", legacy->command, table, strerror(errno));
		return true;
	}
	for (size_t i = 0; i < sizeof(legacy_chains) / sizeof(*legacy_chains) && !found; i++) {
		unsigned int hook = legacy_chains[i].hook;
		bool has_rules = info.hook_entry[hook] != info.underflow[hook];

		if (!(info.valid_hooks & 1u << hook))
			continue;
		found = has_rules || !accepts_by_default(legacy, (const unsigned char *)entries->entrytable, info.size,
							 info.underflow[hook]);
		if (found)
			snprintf(why, size, "%s table %s chain %s %s", legacy->command, table, legacy_chains[i].chain,
				 has_rules ? "has rules" : "drops by default");
	}
	free(entries);
	return found;
}

static bool legacy_family(const struct legacy *legacy, char *why, size_t size)
{
	char table[XT_TABLE_MAXNAMELEN];
	FILE *names = fopen(legacy->names, "re");
	bool found = false;
	int fd;

	if (!names)
		return false; /* a kernel without it */
	fd = socket(legacy->domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	while (!found && fscanf(names, "%31s", table) == 1)
		if (strcmp(table, "nat") != 0)
			found = legacy_table(legacy, fd, table, why, size);
	if (fd >= 0)
		close(fd);
	fclose(names);
	return found;
}

/* --- ebtables-legacy --- */

/* Asking for a table would load its module, so only where that is there already. */
static bool find_ebtables(char *why, size_t size)
{
	struct ebt_replace info = { .name = "filter" };
	socklen_t length = sizeof(info);
	bool found = false;
	int fd;

	if (access("/sys/module/ebtable_filter", F_OK))
		return false;
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (getsockopt(fd, IPPROTO_IP, EBT_SO_GET_INFO, &info, &length)) {
		found = errno != ENOENT; /* another namespace uses the module */
		snprintf(why, size, "ebtables cannot be read: %s", strerror(errno));
	} else if (info.nentries) {
		found = true;
		snprintf(why, size, "ebtables table filter has rules");
	}
	if (fd >= 0)
		close(fd);
	return found;
}

bool filters_iptables(char *why, size_t size)
{
	for (size_t i = 0; i < sizeof(legacies) / sizeof(*legacies); i++)
		if (legacy_family(&legacies[i], why, size))
			return true;
	return find_ebtables(why, size);
}
