/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_MODEL_H
#define WEFT_MODEL_H
/*
 * The cluster as Weft sees it: plain C structures, no JSON, no YAML, no BPF. A source (agent/source/) puts objects in,
 * compile/ reads them and is told what changed. Not thread-safe: the control loop owns it.
 *
 * Strings in model objects are interned (agent/util/intern.h): equal strings have equal pointers, they live as long as
 * the process, and comparing pointers compares text. NULL means "not given"; an empty string is never stored as NULL.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/abi.h"

struct model;

enum model_kind {
	MODEL_NAMESPACE,
	MODEL_NODE,
	MODEL_POD,
	MODEL_SERVICE,
	MODEL_ENDPOINT_SLICE,
	MODEL_NETWORK_POLICY,
	MODEL_AUTHORIZATION_POLICY,
	MODEL_PEER_AUTHENTICATION,
	MODEL_KIND_COUNT
};

/* "Pod", "Service", ...; never NULL for a valid kind. */
const char *model_kind_name(enum model_kind kind);

struct label { /* key and value interned; arrays of labels are sorted by key text */
	const char *key;
	const char *value;
};
struct labels {
	struct label *items;
	size_t count;
};

/* A value that is a number or a name: targetPort, NetworkPolicy port. */
struct port_ref {
	const char *name; /* NULL: numeric */
	uint16_t number;  /* host order; 0 with name NULL: not given */
};

/* What every object has. First member of each object structure. Objects are immutable once they are in the model. */
struct object {
	enum model_kind kind;
	const char *namespace; /* "" for cluster-scoped kinds */
	const char *name;
	struct labels labels;
	struct labels annotations; /* only those that Weft knows, see source/ */
	uint64_t digest; /* of the decoded content: equal digests mean that nothing Weft uses has changed */
};

struct namespace_object { struct object meta; };

struct node_object {
	struct object meta;
	struct weft_addr *addresses; /* InternalIP, ExternalIP */
	size_t address_count;
	const char *zone; /* label topology.kubernetes.io/zone, or NULL */
};

struct container_port {
	const char *name;  /* or NULL */
	uint16_t port;	   /* host order */
	uint8_t protocol;  /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
};

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED };

struct pod_object {
	struct object meta;
	const char *node_name;	  /* or NULL */
	const char *service_account; /* "default" if not given */
	const char *netns;	  /* annotation mesh.weft.dev/netns: path of its network namespace, or NULL */
	const char *workload_kind; /* of the controlling owner (ReplicaSet "web-5d4f8" counts as Deployment "web"), else "Pod" */
	const char *workload_name;
	struct weft_addr *addresses; /* status.podIPs */
	size_t address_count;
	struct container_port *ports;
	size_t port_count;
	uint32_t weight;	  /* annotation mesh.weft.dev/weight, 1..65535, default 1 */
	enum pod_phase phase;
	bool host_network;
	bool ready;		  /* condition Ready; without status.conditions: phase Running or no status at all */
	bool terminating;	  /* has a deletionTimestamp */
};

struct service_port {
	const char *name; /* "" for the unnamed one */
	uint16_t port;	  /* host order */
	uint8_t protocol;
	struct port_ref target_port;
};

enum traffic_policy { TRAFFIC_CLUSTER, TRAFFIC_LOCAL };

struct service_object {
	struct object meta;
	struct weft_addr *cluster_ips; /* without "None" */
	size_t cluster_ip_count;
	struct weft_addr *external_ips;
	size_t external_ip_count;
	struct weft_addr *load_balancer_ips; /* status.loadBalancer.ingress[].ip with ipMode VIP or none */
	size_t load_balancer_ip_count;
	struct service_port *ports;
	size_t port_count;
	struct labels selector;	     /* count 0: none */
	uint32_t affinity_seconds;   /* 0: none */
	enum weft_algorithm algorithm; /* annotation mesh.weft.dev/algorithm: random (default), round-robin, weighted */
	enum traffic_policy internal_traffic_policy;
	bool publish_not_ready_addresses;
	bool headless;
	bool external_name;
	bool topology_hints; /* trafficDistribution PreferClose or the annotation service.kubernetes.io/topology-mode: Auto */
};

