/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/workloads, /v1/services, /v1/policies, /v1/nodes: what the model has, and what became of it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "compile/names.h"
#include "config.h"
#include "telemetry/flow.h"
#include "telemetry/resolve.h"
#include "util/addr.h"

struct listing {
	const struct agent *agent;
	const char *namespace; /* only of this one; NULL: all */
	cJSON *array;
};

static bool is_wanted(const struct listing *listing, const struct object *object)
{
	return !listing->namespace || !strcmp(listing->namespace, object->namespace);
}

static cJSON *add_object(const struct listing *listing, const struct object *object)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddItemToArray(listing->array, json);
	if (*object->namespace)
		cJSON_AddStringToObject(json, "namespace", object->namespace);
	cJSON_AddStringToObject(json, "name", object->name);
	return json;
}

static bool is_local(const struct agent *agent, const char *node)
{
	return node && !strcmp(node, agent->config->node_name);
}

/* --- workloads --- */

/* Whether the programs guard the pod: its address leads to an interface of this node. */
static bool is_bound(const struct agent *agent, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->address_count; i++) {
		const struct desired_address *known =
			table_get(compile_desired(agent->compile)->addresses, &pod->addresses[i], NULL);

		if (known && known->ifindex)
			return true;
	}
	return false;
}

static const char *mesh_state(const struct agent *agent, const struct pod_object *pod)
{
	if (!is_local(agent, pod->node_name))
		return "other node";
	if (pod->host_network)
		return "host network";
	return is_bound(agent, pod) ? "enforced" : "not bound";
}

static int add_workload(const struct object *object, void *context)
{
	static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed" };
	const struct pod_object *pod = (const struct pod_object *)object;
	const struct listing *listing = context;
	cJSON *json;

	if (!is_wanted(listing, object))
		return 0;
	json = add_object(listing, object);
	reply_put_text(json, "workload_kind", pod->workload_kind);
	reply_put_text(json, "workload", pod->workload_name);
	reply_put_text(json, "service_account", pod->service_account);
	reply_put_addresses(json, "addresses", pod->addresses, pod->address_count);
	reply_put_identity(json, "identity", listing->agent,
			   pod->address_count ? reply_identity_at(listing->agent, &pod->addresses[0]) : 0);
	reply_put_text(json, "node", pod->node_name);
	cJSON_AddStringToObject(json, "phase", pod->terminating ? "Terminating" : phases[pod->phase]);
	cJSON_AddBoolToObject(json, "ready", pod->ready);
	cJSON_AddStringToObject(json, "mesh", mesh_state(listing->agent, pod));
	reply_put_text(json, "netns", pod->netns);
	reply_put_text(json, "labels", labels_text(&object->labels));
	return 0;
}

int reply_workloads(const struct agent *agent, const struct api_request *request, cJSON **ret,
		    struct api_error *ret_error)
{
	struct listing listing = { agent, request->namespace, cJSON_CreateArray() };

	(void)ret_error;
	model_each(agent->model, MODEL_POD, add_workload, &listing);
	*ret = listing.array;
	return 0;
}

/* --- services --- */

static void put_port(const struct service_port *port, char *text, size_t size)
{
	snprintf(text, size, "%s%s%u/%s", port->name ? port->name : "", port->name && *port->name ? ":" : "",
		 port->port,
		 flow_protocol_name(port->protocol));
}

/* Entry of the service's port in the balancing table, by its first address. */
static const struct weft_service *find_entry(const struct agent *agent, const struct service_object *service,
					     const struct service_port *port)
{
	struct weft_service_key key = { .port = htons(port->port), .protocol = port->protocol };

	if (!service->cluster_ip_count)
		return NULL;
	key.addr = service->cluster_ips[0];
	return table_get(compile_desired(agent->compile)->services, &key, NULL);
}

