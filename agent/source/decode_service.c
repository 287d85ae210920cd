/* SPDX-License-Identifier: Apache-2.0 */
/* Service and EndpointSlice. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "source/decode.h"
#include "util/addr.h"
#include "util/intern.h"

#define AFFINITY_SECONDS_DEFAULT 10800
#define AFFINITY_SECONDS_MAX 86400
#define SERVICE_NAME_LABEL "kubernetes.io/service-name"
#define ENDPOINT_ADDRESSES_MAX 100

/* --- Service --- */

static int address_item(struct decoder *decoder, const cJSON *json, void *item)
{
	return decode_address(decoder, NULL, json->valuestring, item);
}

static int service_port(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { NAME, PORT, PROTOCOL, TARGET, FIELDS };
	static const struct field fields[] = {
		[NAME] = { "name", FIELD_STRING },
		[PORT] = { "port", FIELD_INTEGER },
		[PROTOCOL] = { "protocol", FIELD_STRING },
		[TARGET] = { "targetPort", FIELD_INTEGER_OR_STRING },
		{ "nodePort", FIELD_IGNORED },
		{ "appProtocol", FIELD_IGNORED },
	};
	struct service_port *port = item;
	const cJSON *values[sizeof(fields) / sizeof(*fields)], *target;
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (error < 0)
		return error;
	if (!values[PORT])
		return decode_fail(decoder, "port", "is missing");
	target = values[TARGET];
	if (target && (cJSON_IsNumber(target) ? target->valuedouble == 0 : !*target->valuestring))
		target = NULL;
	error = decode_port(decoder, "port", values[PORT], &port->port);
	if (!error)
		error = decode_protocol(decoder, values[PROTOCOL], &port->protocol);
	if (!error)
		error = decode_port_ref(decoder, "targetPort", target, &port->target_port);
	if (error < 0)
		return error;
	if (!target)
		port->target_port.number = port->port;
	if (values[NAME] && *values[NAME]->valuestring && !name_is_label(values[NAME]->valuestring))
		return decode_fail(decoder, "name", "\"%.60s\" must be lower case letters, digits and '-'",
				   values[NAME]->valuestring);
	port->name = intern(values[NAME] ? values[NAME]->valuestring : "");
	return port->name ? 0 : -ENOMEM;
}

static int check_ports(struct decoder *decoder, const struct service_object *service)
{
	const struct service_port *ports = service->ports;

	if (!service->port_count && !service->headless && !service->external_name)
		return decode_fail(decoder, "ports", "is missing: a Service has at least one, unless it is headless");
	for (size_t i = 0; i < service->port_count; i++) {
		if (service->port_count > 1 && !*ports[i].name)
			return decode_fail(decoder, "ports",
					   "[%zu].name is missing: ports have names when there are several", i);
		for (size_t j = 0; j < i; j++) {
			if (ports[i].name == ports[j].name)
				return decode_fail(decoder, "ports",
						   "[%zu].name: \"%s\" is the name of another port too", i,
						   ports[i].name);
			if (ports[i].port == ports[j].port && ports[i].protocol == ports[j].protocol)
				return decode_fail(decoder, "ports",
						   "[%zu].port: %u is there twice with the same protocol", i,
						   ports[i].port);
		}
	}
	return 0;
}

static int decode_affinity(struct decoder *decoder, const cJSON *affinity, const cJSON *config)
{
	enum { CLIENT_IP, FIELDS };
	static const struct field fields[] = { [CLIENT_IP] = { "clientIP", FIELD_OBJECT } };
	enum { TIMEOUT, CLIENT_FIELDS };
	static const struct field client_fields[] = { [TIMEOUT] = { "timeoutSeconds", FIELD_INTEGER } };
	static const char *const choices[] = { "None", "ClientIP", NULL };
	struct service_object *service = decoder->object;
	const cJSON *values[FIELDS], *client[CLIENT_FIELDS];
	int choice, seconds = AFFINITY_SECONDS_DEFAULT, error;
	size_t path;

	error = decode_choice(decoder, "sessionAffinity", affinity, choices, 0, &choice);
	if (error < 0)
		return error;
	path = decode_enter(decoder, ".sessionAffinityConfig");
	error = DECODE_FIELDS(decoder, config, fields, true, values);
	if (error < 0)
		return error;
	decode_enter(decoder, ".clientIP");
	error = DECODE_FIELDS(decoder, values[CLIENT_IP], client_fields, true, client);
	if (!error && client[TIMEOUT])
		error = decode_integer(decoder, "timeoutSeconds", client[TIMEOUT], 1, AFFINITY_SECONDS_MAX, &seconds);
	if (error < 0)
		return error;
	decode_leave(decoder, path);
	service->affinity_seconds = choice ? (uint32_t)seconds : 0;
	return 0;
}

