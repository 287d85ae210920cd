/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_FLOW_H
#define WEFT_TELEMETRY_FLOW_H
/*
 * A flow record with its numbers turned into names, and its two forms: JSON with the field names of Hubble's flow (API,
 * access log, `meshctl observe -o json`, replay files) and a line of text. Used by weftd and by meshctl; knows no
 * kernel.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/clock.h"
#include "weft/abi.h"

struct cJSON;

/* All strings are interned (agent/util/intern.h); NULL: not known. */
struct flow_end {
	struct weft_addr addr;
	uint16_t port; /* host order; 0: the protocol has none */
	uint32_t identity;
	const char *identity_name; /* "default/web", "world", "cidr:10.0.0.0/8" */
	const char *namespace;
	const char *pod;
	const char *node;
	const char *service_account;
	const char *workload_kind;
	const char *workload_name;
	const char *labels; /* "app=web,version=v1" */
};

struct flow_rule {
	uint32_t id; /* 0: none */
	const char *kind; /* "NetworkPolicy", "AuthorizationPolicy"; NULL: built in */
	const char *namespace;
	const char *name;
	const char *text;
};

struct flow {
	uint64_t time; /* CLOCK_REALTIME ns */
	uint8_t type;	  /* enum weft_event_type */
	uint8_t protocol; /* IPPROTO_* */
	uint8_t reporter; /* enum weft_reporter */
	uint8_t reason;	  /* enum weft_reason */
	uint8_t direction; /* enum weft_direction */
	uint8_t rule_flags; /* enum weft_rule_flag */
	uint8_t tcp_flags;
	bool is_reply; /* never set by Weft, whose source is always the initiator; kept of replayed records */
	bool tls;
	struct flow_end source, destination;
	struct weft_addr service_addr; /* what the program asked for; zero: not a service */
	uint16_t service_port;
	const char *service_namespace;
	const char *service_name;
	struct flow_rule rule, audit_rule;
	const char *node; /* that reports */
	uint32_t retransmits, srtt_us, pid;
	uint64_t netns_cookie, socket_cookie;
	uint64_t sent, received; /* bytes, seen from the source */
	uint64_t duration;	 /* ns */
};

/* Words of the records: "connect", "FORWARDED", "POLICY_DENIED", "TCP". Never NULL. */
const char *flow_type_name(uint8_t type);
const char *flow_verdict(const struct flow *flow);
const char *flow_reason_name(uint8_t reason);
const char *flow_reason_text(uint8_t reason);
const char *flow_protocol_name(uint8_t protocol); /* "IP" for one without a name here */
int flow_type_parse(const char *name, uint8_t *ret);	 /* 0 or -EINVAL; letter case does not matter */
int flow_reason_parse(const char *name, uint8_t *ret);	 /* the same */
int flow_protocol_parse(const char *name, uint8_t *ret); /* the same; a number is fine too */

#define FLOW_TIME_MAX 40
/* RFC 3339 with nanoseconds, UTC, into FLOW_TIME_MAX bytes; returns it. */
char *flow_time_format(uint64_t nanoseconds, char *text);
/* RFC 3339 with "Z" or an offset and any number of fraction digits. 0 or -EINVAL. */
int flow_time_parse(const char *text, uint64_t *ret);

/* The object that goes on a line by itself: {"flow": {...}, "node_name": ..., "time": ...}. NULL: no memory. */
struct cJSON *flow_to_json(const struct flow *flow);
/* From such an object, or from the inner one alone. -EINVAL: `reason` (256 bytes) names the field and what is wrong. */
int flow_from_json(const struct cJSON *json, struct flow *ret, char reason[256]);
/* One line of a replay file. The same results. */
int flow_from_line(const char *line, size_t size, struct flow *ret, char reason[256]);

#define FLOW_TEXT_MAX 512
/*
 * What happened, for people: "TCP connected in 0.21 ms by way of default/api:80". Returns `text` (FLOW_TEXT_MAX
 * bytes).
 */
char *flow_summary(const struct flow *flow, char *text);
/* "default/web-1:40112", or "10.0.0.1:80" where no pod is known, into FLOW_TEXT_MAX bytes. */
char *flow_end_format(const struct flow_end *end, char *text);
/* "(ID:77)", or "(world)" for an identity that is not a workload's, into FLOW_TEXT_MAX bytes. */
char *flow_identity_format(const struct flow_end *end, char *text);
/* `TIME: SRC (ID:n) -> DST (ID:n) TYPE VERDICT (SUMMARY)`, `<-` for replies. */
#define FLOW_LINE_MAX 2048
char *flow_compact(const struct flow *flow, char *text);

#endif