static void put_ports(cJSON *json, const struct agent *agent, const struct service_object *service)
{
	cJSON *ports = cJSON_AddArrayToObject(json, "ports"), *backends = cJSON_AddArrayToObject(json, "backends");

	for (size_t i = 0; i < service->port_count; i++) {
		const struct weft_service *entry = find_entry(agent, service, &service->ports[i]);
		char text[128];

		put_port(&service->ports[i], text, sizeof(text));
		cJSON_AddItemToArray(ports, cJSON_CreateString(text));
		cJSON_AddItemToArray(backends, entry ? cJSON_CreateNumber(entry->slot_count) : cJSON_CreateNull());
	}
}

static int count_endpoints(const struct endpoint_slice_object *slice, void *context)
{
	for (size_t i = 0; i < slice->endpoint_count; i++)
		(*(uint32_t *)context)++;
	return 0;
}

static const char *service_type(const struct service_object *service)
{
	if (service->external_name)
		return "ExternalName";
	if (service->headless)
		return "Headless";
	return service->load_balancer_ip_count ? "LoadBalancer" : "ClusterIP";
}

static int add_service(const struct object *object, void *context)
{
	static const char *const algorithms[] = { "random", "round-robin", "weighted" };
	const struct service_object *service = (const struct service_object *)object;
	const struct listing *listing = context;
	uint32_t endpoints = 0;
	cJSON *json;

	if (!is_wanted(listing, object))
		return 0;
	json = add_object(listing, object);
	cJSON_AddStringToObject(json, "type", service_type(service));
	reply_put_addresses(json, "cluster_ips", service->cluster_ips, service->cluster_ip_count);
	reply_put_addresses(json, "external_ips", service->external_ips, service->external_ip_count);
	reply_put_addresses(json, "load_balancer_ips", service->load_balancer_ips, service->load_balancer_ip_count);
	put_ports(json, listing->agent, service);
	model_each_slice(listing->agent->model, object->namespace, object->name, count_endpoints, &endpoints);
	cJSON_AddNumberToObject(json, "slice_endpoints", endpoints);
	cJSON_AddStringToObject(json, "algorithm", algorithms[service->algorithm]);
	cJSON_AddNumberToObject(json, "affinity_seconds", service->affinity_seconds);
	cJSON_AddStringToObject(json, "internal_traffic_policy",
				service->internal_traffic_policy == TRAFFIC_LOCAL ? "Local" : "Cluster");
	cJSON_AddBoolToObject(json, "topology_hints", service->topology_hints);
	return 0;
}

int reply_services(const struct agent *agent, const struct api_request *request, cJSON **ret,
		   struct api_error *ret_error)
{
	struct listing listing = { agent, request->namespace, cJSON_CreateArray() };

	(void)ret_error;
	model_each(agent->model, MODEL_SERVICE, add_service, &listing);
	*ret = listing.array;
	return 0;
}

/* --- policies --- */

struct selection {
	const struct selector *selector;
	uint32_t count;
};

static int count_selected(const struct pod_object *pod, void *context)
{
	struct selection *selection = context;

	selection->count += selector_matches(selection->selector, &pod->meta.labels);
	return 0;
}

static int count_selected_anywhere(const struct object *object, void *context)
{
	return count_selected((const struct pod_object *)object, context);
}

static void put_selected(cJSON *json, const struct agent *agent, const struct object *object,
			 const struct selector *selector,
			 bool everywhere)
{
	struct selection selection = { selector, 0 };

	if (everywhere)
		model_each(agent->model, MODEL_POD, count_selected_anywhere, &selection);
	else
		model_each_pod_in(agent->model, object->namespace, count_selected, &selection);
	cJSON_AddNumberToObject(json, "pods", selection.count);
}

static cJSON *add_policy(const struct listing *listing, const struct object *object, const char *action, size_t rules)
{
	cJSON *json = add_object(listing, object);

	cJSON_AddStringToObject(json, "kind", model_kind_name(object->kind));
	cJSON_AddStringToObject(json, "action", action);
	cJSON_AddNumberToObject(json, "rules", (double)rules);
	return json;
}

