/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause OR Apache-2.0 */
#ifndef WEFT_REASON_H
#define WEFT_REASON_H
/*
 * The one list of why Weft refused something. The datapath counts by these numbers, flow records carry them, metrics and
 * meshctl print their names. Append only: a number that was ever released keeps its meaning, because counters and flow
 * files outlive the program that wrote them.
 *
 * X(NUMBER, NAME, text for people, Envoy-style response flag for istio_tcp_* metrics)
 */
#define WEFT_REASONS(X)                                                                                                \
	X(0, NONE, "not refused", "-")                                                                                 \
	X(1, POLICY_DENIED, "no policy rule allows it", "DENY")                                                        \
	X(2, AUTHORIZATION_DENIED, "an authorization policy denies it", "DENY")                                        \
	X(3, POLICY_NOT_LOADED, "the policy of this pod is not loaded yet", "DENY")                                    \
	X(4, NO_ENDPOINT, "the service has no endpoint", "UH")                                                         \
	X(5, NO_SERVICE_PORT, "the service has no such port", "NR")                                                    \
	X(6, UNSUPPORTED_SERVICE_PROTOCOL, "services of this protocol are not balanced", "NR")                         \
	X(7, INVALID_SOURCE, "the packet's source address is not one of the pod's", "DENY")                            \
	X(8, MALFORMED_PACKET, "headers are truncated or contradict each other", "DENY")                               \
	X(9, UNSUPPORTED_ETHERTYPE, "only IPv4, IPv6 and ARP leave or enter a pod", "DENY")                            \
	X(10, FRAGMENT_WITHOUT_FIRST, "a fragment whose first part was not seen", "DENY")                              \
	X(11, CONNTRACK_FULL, "the connection table is full", "DENY")                                                  \
	X(12, SERVICE_TABLE_INCONSISTENT, "a service entry points at no slot", "NR")                                   \
	X(13, CONNECT_FAILED, "the peer refused or did not answer", "CONNECT")

enum weft_reason {
#define WEFT_REASON_ENUM(number, name, text, flag) WEFT_REASON_##name = number,
	WEFT_REASONS(WEFT_REASON_ENUM)
#undef WEFT_REASON_ENUM
	WEFT_REASON_COUNT
};

/*
 * Where a kernel helper failed. Counted per place in weft_errors, exported as weft_bpf_errors_total{place=...}.
 * Append only, like the reasons.
 */
#define WEFT_PLACES(X)                                                                                                 \
	X(0, EVENT_RING_FULL, "flow record lost: ring buffer full")                                                    \
	X(1, SOCKET_STORAGE, "no memory for a socket's state")                                                         \
	X(2, CONNTRACK_INSERT, "connection table insert failed")                                                       \
	X(3, AFFINITY_INSERT, "session affinity insert failed")                                                        \
	X(4, UDP_PEER_INSERT, "UDP reply translation insert failed")                                                   \
	X(5, TRAFFIC_INSERT, "traffic counter insert failed: counted under unknown")                                   \
	X(6, RESET_BUILD, "a reset could not be built, the packet was dropped silently")                               \
	X(7, REDIRECT, "short way redirect failed")                                                                    \
	X(8, SOCKOPS_FLAGS, "socket callbacks could not be enabled")                                                   \
	X(9, FRAGMENT_INSERT, "fragment table insert failed")                                                          \
	X(10, BACKEND_STATE, "a backend has no state entry")                                                           \
	X(11, PACKET_ACCESS, "packet bytes could not be read")

enum weft_place {
#define WEFT_PLACE_ENUM(number, name, text) WEFT_PLACE_##name = number,
	WEFT_PLACES(WEFT_PLACE_ENUM)
#undef WEFT_PLACE_ENUM
	WEFT_PLACE_COUNT
};

#endif
