/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_KERNEL_H
#define WEFT_LIB_KERNEL_H
/*
 * What the programs read of the kernel's own structures: only the members that are used. Where they really are is looked up
 * by name in the running kernel's BTF when the programs are loaded (CO-RE).
 */
#include <linux/in6.h>
#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport; /* network order */
	__u16 skc_num;	  /* local port, host order */
	unsigned short skc_family;
	unsigned long skc_flags; /* bit numbers: enum sock_flags */
	int skc_bound_dev_if;
	struct in6_addr skc_v6_daddr; /* IPv4 peers of an AF_INET6 socket are v4-mapped */
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 srtt_us; /* smoothed round trip time << 3 */
	__u32 total_retrans;
	__u64 bytes_sent; /* payload alone */
	__u64 bytes_retrans;
	__u64 bytes_received; /* the peer's FIN counts as one */
};

struct udp_sock {
	struct inet_sock inet;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
};

#pragma clang attribute pop

/* include/net/sock.h, enum sock_flags; the numbers are the same in all kernels since 2.6. */
#define SOCK_DONE_BIT (1ul << 1) /* the peer's FIN was received */

#define AF_INET 2
#define AF_INET6 10

#endif