/* clusterIP is the first of clusterIPs; either may be given alone. */
static int decode_cluster_ips(struct decoder *decoder, const cJSON *one, const cJSON *all)
{
	struct service_object *service = decoder->object;
	const char *first = one && *one->valuestring ? one->valuestring : NULL;
	const cJSON *item = all ? all->child : NULL;

	if (first && item && strcmp(first, item->valuestring) != 0)
		return decode_fail(decoder, "clusterIPs", "[0]: \"%.60s\" must be the same as clusterIP",
				   item->valuestring);
	if (!first && item)
		first = item->valuestring;
	if (first && !strcmp(first, "None")) {
		service->headless = true;
		return 0;
	}
	if (cJSON_GetArraySize(all) > 2)
		return decode_fail(decoder, "clusterIPs", "at most one address of each family");
	if (all && all->child)
		return DECODE_ARRAY(decoder, "clusterIPs", all, address_item, service->cluster_ips,
				    service->cluster_ip_count);
	if (!first)
		return 0;
	service->cluster_ips = object_array(service, 1, sizeof(*service->cluster_ips));
	if (!service->cluster_ips)
		return -ENOMEM;
	service->cluster_ip_count = 1;
	return decode_address(decoder, "clusterIP", first, service->cluster_ips);
}

enum spec_field {
	SPEC_TYPE,
	SPEC_CLUSTER_IP,
	SPEC_CLUSTER_IPS,
	SPEC_EXTERNAL_IPS,
	SPEC_PORTS,
	SPEC_SELECTOR,
	SPEC_AFFINITY,
	SPEC_AFFINITY_CONFIG,
	SPEC_INTERNAL_POLICY,
	SPEC_PUBLISH,
	SPEC_DISTRIBUTION,
	SPEC_SOURCE_RANGES
};
static const struct field spec_fields[] = {
	[SPEC_TYPE] = { "type", FIELD_STRING },
	[SPEC_CLUSTER_IP] = { "clusterIP", FIELD_STRING },
	[SPEC_CLUSTER_IPS] = { "clusterIPs", FIELD_STRINGS },
	[SPEC_EXTERNAL_IPS] = { "externalIPs", FIELD_STRINGS },
	[SPEC_PORTS] = { "ports", FIELD_ARRAY },
	[SPEC_SELECTOR] = { "selector", FIELD_STRING_MAP },
	[SPEC_AFFINITY] = { "sessionAffinity", FIELD_STRING },
	[SPEC_AFFINITY_CONFIG] = { "sessionAffinityConfig", FIELD_OBJECT },
	[SPEC_INTERNAL_POLICY] = { "internalTrafficPolicy", FIELD_STRING },
	[SPEC_PUBLISH] = { "publishNotReadyAddresses", FIELD_BOOLEAN },
	[SPEC_DISTRIBUTION] = { "trafficDistribution", FIELD_STRING },
	[SPEC_SOURCE_RANGES] = { "loadBalancerSourceRanges", FIELD_STRINGS },
	/* about traffic from outside the cluster, about DNS, or what a cloud or the API server allocates */
	{ "externalTrafficPolicy", FIELD_IGNORED },
	{ "healthCheckNodePort", FIELD_IGNORED },
	{ "externalName", FIELD_IGNORED },
	{ "ipFamilies", FIELD_IGNORED },
	{ "ipFamilyPolicy", FIELD_IGNORED },
	{ "loadBalancerIP", FIELD_IGNORED },
	{ "loadBalancerClass", FIELD_IGNORED },
	{ "allocateLoadBalancerNodePorts", FIELD_IGNORED },
};
#define SPEC_FIELDS (sizeof(spec_fields) / sizeof(*spec_fields))

