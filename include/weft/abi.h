/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause OR Apache-2.0 */
#ifndef WEFT_ABI_H
#define WEFT_ABI_H
/*
 * Every structure that crosses between the BPF programs and user space: map keys, map values, events. Included by both.
 *
 * Rules: fixed-width types; explicit padding, zeroed by whoever writes; no pointer, no bitfield. A structure only grows
 * at its end, and whoever changes one raises WEFT_ABI_VERSION: the agent migrates a pinned map whose value is shorter by
 * copying the common prefix and zeroing the rest (agent/datapath/migrate.c). tests/unit compares sizes and offsets with
 * the BTF of the built objects.
 *
 * Byte order: fields named *_port that are __be16, and addresses, are in network order. Everything else is host order.
 */
#include <linux/types.h>

#include "weft/reason.h"

#define WEFT_ABI_VERSION 1

/* An address of either family. IPv4 is v4-mapped (RFC 4291 section 2.5.5.2), so one code path serves both. */
struct weft_addr {
	__be32 word[4];
};

enum weft_direction { WEFT_EGRESS = 0, WEFT_INGRESS = 1 };

/*
 * Policy and identity values come in two buffers so that a change of many entries takes effect at once. A program reads
 * weft_control.buffers once per decision: OLD or NEW alone, or both, in which case a thing is allowed only if both
 * buffers allow it. The agent writes the idle buffer, sets both, waits for running programs, sets the new one, and then
 * brings the idle buffer up to date. So between two states nothing is allowed that neither allows.
 */
#define WEFT_BUFFERS 2

/* weft_control: ARRAY of 1, BPF_F_MMAPABLE. Written by the agent only. */
struct weft_control {
	/* `buffers` and `epoch` are one aligned 64-bit word: the programs read, and the agent should store, both at once */
	__u32 buffers;	   /* bit 0: buffer 0 decides, bit 1: buffer 1 decides; 3 = both must allow; 0 = nothing loaded: deny */
	__u32 epoch;	   /* raised with each change of `buffers`, weft_interfaces or weft_addresses; a tracked connection of
			      another epoch is decided anew. Never 0: that is an entry which nobody decided */
	__u32 flags;	   /* enum weft_control_flag */
	__u32 report_bytes; /* ring wake-up threshold: consumers are woken when this much is waiting, 0 = for each record */
	__u64 heartbeat;   /* CLOCK_MONOTONIC ns at which the agent was last alive */
};

enum weft_control_flag {
	WEFT_CONTROL_DENY_DROP = 1 << 0,   /* drop denied TCP silently instead of answering with a reset */
	WEFT_CONTROL_NO_CONNECT_EVENTS = 1 << 1, /* flow records only for denials (metrics stay exact) */
};

/* weft_workloads (HASH, key: __u64 network namespace cookie) and weft_interfaces (HASH, key: __u32 host-side ifindex). */
struct weft_workload {
	__u64 netns_cookie;
	__u32 identity[WEFT_BUFFERS];
	__u32 subject[WEFT_BUFFERS]; /* whose policy; WEFT_SUBJECT_* below 16 */
	__u32 ifindex;		     /* host-side interface; 0 for the host's own namespace */
	__u32 flags;		     /* enum weft_workload_flag */
	__u8 mac[6];		     /* of the pod's own end */
	__u8 pad[2];
	struct weft_addr addr[2];    /* the pod's first address of each family, IPv4 then IPv6; zero: none */
};

enum weft_subject {
	WEFT_SUBJECT_NOT_LOADED = 0, /* closed: POLICY_NOT_LOADED */
	WEFT_SUBJECT_OPEN = 1,	     /* no policy selects it: everything is allowed without a look-up */
	WEFT_SUBJECT_FIRST = 16,     /* compiled subjects start here */
};

enum weft_workload_flag {
	WEFT_WORKLOAD_HOST = 1 << 0,	  /* the node's own namespace: balanced, no policy of its own */
	WEFT_WORKLOAD_SHORT_WAY = 1 << 1, /* packets between two such pods take bpf_redirect_peer() */
};