struct endpoint {
	struct weft_addr addr;	 /* one entry per address of the slice's endpoint */
	const char *target_pod;	 /* targetRef name when it is a Pod, or NULL */
	const char *node_name;	 /* or NULL */
	const char *zone;	 /* or NULL */
	const char *const *hint_zones; /* hints.forZones, interned array, NULL-terminated, or NULL */
	uint32_t weight;	 /* 0: the target pod's, else from the slice's annotation mesh.weft.dev/weight */
	bool ready;
	bool serving;
	bool terminating;
};

struct endpoint_port {
	const char *name; /* "" for the unnamed one */
	uint16_t port;
	uint8_t protocol;
};

struct endpoint_slice_object {
	struct object meta;
	const char *service_name; /* label kubernetes.io/service-name */
	struct endpoint *endpoints;
	size_t endpoint_count;
	struct endpoint_port *ports;
	size_t port_count;
};

enum selector_operator { SELECTOR_IN, SELECTOR_NOT_IN, SELECTOR_EXISTS, SELECTOR_DOES_NOT_EXIST };
struct selector_term { /* matchLabels become SELECTOR_IN with one value */
	const char *key;
	enum selector_operator operator;
	const char **values;
	size_t value_count;
};
struct selector { /* no terms: matches everything */
	struct selector_term *terms;
	size_t term_count;
};
bool selector_matches(const struct selector *selector, const struct labels *labels);

struct cidr {
	struct weft_addr addr; /* host bits zero */
	uint8_t length;	       /* 0..128 of the v4-mapped form */
};

/* --- NetworkPolicy v1 --- */
struct ip_block {
	struct cidr cidr;
	struct cidr *except;
	size_t except_count;
};
struct network_policy_peer {
	bool has_pod_selector, has_namespace_selector, has_ip_block;
	struct selector pod_selector, namespace_selector;
	struct ip_block ip_block;
};
struct network_policy_port {
	uint8_t protocol; /* TCP if not given */
	struct port_ref port; /* not given: all ports */
	uint16_t end_port; /* 0: none; else >= port.number */
};
struct network_policy_rule {
	struct network_policy_peer *peers; /* count 0: every peer */
	size_t peer_count;
	struct network_policy_port *ports; /* count 0: every port and protocol */
	size_t port_count;
};
struct network_policy_object {
	struct object meta;
	struct selector pod_selector;
	bool ingress, egress; /* policyTypes, defaulted as the API does */
	struct network_policy_rule *rules[2]; /* by enum weft_direction */
	size_t rule_count[2];
};

/* --- AuthorizationPolicy --- */
enum authorization_action { AUTHORIZE_ALLOW, AUTHORIZE_DENY, AUTHORIZE_AUDIT, AUTHORIZE_CUSTOM };
struct string_match { /* exact, prefix "abc*", suffix "*abc", presence "*" : text as written, interned */
	const char **values;
	size_t count;
};
struct cidr_list { struct cidr *items; size_t count; };
struct port_list { uint16_t *items; size_t count; };
struct authorization_source { /* all given ones must match */
	struct string_match principals, not_principals;	  /* without "spiffe://" */
	struct string_match namespaces, not_namespaces;
	struct string_match service_accounts, not_service_accounts; /* "ns/name" or "name" (the policy's namespace) */
	struct cidr_list ip_blocks, not_ip_blocks;
	struct cidr_list remote_ip_blocks, not_remote_ip_blocks; /* no proxy adds a header: the same as ip_blocks */
	bool http_fields; /* requestPrincipals and the like: cannot be decided at L4 */
};
struct authorization_operation {
	struct port_list ports, not_ports;
	bool http_fields; /* hosts, methods, paths and their not-forms */
};
struct authorization_condition { /* L4 keys only: source.ip, remote.ip, source.namespace, source.principal, destination.ip, destination.port */
	const char *key;
	struct string_match values, not_values;
};
struct authorization_rule {
	struct authorization_source *from;
	size_t from_count;
	struct authorization_operation *to;
	size_t to_count;
	struct authorization_condition *when;
	size_t when_count;
	bool http_fields; /* a `when` with a key that L4 cannot decide */
};
struct authorization_policy_object {
	struct object meta;
	struct selector selector;
	bool targets_services; /* targetRefs: not applied at L4, reported */
	enum authorization_action action;
	bool dry_run; /* annotation mesh.weft.dev/dry-run or istio.io/dry-run: "true" */
	struct authorization_rule *rules;
	size_t rule_count;
};