/* How traffic is spread, and what of it Weft leaves out. */
static int decode_traffic(struct decoder *decoder, const cJSON *const *values)
{
	static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", NULL };
	static const char *const policies[] = { "Cluster", "Local", NULL };
	struct service_object *service = decoder->object;
	const char *distribution = values[SPEC_DISTRIBUTION] ? values[SPEC_DISTRIBUTION]->valuestring : "";
	int type, policy, error = decode_choice(decoder, "type", values[SPEC_TYPE], types, 0, &type);

	if (!error)
		error = decode_choice(decoder, "internalTrafficPolicy", values[SPEC_INTERNAL_POLICY], policies, 0,
				      &policy);
	if (error < 0)
		return error;
	service->external_name = type == 3;
	service->internal_traffic_policy = policy ? TRAFFIC_LOCAL : TRAFFIC_CLUSTER;
	service->publish_not_ready_addresses = decode_boolean(values[SPEC_PUBLISH], false);
	service->topology_hints = !strcmp(distribution, "PreferClose") || !strcmp(distribution, "PreferSameZone");
	if (type == 1)
		decode_report(decoder, "type",
			      "NodePort: Weft balances the service's addresses; ports of nodes are left to others");
	if (*distribution && !service->topology_hints)
		decode_report(decoder, "trafficDistribution",
			      "\"%.60s\" is not supported: traffic goes to all endpoints", distribution);
	if (cJSON_GetArraySize(values[SPEC_SOURCE_RANGES]))
		decode_report(decoder, "loadBalancerSourceRanges", "is not enforced: write a NetworkPolicy");
	return 0;
}

static int service_spec(struct decoder *decoder, const cJSON *json)
{
	struct service_object *service = decoder->object;
	const cJSON *values[SPEC_FIELDS];
	size_t path = decode_enter(decoder, "spec");
	int error;

	if (!json)
		return decode_fail(decoder, NULL, "is missing");
	error = DECODE_FIELDS(decoder, json, spec_fields, true, values);
	if (!error)
		error = decode_traffic(decoder, values);
	if (!error)
		error = decode_cluster_ips(decoder, values[SPEC_CLUSTER_IP], values[SPEC_CLUSTER_IPS]);
	if (!error)
		error = DECODE_ARRAY(decoder, "externalIPs", values[SPEC_EXTERNAL_IPS], address_item,
				     service->external_ips, service->external_ip_count);
	if (!error)
		error = DECODE_ARRAY(decoder, "ports", values[SPEC_PORTS], service_port, service->ports,
				     service->port_count);
	if (!error)
		error = check_ports(decoder, service);
	if (!error)
		error = decode_labels(decoder, "selector", values[SPEC_SELECTOR], &service->selector);
	if (!error)
		error = decode_affinity(decoder, values[SPEC_AFFINITY], values[SPEC_AFFINITY_CONFIG]);
	if (!error)
		decode_leave(decoder, path);
	return error;
}

/* With ipMode Proxy the load balancer wants to see the traffic itself. */
static int ingress_item(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { IP, MODE, FIELDS };
	static const struct field fields[] = { [IP] = { "ip", FIELD_STRING }, [MODE] = { "ipMode", FIELD_STRING } };
	static const char *const modes[] = { "VIP", "Proxy", NULL };
	struct service_object *service = context;
	const cJSON *values[FIELDS];
	int mode, error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (!error)
		error = decode_choice(decoder, "ipMode", values[MODE], modes, 0, &mode);
	if (error < 0 || mode || !values[IP] || !*values[IP]->valuestring)
		return error;
	error = decode_address(decoder, "ip", values[IP]->valuestring,
			       &service->load_balancer_ips[service->load_balancer_ip_count]);
	service->load_balancer_ip_count += !error;
	return error;
}