/* weft_addresses: HASH, key: struct weft_addr. Every known pod and node address of the cluster. */
struct weft_address {
	__u32 identity[WEFT_BUFFERS]; /* 0 in a buffer: not known there, ask weft_prefixes */
	__u32 ifindex;		      /* host-side interface when the pod runs on this node, else 0 */
	__u32 flags;		      /* enum weft_address_flag */
};

enum weft_address_flag {
	WEFT_ADDRESS_THIS_NODE = 1 << 0, /* the node the program runs on: probes and replies are always allowed */
	WEFT_ADDRESS_NODE = 1 << 1,	 /* any node of the cluster */
};

/* weft_prefixes: LPM_TRIE. What an address outside weft_addresses is: the longest prefix that some policy names. */
struct weft_prefix {
	__u32 length; /* 0..128 bits of the v4-mapped address: 10.0.0.0/8 is 104 */
	struct weft_addr addr;
};
struct weft_prefix_value {
	__u32 identity[WEFT_BUFFERS];
};

/* Identity 0 is "any" as a policy key; an address that nothing names has WEFT_IDENTITY_WORLD. */
enum weft_identity {
	WEFT_IDENTITY_ANY = 0,
	WEFT_IDENTITY_WORLD = 1,
	WEFT_IDENTITY_THIS_NODE = 2, /* the node itself, host network pods included */
	WEFT_IDENTITY_NODE = 3,	     /* another node */
	WEFT_IDENTITY_FIRST = 16,
};

/* weft_policies: HASH. An identity without an entry of its own uses the entry of WEFT_IDENTITY_ANY. */
struct weft_policy_key {
	__u32 subject;
	__u32 identity;
	__u32 direction; /* enum weft_direction, seen from the subject */
};
struct weft_policy {
	struct {
		__u32 first; /* index of its first rule in weft_rules */
		__u32 count; /* 0 in a buffer: no entry there */
	} rules[WEFT_BUFFERS];
};

/*
 * weft_rules: ARRAY, BPF_F_MMAPABLE. A policy entry is a run of rules sorted by `start` that tiles all protocols and
 * ports: the rule for (protocol, port) is the last with start <= protocol << 16 | port. The first has start 0.
 * For protocols without ports the port is 0.
 */
struct weft_rule {
	__u32 start;
	__u32 id;	/* WEFT_RULE_* below 16, else names the object and rule: agent/compile/names.h */
	__u32 audit_id; /* with WEFT_RULE_AUDIT or WEFT_RULE_WOULD_DENY: the rule that wants the record */
	__u8 reason;	/* enum weft_reason; NONE = allow */
	__u8 flags;	/* enum weft_rule_flag */
	__u8 pad[2];
};
enum weft_rule_flag {
	WEFT_RULE_AUDIT = 1 << 0,      /* an AUDIT policy matched: record it, decision unchanged */
	WEFT_RULE_WOULD_DENY = 1 << 1, /* a policy in dry run would have denied it */
	WEFT_RULE_WOULD_ALLOW = 1 << 2, /* a policy in dry run would have allowed it */
};
enum weft_rule_id {
	WEFT_RULE_NONE = 0,
	WEFT_RULE_OPEN = 1,	      /* no policy selects the pod for this direction */
	WEFT_RULE_ISOLATED = 2,	      /* in the part of a run that did not fit */
	WEFT_RULE_THIS_NODE = 4,      /* to or from the pod's own node: always allowed (NetworkPolicy v1) */
	WEFT_RULE_OWN_POD = 5,	      /* a pod cannot block access to itself */
	WEFT_RULE_LINK_LOCAL = 6,     /* neighbour discovery and the like on the pod's own link */
	WEFT_RULE_FIRST = 16,
};
#define WEFT_RULES_MAX_RUN 65536 /* the binary search is bounded by its logarithm */
#define WEFT_RULES_SEARCH_STEPS 17

/*
 * weft_services: HASH. Port 0 with protocol 0 exists for each cluster IP: other ports of it are refused. Not for external and
 * load-balancer IPs: such an address may be a node's own.
 */
