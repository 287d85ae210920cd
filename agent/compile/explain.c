/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/explain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/internal.h"
#include "util/addr.h"
#include "util/intern.h"

#define REASON_SIZE 256

/* --- the tables as weft/decide.h wants to see them: with all of it in buffer 0 --- */

/* What the finders read: set by explain(), which like all of compile/ belongs to one thread. */
static const struct desired *tables;
static const struct weft_rule *found_rules; /* of the policy entry found last: rule numbers count from its start */
static size_t found_rule_count;

static const struct weft_address *weft_find_address(const struct weft_addr *addr)
{
	static struct weft_address view;
	const struct desired_address *address = table_get(tables->addresses, addr, NULL);

	if (!address)
		return NULL;
	view = (struct weft_address){ .identity = { address->identity }, .ifindex = address->ifindex,
				      .flags = address->flags };
	return &view;
}

static const struct weft_prefix_value *weft_find_prefix(const struct weft_prefix *wanted)
{
	static struct weft_prefix_value view;

	for (uint32_t length = wanted->length + 1; length-- > 0;) {
		struct weft_prefix key = { .length = length, .addr = addr_masked(&wanted->addr, length) };
		const struct desired_prefix *prefix = table_get(tables->prefixes, &key, NULL);

		if (!prefix)
			continue;
		view = (struct weft_prefix_value){ .identity = { prefix->identity } };
		return &view;
	}
	return NULL;
}

static const struct weft_policy *weft_find_policy(const struct weft_policy_key *key)
{
	static struct weft_policy view;
	size_t size;

	found_rules = table_get(tables->policies, key, &size);
	if (!found_rules)
		return NULL;
	found_rule_count = size / sizeof(*found_rules);
	view = (struct weft_policy){ .rules = { { .first = 0, .count = (uint32_t)found_rule_count } } };
	return &view;
}

static const struct weft_rule *weft_find_rule(uint32_t index)
{
	return index < found_rule_count ? &found_rules[index] : NULL;
}

#include "weft/decide.h"

/* --- what the caller named --- */

struct named {
	const struct pod_object *pod;
	const struct service_object *service;
	const struct weft_addr *addresses; /* that it may be reached at */
	size_t address_count;
	struct weft_addr addr; /* when it is just an address */
};

static int complain(int error, char *reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int complain(int error, char *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, REASON_SIZE, format, arguments);
	va_end(arguments);
	return error;
}

static void set_pod(struct named *named, const struct pod_object *pod)
{
	named->pod = pod;
	named->addresses = pod->addresses;
	named->address_count = pod->address_count;
}

static void set_service(struct named *named, const struct service_object *service)
{
	named->service = service;
	named->addresses = service->cluster_ips;
	named->address_count = service->cluster_ip_count;
	if (!named->address_count) {
		named->addresses = service->external_ips;
		named->address_count = service->external_ip_count;
	}
}

static int find_object(const struct compile *compile, const char *text, bool pods, bool services, struct named *ret,
		       char *reason)
{
	const char *slash = strchr(text, '/');
	const char *namespace = slash ? intern_n(text, (size_t)(slash - text)) : NULL;
	const char *name = slash ? intern(slash + 1) : NULL;
	const struct object *pod, *service;

	if (!namespace || !name || !*namespace || !*name || strchr(name, '/'))
		return complain(-EINVAL, reason,
				"%.100s: give an address, NAMESPACE/POD, pod/NAMESPACE/NAME or svc/NAMESPACE/NAME",
				text);
	pod = pods ? model_get(compile->model, MODEL_POD, namespace, name) : NULL;
	service = services && !pod ? model_get(compile->model, MODEL_SERVICE, namespace, name) : NULL;
	if (pod)
		set_pod(ret, (const struct pod_object *)pod);
	if (service)
		set_service(ret, (const struct service_object *)service);
	if (!pod && !service)
		return complain(-ENOENT, reason, "%.100s: there is no such %s", text,
				!services ? "pod" : !pods ? "Service" : "pod or Service");
	if (!ret->address_count)
		return complain(-ENOENT, reason, "%.100s: %s", text,
				pod ? "the pod has no address yet" : "a Service without address; name one of its pods");
	return 0;
}

static int find_end(const struct compile *compile, const char *text, struct named *ret, char *reason)
{
	*ret = (struct named){ 0 };
	if (!strncmp(text, "pod/", 4))
		return find_object(compile, text + 4, true, false, ret, reason);
	if (!strncmp(text, "svc/", 4))
		return find_object(compile, text + 4, false, true, ret, reason);
	if (addr_parse(text, &ret->addr) < 0)
		return find_object(compile, text, true, true, ret, reason);
	ret->pod = identities_pod_at(compile->identities, &ret->addr);
	ret->addresses = &ret->addr;
	ret->address_count = 1;
	return 0;
}

/* The first address of `to` in a family that `from` has too. */
static bool choose_addresses(const struct named *from, const struct named *to, struct weft_addr *ret_from,
			     struct weft_addr *ret_to)
{
	for (size_t i = 0; i < to->address_count; i++) {
		for (size_t j = 0; j < from->address_count; j++) {
			if (addr_is_v4(&to->addresses[i]) != addr_is_v4(&from->addresses[j]))
				continue;
			*ret_from = from->addresses[j];
			*ret_to = to->addresses[i];
			return true;
		}
	}
	return false;
}

/* --- the answer --- */