/* --- PeerAuthentication --- */
enum mtls_mode { MTLS_UNSET, MTLS_DISABLED, MTLS_PERMISSIVE, MTLS_STRICT };
struct peer_authentication_object {
	struct object meta;
	struct selector selector;
	enum mtls_mode mode;
	struct { uint16_t port; enum mtls_mode mode; } *port_modes;
	size_t port_mode_count;
};

/* --- the store --- */

/* Returns 0 or -ENOMEM. */
int model_new(struct model **ret);
void model_free(struct model *model); /* NULL is fine */

/*
 * Puts an object in or replaces the one of the same kind, namespace and name. Takes ownership of `object` (made with
 * object_alloc()) in every case. Returns 1 if the model changed, 0 if the digest was equal, -ENOMEM.
 */
int model_put(struct model *model, struct object *object);
/* Returns 1 if there was such an object, else 0. */
int model_delete(struct model *model, enum model_kind kind, const char *namespace, const char *name);

/* NULL if there is none. The pointer is valid until that object is replaced or deleted. */
const struct object *model_get(const struct model *model, enum model_kind kind, const char *namespace, const char *name);
size_t model_count(const struct model *model, enum model_kind kind);
/* Calls `each` in order of (namespace, name); it must not change the model. Stops at the first non-zero result and returns it. */
int model_each(const struct model *model, enum model_kind kind,
	       int (*each)(const struct object *object, void *context), void *context);
/*
 * All slices of one Service (namespace, label kubernetes.io/service-name), in no particular order; cost proportional to
 * their number.
 */
int model_each_slice(const struct model *model, const char *namespace, const char *service_name,
		     int (*each)(const struct endpoint_slice_object *slice, void *context), void *context);
/* The pods of one namespace, in no particular order. */
int model_each_pod_in(const struct model *model, const char *namespace,
		      int (*each)(const struct pod_object *pod, void *context), void *context);

/*
 * Who is told. `old` is NULL for a new object, `new` NULL for a deleted one; both valid during the call. Called from
 * model_put() and model_delete() after the store has changed. Watchers are called in the order in which they came, MODEL_WATCHERS of
 * them at most.
 */
#define MODEL_WATCHERS 4
typedef void model_watch_fn(const struct object *old, const struct object *new, void *context);
void model_watch(struct model *model, model_watch_fn *watch, void *context);

/*
 * Parts of objects that Weft does not honour, told by whoever finds them ("source": while decoding; "compile": what cannot
 * be enforced). Shown in log, `meshctl status` and metrics. A report goes when its object is deleted, or when the same
 * origin clears what it said about the object before looking at it again.
 */
int model_report(struct model *model, enum model_kind kind, const char *namespace, const char *name, const char *origin,
		 const char *text); /* 0, -ENOENT: no such object in the model, -ENOMEM; the same text twice is kept once */
void model_clear_reports(struct model *model, enum model_kind kind, const char *namespace, const char *name, const char *origin);
int model_each_report(const struct model *model,
		      int (*each)(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context),
		      void *context);

/* A zeroed object structure of `kind` whose arrays come from object_array(): all freed together with it. NULL: no memory. */
void *object_alloc(enum model_kind kind);
void *object_array(void *object, size_t count, size_t size);
/* One more owner, who calls object_free() too: a source keeps what it gave to the model. Returns `object`. */
struct object *object_hold(struct object *object);
/* Frees it when the last owner lets go. NULL is fine. */
void object_free(struct object *object);

#endif