static int service_status(struct decoder *decoder, const cJSON *json)
{
	enum { LOAD_BALANCER, FIELDS };
	static const struct field fields[] = { [LOAD_BALANCER] = { "loadBalancer", FIELD_OBJECT } };
	enum { INGRESS, BALANCER_FIELDS };
	static const struct field balancer_fields[] = { [INGRESS] = { "ingress", FIELD_ARRAY } };
	struct service_object *service = decoder->object;
	const cJSON *values[FIELDS], *balancer[BALANCER_FIELDS];
	size_t path = decode_enter(decoder, "status");
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0)
		return error;
	decode_enter(decoder, ".loadBalancer");
	error = DECODE_FIELDS(decoder, values[LOAD_BALANCER], balancer_fields, false, balancer);
	if (error < 0)
		return error;
	service->load_balancer_ips = object_array(service, (size_t)cJSON_GetArraySize(balancer[INGRESS]),
						  sizeof(*service->load_balancer_ips));
	if (!service->load_balancer_ips)
		return -ENOMEM;
	error = decode_each(decoder, "ingress", balancer[INGRESS], ingress_item, service);
	if (!error)
		decode_leave(decoder, path);
	return error;
}

static void service_annotations(struct decoder *decoder)
{
	static const struct {
		const char *name;
		enum weft_algorithm algorithm;
	} algorithms[] = {
		{ "random", WEFT_RANDOM },
		{ "round-robin", WEFT_ROUND_ROBIN },
		{ "weighted", WEFT_WEIGHTED },
	};
	struct service_object *service = decoder->object;
	const char *name = decode_annotation(decoder, "mesh.weft.dev/algorithm");
	const char *topology = decode_annotation(decoder, "service.kubernetes.io/topology-mode");

	if (!topology)
		topology = decode_annotation(decoder, "service.kubernetes.io/topology-aware-hints");
	if (topology && !strcasecmp(topology, "auto"))
		service->topology_hints = true;
	service->algorithm = WEFT_RANDOM;
	for (size_t i = 0; name && i < sizeof(algorithms) / sizeof(*algorithms); i++) {
		if (strcmp(name, algorithms[i].name) != 0)
			continue;
		service->algorithm = algorithms[i].algorithm;
		return;
	}
	if (name)
		decode_report(
			decoder, "metadata.annotations",
			"\"mesh.weft.dev/algorithm\" is ignored: \"%.40s\" is not random, round-robin or weighted",
			name);
}

int decode_service(struct decoder *decoder, const cJSON *document)
{
	enum { SPEC, STATUS, FIELDS };
	static const struct field fields[] = {
		[SPEC] = { "spec", FIELD_OBJECT }, [STATUS] = { "status", FIELD_OBJECT },
		{ "apiVersion", FIELD_IGNORED },   { "kind", FIELD_IGNORED },
		{ "metadata", FIELD_IGNORED },
	};
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	int error = DECODE_FIELDS(decoder, document, fields, true, values);

	if (!error)
		error = service_spec(decoder, values[SPEC]);
	if (!error)
		error = service_status(decoder, values[STATUS]);
	if (!error)
		service_annotations(decoder);
	return error;
}

/* --- EndpointSlice --- */

static int zone_hint(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { NAME, FIELDS };
	static const struct field fields[] = { [NAME] = { "name", FIELD_STRING } };
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error && !values[NAME])
		return decode_fail(decoder, "name", "is missing");
	return error < 0 ? error : decode_string(values[NAME], item);
}

static int endpoint_hints(struct decoder *decoder, const cJSON *json, struct endpoint *endpoint)
{
	enum { ZONES, FIELDS };
	static const struct field fields[] = { [ZONES] = { "forZones", FIELD_ARRAY }, { "forNodes", FIELD_IGNORED } };
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	const char **zones = NULL, **ended;
	size_t count = 0, path = decode_enter(decoder, ".hints");
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = DECODE_ARRAY(decoder, "forZones", values[ZONES], zone_hint, zones, count);
	if (error < 0)
		return error;
	decode_leave(decoder, path);
	if (!count)
		return 0;
	ended = object_array(decoder->object, count + 1, sizeof(*ended));
	if (!ended)
		return -ENOMEM;
	memcpy(ended, zones, count * sizeof(*ended));
	endpoint->hint_zones = ended;
	return 0;
}