struct weft_service_key {
	struct weft_addr addr;
	__be16 port;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad;
};
struct weft_service {
	__u32 id;	    /* names the Service: agent/compile/names.h */
	__u32 first_slot;   /* in weft_slots */
	__u32 slot_count;   /* 0: no endpoint */
	__u32 affinity_seconds; /* 0: none; else ClientIP affinity, 1..86400 */
	__u32 algorithm;    /* enum weft_algorithm */
	__u32 flags;	    /* enum weft_service_flag */
	__u64 next;	    /* round robin: raised by the programs */
};
enum weft_algorithm { WEFT_RANDOM = 0, WEFT_ROUND_ROBIN = 1, WEFT_WEIGHTED = 2 };
enum weft_service_flag {
	WEFT_SERVICE_REFUSE_PROTOCOL = 1 << 0, /* protocol is not balanced (SCTP): UNSUPPORTED_SERVICE_PROTOCOL */
	WEFT_SERVICE_L7 = 1 << 1,	       /* marked for L7; no meaning to the L4 programs */
	WEFT_SERVICE_ADDRESS = 1 << 2,	       /* the port 0 entry: other ports are refused with NO_SERVICE_PORT */
};

/*
 * weft_slots: ARRAY, BPF_F_MMAPABLE. A service port has slot_count consecutive slots, sorted by address, then port
 * (memcmp order of the 18 bytes), so that affinity can find a backend again by binary search. Drawing with weights
 * is Walker's alias method: draw a slot uniformly, keep it if a second 32-bit draw is below or equal `threshold`,
 * else take the slot `alias` places after first_slot. Equal weights: threshold is always 0xffffffff.
 * A changed set is written to fresh slots, then weft_service is replaced: readers see the old set or the new one.
 */
struct weft_slot {
	struct weft_addr addr;
	__be16 port;
	__u16 weight; /* as configured, 1..65535; for people */
	__u32 threshold;
	__u32 alias;
	__u32 pad;
};
#define WEFT_SLOTS_SEARCH_STEPS 17