static int add_backends(struct explanation *ret, const struct weft_service *service)
{
	const struct weft_slot *slots = (const struct weft_slot *)(service + 1);

	ret->backends = calloc(service->slot_count + 1, sizeof(*ret->backends));
	if (!ret->backends)
		return -ENOMEM;
	for (uint32_t i = 0; i < service->slot_count; i++)
		ret->backends[ret->backend_count++] = (struct weft_backend_key){
			.addr = slots[i].addr, .port = slots[i].port, .protocol = ret->asked.protocol
		};
	return 0;
}

/* Whether `addr` is a Service's, and what connect() would make of it. Returns 1, 0 for no Service, or -ENOMEM. */
static int explain_service(const struct compile *compile, const struct weft_addr *addr, uint16_t port, uint8_t protocol,
			   struct explanation *ret)
{
	struct weft_service_key whole = { .addr = *addr };
	const struct weft_service *service;

	ret->asked = (struct weft_service_key){ .addr = *addr, .port = htons(port), .protocol = protocol };
	service = table_get(tables->services, &ret->asked, NULL);
	if (!service)
		service = table_get(tables->services, &whole, NULL);
	if (!service)
		return 0;
	ret->service = services_by_id(compile->services, service->id);
	if (service->flags & WEFT_SERVICE_ADDRESS)
		ret->service_reason = WEFT_REASON_NO_SERVICE_PORT;
	else if (service->flags & WEFT_SERVICE_REFUSE_PROTOCOL)
		ret->service_reason = WEFT_REASON_UNSUPPORTED_SERVICE_PROTOCOL;
	else if (!service->slot_count)
		ret->service_reason = WEFT_REASON_NO_ENDPOINT;
	else
		return add_backends(ret, service) < 0 ? -ENOMEM : 1;
	ret->reason = ret->service_reason;
	return 1;
}

/* What the programs would find about a socket or interface of this end; NULL: it is decided elsewhere. */
static const struct desired_workload *workload_of(const struct compile *compile, const struct pod_object *pod,
						  const struct weft_addr *addr)
{
	const struct weft_address *address = weft_find_address(addr);
	const struct local_pod *local;

	if (address && address->flags & WEFT_ADDRESS_THIS_NODE)
		return compile->host_cookie ? table_get(tables->workloads, &compile->host_cookie, NULL) : NULL;
	local = pod ? compile_local_pod(compile, pod->meta.namespace, pod->meta.name) : NULL;
	return local && local->written.netns_cookie ? table_get(tables->workloads, &local->written.netns_cookie, NULL) :
						      NULL;
}

static void explain_end(const struct pod_object *pod, const struct weft_addr *addr, struct explain_end *ret)
{
	*ret = (struct explain_end){ .addr = *addr, .identity = weft_identity_of(addr, 0) };
	if (pod) {
		ret->namespace = pod->meta.namespace;
		ret->pod = pod->meta.name;
	}
}

static void explain_side(const struct compile *compile, struct explanation *ret, const struct pod_object *const pods[2],
			 enum weft_direction direction, uint16_t port, uint8_t protocol)
{
	struct explain_end *own = direction == WEFT_EGRESS ? &ret->from : &ret->to;
	const struct explain_end *peer = direction == WEFT_EGRESS ? &ret->to : &ret->from;
	const struct desired_workload *desired = workload_of(compile, pods[direction], &own->addr);
	struct weft_decision decision;

	own->local = desired != NULL;
	if (!desired)
		return;
	if (pods[0] && pods[0] == pods[1]) {
		decision = weft_decision_make(WEFT_RULE_OWN_POD, WEFT_REASON_NONE);
	} else {
		struct weft_workload workload = { .subject = { desired->subject }, .flags = desired->flags };

		decision = weft_decide(1, &workload, direction, &peer->addr, protocol, port);
	}
	ret->sides[direction] = (struct explain_side){
		.decided = true, .reason = decision.reason, .flags = decision.flags, .rule = decision.rule,
		.audit_rule = decision.audit_rule,
	};
	if (!ret->reason)
		ret->reason = decision.reason;
}

int explain(const struct compile *compile, const char *from, const char *to, uint16_t port, uint8_t protocol,
	    struct explanation *ret, char reason[REASON_SIZE])
{
	struct weft_addr from_addr, to_addr;
	const struct pod_object *pods[2]; /* by the direction that is theirs to decide */
	struct named named_from, named_to;
	int result;

	*ret = (struct explanation){ 0 };
	tables = compile->desired;
	result = find_end(compile, from, &named_from, reason);
	if (!result)
		result = find_end(compile, to, &named_to, reason);
	if (result)
		return result;
	if (named_from.service)
		return complain(-EINVAL, reason, "%.100s: a Service opens no connections; name a pod or an address",
				from);
	if (!choose_addresses(&named_from, &named_to, &from_addr, &to_addr))
		return complain(-EINVAL, reason, "%.100s and %.100s have no address of the same family", from, to);
	result = explain_service(compile, &to_addr, port, protocol, ret);
	if (result < 0)
		return complain(result, reason, "no memory");
	if (ret->backend_count) {
		to_addr = ret->backends[0].addr;
		port = ntohs(ret->backends[0].port);
	}
	pods[WEFT_EGRESS] = named_from.pod;
	pods[WEFT_INGRESS] = result ? identities_pod_at(compile->identities, &to_addr) : named_to.pod;
	explain_end(pods[WEFT_EGRESS], &from_addr, &ret->from);
	explain_end(pods[WEFT_INGRESS], &to_addr, &ret->to);
	if (ret->service_reason)
		return 0;
	explain_side(compile, ret, pods, WEFT_EGRESS, port, protocol);
	explain_side(compile, ret, pods, WEFT_INGRESS, port, protocol);
	return 0;
}

void explanation_clear(struct explanation *explanation)
{
	free(explanation->backends);
	explanation->backends = NULL;
	explanation->backend_count = 0;
}