static int endpoint_conditions(struct decoder *decoder, const cJSON *json, struct endpoint *endpoint)
{
	enum { READY, SERVING, TERMINATING, FIELDS };
	static const struct field fields[] = {
		[READY] = { "ready", FIELD_BOOLEAN },
		[SERVING] = { "serving", FIELD_BOOLEAN },
		[TERMINATING] = { "terminating", FIELD_BOOLEAN },
	};
	const cJSON *values[FIELDS];
	size_t path = decode_enter(decoder, ".conditions");
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (error < 0)
		return error;
	decode_leave(decoder, path);
	endpoint->ready = decode_boolean(values[READY], true);
	endpoint->serving = decode_boolean(values[SERVING], endpoint->ready);
	endpoint->terminating = decode_boolean(values[TERMINATING], false);
	return 0;
}

static int endpoint_target(struct decoder *decoder, const cJSON *json, struct endpoint *endpoint)
{
	enum { KIND, NAME, FIELDS };
	static const struct field fields[] = { [KIND] = { "kind", FIELD_STRING }, [NAME] = { "name", FIELD_STRING } };
	const cJSON *values[FIELDS];
	size_t path = decode_enter(decoder, ".targetRef");
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0)
		return error;
	decode_leave(decoder, path);
	if (!values[KIND] || strcmp(values[KIND]->valuestring, "Pod") != 0)
		return 0;
	return decode_string(values[NAME], &endpoint->target_pod);
}

/* The model has an entry for each address; a slice's endpoint can have several, which are the same but for that. */
static int endpoint_addresses(struct decoder *decoder, const cJSON *addresses, bool v4, const struct endpoint *endpoint)
{
	struct endpoint_slice_object *slice = decoder->object;
	const cJSON *item;

	if (!cJSON_GetArraySize(addresses) || cJSON_GetArraySize(addresses) > ENDPOINT_ADDRESSES_MAX)
		return decode_fail(decoder, "addresses", "must be 1 to %d addresses", ENDPOINT_ADDRESSES_MAX);
	cJSON_ArrayForEach (item, addresses) {
		struct endpoint *place = &slice->endpoints[slice->endpoint_count];
		int error;

		*place = *endpoint;
		error = decode_address(decoder, "addresses", item->valuestring, &place->addr);
		if (error < 0)
			return error;
		if (addr_is_v4(&place->addr) != v4)
			return decode_fail(decoder, "addresses", "\"%.60s\" is not of the slice's addressType",
					   item->valuestring);
		slice->endpoint_count++;
	}
	return 0;
}

struct endpoint_defaults {
	bool v4; /* the slice's addressType */
	uint32_t weight;
};

static int decode_endpoint(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { ADDRESSES, CONDITIONS, TARGET, NODE, ZONE, HINTS, FIELDS };
	static const struct field fields[] = {
		[ADDRESSES] = { "addresses", FIELD_STRINGS },
		[CONDITIONS] = { "conditions", FIELD_OBJECT },
		[TARGET] = { "targetRef", FIELD_OBJECT },
		[NODE] = { "nodeName", FIELD_STRING },
		[ZONE] = { "zone", FIELD_STRING },
		[HINTS] = { "hints", FIELD_OBJECT },
		{ "hostname", FIELD_IGNORED }, /* for DNS */
		{ "deprecatedTopology", FIELD_IGNORED },
	};
	const struct endpoint_defaults *defaults = context;
	struct endpoint endpoint = { .weight = defaults->weight };
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = endpoint_conditions(decoder, values[CONDITIONS], &endpoint);
	if (!error)
		error = endpoint_target(decoder, values[TARGET], &endpoint);
	if (!error)
		error = decode_string(values[NODE], &endpoint.node_name);
	if (!error)
		error = decode_string(values[ZONE], &endpoint.zone);
	if (!error)
		error = endpoint_hints(decoder, values[HINTS], &endpoint);
	return error < 0 ? error : endpoint_addresses(decoder, values[ADDRESSES], defaults->v4, &endpoint);
}