/* weft_backends: HASH. State of a backend, shared by all services that use it; written by the programs. */
struct weft_backend_key {
	struct weft_addr addr;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
struct weft_backend {
	__u64 opened;	    /* connections established from this node */
	__u64 active;	    /* of these, still open */
	__u64 failed;	    /* refused, reset or timed out before they stood */
	__u64 srtt_us;	    /* exponentially weighted mean of smoothed RTTs at close, weight 1/8; 0: none yet */
	__u64 connect_us;   /* the same of the time from connect() to established */
	__u64 last_used;    /* CLOCK_MONOTONIC ns */
};

/* weft_affinity: LRU_HASH. */
struct weft_affinity_key {
	__u64 netns_cookie;
	__u32 service_id;
	__be16 port;
	__u8 protocol;
	__u8 family; /* 4 or 6: a dual-stack Service has a backend for each */
};
struct weft_affinity {
	struct weft_addr addr;
	__be16 port;
	__u8 pad[6];
	__u64 last_used; /* CLOCK_MONOTONIC ns */
};

/* weft_udp_peers: LRU_HASH. For replies on unconnected UDP sockets: which service did the program talk to? */
struct weft_udp_peer_key {
	__u64 socket_cookie;
	struct weft_addr addr; /* of the backend */
	__be16 port;
	__u8 pad[6];
};
struct weft_udp_peer {
	struct weft_addr addr; /* of the service */
	__be16 port;
	__u8 pad[2];
	__u32 service_id;
};

/* weft_sockets: HASH, key: __u64 socket cookie. TCP's entries go with the connection, UDP's with the socket. */
struct weft_socket {
	struct weft_addr service_addr; /* what the program asked for */
	struct weft_addr backend_addr; /* what it got */
	__be16 service_port;
	__be16 backend_port;
	__u8 protocol;
	__u8 flags; /* enum weft_socket_flag */
	__u8 pad[2];
	__u32 service_id; /* 0: not a service */
	__u32 rule;	  /* that allowed it at connect() */
	__u32 identity;	  /* of the remote end, when it was established */
	__u32 local_identity;
	__u64 opened;	  /* CLOCK_MONOTONIC ns of connect() or accept; 0: no connection, the rest is void */
	__u64 established; /* CLOCK_MONOTONIC ns; 0: not yet */
	__u64 sent;	  /* bytes that weft_traffic has counted already */
	__u64 received;
	__u64 netns_cookie;
	__u32 retransmits; /* that weft_traffic has counted already */
	__u32 pid;	   /* of the process that called connect(); 0: a server's socket */
};
enum weft_socket_flag {
	WEFT_SOCKET_TRANSLATED = 1 << 0, /* service_* and backend_* are valid */
	WEFT_SOCKET_SERVER = 1 << 1,
	WEFT_SOCKET_COUNTED = 1 << 2,	 /* counted as opened in weft_traffic and weft_backends */
	WEFT_SOCKET_UDP_PEERS = 1 << 3,	 /* weft_udp_peers has entries of it */
	WEFT_SOCKET_REPORTED = 1 << 4,	 /* report_tcp has met it before: it is open for longer than one interval */
};
/* What the iterator list_udp writes: one for each UDP socket of the reader's namespace that is connected to a service's backend. */
struct weft_udp_socket {
	__u64 cookie;
	struct weft_addr local_addr;
	struct weft_addr backend_addr; /* the socket's peer */
	struct weft_addr service_addr; /* what the program asked for */
	__be16 local_port;
	__be16 backend_port;
	__be16 service_port;
	__u8 family; /* AF_INET or AF_INET6, of the socket */
	__u8 pad;
	__u32 ifindex; /* that it is bound to, or 0 */
	__u32 service_id;
};

/*
 * weft_conntrack: HASH. One entry for both directions: the end with the smaller (address, port) in memcmp order is end 0.
 */
struct weft_conn_key {
	struct weft_addr addr[2];
	__be16 port[2]; /* ICMP echo: the identifier in both */
	__u8 protocol;
	__u8 pad[3];
};
struct weft_conn {
	__u64 created;	 /* CLOCK_MONOTONIC ns */
	__u64 last_seen; /* CLOCK_MONOTONIC ns */
	__u32 epoch;	 /* of the decision below */
	__u8 initiator;	 /* 0 or 1: which end sent the first packet */
	__u8 decided;	 /* bit enum weft_direction: that direction was decided in `epoch`, and allowed */
	__u8 tcp_flags[2]; /* seen so far from each end */
	__u32 rule[2];	 /* per enum weft_direction: who allowed it */
	__u64 packets[2]; /* from each end; TCP too */
	__u64 bytes[2];	 /* IP length */
	__u32 service_id;
	__u32 flags; /* enum weft_conn_flag */
	/* what the decision looked up about each end, so that a packet of the same epoch needs this entry alone */
	__u32 ifindex[2];  /* its host-side interface; 0: not a pod of this node */
	__u32 identity[2];
	__u8 mac[2][6];	   /* of its own end of the interface */
	__u8 pad[4];
};
enum weft_conn_flag {
	WEFT_CONN_SEEDED = 1 << 0, /* taken over from a socket that was older than the programs */
	WEFT_CONN_SHORT_WAY = 1 << 1, /* both ends are pods of this node that take bpf_redirect_peer() */
};

/* weft_fragments: LRU_HASH. Ports of a datagram whose first fragment was seen. */
struct weft_fragment_key {
	struct weft_addr source;
	struct weft_addr destination;
	__u32 id;
	__u8 protocol;
	__u8 pad[3];
};
struct weft_fragment {
	__be16 source_port;
	__be16 destination_port;
};

/* weft_denials: LRU_HASH, value: __u64 CLOCK_MONOTONIC ns of the last record. Such denials are recorded once a second. */
struct weft_denial_key {
	__u32 source;	   /* identity */
	__u32 destination; /* identity */
	__be16 port;	   /* of the destination */
	__u8 protocol;
	__u8 reason;
};

/* weft_traffic: PERCPU_HASH. What istio_tcp_* and weft_* metrics are made of; exact also when records are lost. */
struct weft_traffic_key {
	__u32 source;	   /* identity */
	__u32 destination; /* identity */
	__u32 service_id;
	__u8 reporter; /* enum weft_reporter */
	__u8 protocol;
	__u8 reason; /* enum weft_reason */
	__u8 tls;    /* 0: clear */
};
enum weft_reporter { WEFT_REPORTER_SOURCE = 0, WEFT_REPORTER_DESTINATION = 1 };
struct weft_traffic {
	__u64 opened;
	__u64 closed;
	__u64 sent;	/* bytes from source to destination: Istio's istio_tcp_sent_bytes is the response, see telemetry/ */
	__u64 received; /* bytes from destination to source */
	__u64 retransmits;
	__u64 denied; /* connects or packets */
};

/* weft_drops: PERCPU_ARRAY, index reason * 2 + direction. */
struct weft_drop {
	__u64 packets; /* connect() calls count as one */
	__u64 bytes;
};

/* weft_errors: PERCPU_ARRAY of __u64, index enum weft_place. */

/* weft_events: RINGBUF of these. */
struct weft_event {
	__u64 time; /* CLOCK_MONOTONIC ns */
	__u64 netns_cookie; /* of the local pod, 0 if unknown */
	__u64 socket_cookie; /* 0 for packets */
	struct weft_addr source; /* of the connection's initiator, always */
	struct weft_addr destination; /* as on the wire */
	struct weft_addr service; /* what the program asked for; all 0: not a service */
	__be16 source_port;
	__be16 destination_port;
	__be16 service_port;
	__u8 type;	/* enum weft_event_type */
	__u8 protocol;
	__u8 reporter;	/* enum weft_reporter */
	__u8 reason;	/* enum weft_reason */
	__u8 direction; /* enum weft_direction of the decision */
	__u8 rule_flags; /* enum weft_rule_flag */
	__u8 tcp_flags; /* packets: of this packet */
	__u8 pad[3];
	__u32 source_identity;
	__u32 destination_identity;
	__u32 service_id;
	__u32 rule;
	__u32 audit_rule;
	__u32 retransmits;
	__u32 srtt_us;
	__u32 pid; /* of the process, where there is one */
	__u64 sent; /* bytes, seen from the initiator, since the connection stood */
	__u64 received;
	__u64 duration; /* ns since it stood; CONNECT: from connect() to established */
};
enum weft_event_type {
	WEFT_EVENT_CONNECT = 1, /* source side: established */
	WEFT_EVENT_ACCEPT = 2,	/* destination side: established */
	WEFT_EVENT_DENY = 3,
	WEFT_EVENT_CLOSE = 4,
	WEFT_EVENT_REPORT = 5,	/* a long connection so far */
	WEFT_EVENT_FAIL = 6,	/* connect() did not lead to a connection */
	WEFT_EVENT_AUDIT = 7,	/* allowed; an AUDIT or dry run policy wants the record */
};

#define WEFT_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type " changed: raise WEFT_ABI_VERSION")
WEFT_ASSERT_SIZE(weft_control, 24);
WEFT_ASSERT_SIZE(weft_workload, 72);
WEFT_ASSERT_SIZE(weft_address, 16);
WEFT_ASSERT_SIZE(weft_prefix, 20);
WEFT_ASSERT_SIZE(weft_policy_key, 12);
WEFT_ASSERT_SIZE(weft_policy, 16);
WEFT_ASSERT_SIZE(weft_rule, 16);
WEFT_ASSERT_SIZE(weft_service_key, 20);
WEFT_ASSERT_SIZE(weft_service, 32);
WEFT_ASSERT_SIZE(weft_slot, 32);
WEFT_ASSERT_SIZE(weft_backend_key, 20);
WEFT_ASSERT_SIZE(weft_backend, 48);
WEFT_ASSERT_SIZE(weft_affinity_key, 16);
WEFT_ASSERT_SIZE(weft_affinity, 32);
WEFT_ASSERT_SIZE(weft_udp_peer_key, 32);
WEFT_ASSERT_SIZE(weft_udp_peer, 24);
WEFT_ASSERT_SIZE(weft_socket, 104);
WEFT_ASSERT_SIZE(weft_udp_socket, 72);
WEFT_ASSERT_SIZE(weft_conn_key, 40);
WEFT_ASSERT_SIZE(weft_conn, 104);
WEFT_ASSERT_SIZE(weft_denial_key, 12);
WEFT_ASSERT_SIZE(weft_fragment_key, 40);
WEFT_ASSERT_SIZE(weft_traffic_key, 16);
WEFT_ASSERT_SIZE(weft_traffic, 48);
WEFT_ASSERT_SIZE(weft_event, 144);

#endif