static int add_network_policy(const struct object *object, void *context)
{
	const struct network_policy_object *policy = (const struct network_policy_object *)object;
	const struct listing *listing = context;
	const char *one = policy->ingress ? "Ingress" : "Egress";
	const char *types = policy->ingress && policy->egress ? "Ingress,Egress" : one;
	cJSON *json;

	if (!is_wanted(listing, object))
		return 0;
	json = add_policy(listing, object, types, policy->rule_count[WEFT_EGRESS] + policy->rule_count[WEFT_INGRESS]);
	put_selected(json, listing->agent, object, &policy->pod_selector, false);
	return 0;
}

/* Policies of the root namespace are about the whole mesh. */
static bool is_mesh_wide(const struct agent *agent, const struct object *object)
{
	return !strcmp(object->namespace, agent->config->root_namespace);
}

static int add_authorization_policy(const struct object *object, void *context)
{
	static const char *const actions[] = { "ALLOW", "DENY", "AUDIT", "CUSTOM" };
	const struct authorization_policy_object *policy = (const struct authorization_policy_object *)object;
	const struct listing *listing = context;
	cJSON *json;

	if (!is_wanted(listing, object))
		return 0;
	json = add_policy(listing, object, actions[policy->action], policy->rule_count);
	cJSON_AddBoolToObject(json, "dry_run", policy->dry_run);
	put_selected(json, listing->agent, object, &policy->selector, is_mesh_wide(listing->agent, object));
	return 0;
}

static int add_peer_authentication(const struct object *object, void *context)
{
	static const char *const modes[] = { "UNSET", "DISABLED", "PERMISSIVE", "STRICT" };
	const struct peer_authentication_object *policy = (const struct peer_authentication_object *)object;
	const struct listing *listing = context;
	cJSON *json;

	if (!is_wanted(listing, object))
		return 0;
	json = add_policy(listing, object, modes[policy->mode], policy->port_mode_count);
	put_selected(json, listing->agent, object, &policy->selector, is_mesh_wide(listing->agent, object));
	return 0;
}

static bool has_text(const cJSON *object, const char *name, const char *text)
{
	const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return value && !strcmp(value, text);
}

static int attach_report(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	const struct listing *listing = context;
	cJSON *policy;

	cJSON_ArrayForEach(policy, listing->array) {
		cJSON *reports = cJSON_GetObjectItem(policy, "reports");

		if (!has_text(policy, "kind", model_kind_name(kind)) || !has_text(policy, "name", name) ||
		    !has_text(policy, "namespace", namespace))
			continue;
		if (!reports)
			reports = cJSON_AddArrayToObject(policy, "reports");
		cJSON_AddItemToArray(reports, cJSON_CreateString(text));
	}
	return 0;
}

int reply_policies(const struct agent *agent, const struct api_request *request, cJSON **ret,
		   struct api_error *ret_error)
{
	struct listing listing = { agent, request->namespace, cJSON_CreateArray() };

	(void)ret_error;
	model_each(agent->model, MODEL_NETWORK_POLICY, add_network_policy, &listing);
	model_each(agent->model, MODEL_AUTHORIZATION_POLICY, add_authorization_policy, &listing);
	model_each(agent->model, MODEL_PEER_AUTHENTICATION, add_peer_authentication, &listing);
	model_each_report(agent->model, attach_report, &listing);
	*ret = listing.array;
	return 0;
}

/* --- nodes --- */

static int add_node(const struct object *object, void *context)
{
	const struct node_object *node = (const struct node_object *)object;
	const struct listing *listing = context;
	cJSON *json = add_object(listing, object);

	reply_put_addresses(json, "addresses", node->addresses, node->address_count);
	reply_put_text(json, "zone", node->zone);
	cJSON_AddBoolToObject(json, "this_node", is_local(listing->agent, object->name));
	return 0;
}

int reply_nodes(const struct agent *agent, const struct api_request *request, cJSON **ret, struct api_error *ret_error)
{
	struct listing listing = { agent, NULL, cJSON_CreateArray() };

	(void)request, (void)ret_error;
	model_each(agent->model, MODEL_NODE, add_node, &listing);
	*ret = listing.array;
	return 0;
}