static int decode_endpoints(struct decoder *decoder, const cJSON *array, bool v4)
{
	struct endpoint_slice_object *slice = decoder->object;
	struct endpoint_defaults defaults = { .v4 = v4, .weight = decode_weight(decoder, 0) };
	size_t most = 0;
	const cJSON *item;

	cJSON_ArrayForEach (item, array)
		most += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(item, "addresses"));
	slice->endpoints = object_array(slice, most, sizeof(*slice->endpoints));
	if (!slice->endpoints)
		return -ENOMEM;
	return decode_each(decoder, "endpoints", array, decode_endpoint, &defaults);
}

static int endpoint_port(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { NAME, PORT, PROTOCOL, FIELDS };
	static const struct field fields[] = {
		[NAME] = { "name", FIELD_STRING },
		[PORT] = { "port", FIELD_INTEGER },
		[PROTOCOL] = { "protocol", FIELD_STRING },
		{ "appProtocol", FIELD_IGNORED },
	};
	struct endpoint_port *port = item;
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = decode_protocol(decoder, values[PROTOCOL], &port->protocol);
	if (error < 0)
		return error;
	port->name = intern(values[NAME] ? values[NAME]->valuestring : "");
	if (!port->name)
		return -ENOMEM;
	if (values[PORT])
		return decode_port(decoder, "port", values[PORT], &port->port);
	decode_report(decoder, "port", "is missing, which would mean all ports: not supported, the entry is not used");
	return 0;
}

static void drop_ports_without_number(struct endpoint_slice_object *slice)
{
	size_t kept = 0;

	for (size_t i = 0; i < slice->port_count; i++)
		if (slice->ports[i].port)
			slice->ports[kept++] = slice->ports[i];
	slice->port_count = kept;
}

static void set_service_name(struct decoder *decoder)
{
	struct endpoint_slice_object *slice = decoder->object;

	for (size_t i = 0; i < slice->meta.labels.count; i++)
		if (!strcmp(slice->meta.labels.items[i].key, SERVICE_NAME_LABEL) && *slice->meta.labels.items[i].value)
			slice->service_name = slice->meta.labels.items[i].value;
	if (!slice->service_name)
		decode_report(decoder, "metadata.labels", "\"%s\" is missing: the slice belongs to no Service",
			      SERVICE_NAME_LABEL);
}

int decode_endpoint_slice(struct decoder *decoder, const cJSON *document)
{
	enum { TYPE, ENDPOINTS, PORTS, FIELDS };
	static const struct field fields[] = {
		[TYPE] = { "addressType", FIELD_STRING },
		[ENDPOINTS] = { "endpoints", FIELD_ARRAY },
		[PORTS] = { "ports", FIELD_ARRAY },
		{ "apiVersion", FIELD_IGNORED },
		{ "kind", FIELD_IGNORED },
		{ "metadata", FIELD_IGNORED },
	};
	static const char *const types[] = { "IPv4", "IPv6", "FQDN", NULL };
	struct endpoint_slice_object *slice = decoder->object;
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	int type, error = DECODE_FIELDS(decoder, document, fields, true, values);

	if (!error)
		error = decode_choice(decoder, "addressType", values[TYPE], types, -1, &type);
	if (error < 0)
		return error;
	if (type < 0)
		return decode_fail(decoder, "addressType", "is missing: IPv4 or IPv6");
	if (type == 2)
		decode_report(decoder, "addressType", "FQDN is not supported: the slice's endpoints are not used");
	set_service_name(decoder);
	error = DECODE_ARRAY(decoder, "ports", values[PORTS], endpoint_port, slice->ports, slice->port_count);
	if (error < 0)
		return error;
	drop_ports_without_number(slice);
	return type == 2 ? 0 : decode_endpoints(decoder, values[ENDPOINTS], type == 0);
}
