/* SPDX-License-Identifier: Apache-2.0 */
/* Namespace, Node, Pod. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/decode.h"
#include "util/addr.h"
#include "util/intern.h"

#define NAMESPACE_NAME_LABEL "kubernetes.io/metadata.name"
#define ZONE_LABEL "topology.kubernetes.io/zone"
#define POD_ADDRESSES_MAX 64

static const char *label_value(const struct labels *labels, const char *key)
{
	for (size_t i = 0; i < labels->count; i++)
		if (!strcmp(labels->items[i].key, key))
			return labels->items[i].value;
	return NULL;
}

/* --- Namespace --- */

/* The API server gives each Namespace a label with its name, whatever the manifest says. */
int decode_namespace(struct decoder *decoder, const cJSON *document)
{
	struct object *object = decoder->object;
	const struct labels given = object->labels;
	const char *key = intern(NAMESPACE_NAME_LABEL);
	struct label *items = object_array(object, given.count + 1, sizeof(*items));
	size_t count = 0, place = 0;

	(void)document;
	if (!key || !items)
		return -ENOMEM;
	for (size_t i = 0; i < given.count; i++)
		if (given.items[i].key != key)
			items[count++] = given.items[i];
	while (place < count && strcmp(items[place].key, key) < 0)
		place++;
	memmove(items + place + 1, items + place, (count - place) * sizeof(*items));
	items[place] = (struct label){ key, object->name };
	object->labels = (struct labels){ items, count + 1 };
	return 0;
}

/* --- Node --- */

static int node_address(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { TYPE, ADDRESS, FIELDS };
	static const struct field fields[] = { [TYPE] = { "type", FIELD_STRING },
					       [ADDRESS] = { "address", FIELD_STRING } };
	struct node_object *node = context;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0 || !values[TYPE] || !values[ADDRESS])
		return error;
	if (strcmp(values[TYPE]->valuestring, "InternalIP") != 0 &&
	    strcmp(values[TYPE]->valuestring, "ExternalIP") != 0)
		return 0;
	error = decode_address(decoder, "address", values[ADDRESS]->valuestring, &node->addresses[node->address_count]);
	if (!error)
		node->address_count++;
	return error;
}

int decode_node(struct decoder *decoder, const cJSON *document)
{
	enum { STATUS, FIELDS };
	static const struct field fields[] = { [STATUS] = { "status", FIELD_OBJECT } };
	enum { ADDRESSES, STATUS_FIELDS };
	static const struct field status_fields[] = { [ADDRESSES] = { "addresses", FIELD_ARRAY } };
	struct node_object *node = decoder->object;
	const cJSON *values[FIELDS], *status[STATUS_FIELDS];
	int error = DECODE_FIELDS(decoder, document, fields, false, values);

	if (error < 0)
		return error;
	decode_enter(decoder, "status");
	error = DECODE_FIELDS(decoder, values[STATUS], status_fields, false, status);
	if (error < 0)
		return error;
	node->zone = label_value(&node->meta.labels, ZONE_LABEL);
	node->addresses = object_array(node, (size_t)cJSON_GetArraySize(status[ADDRESSES]), sizeof(*node->addresses));
	if (!node->addresses)
		return -ENOMEM;
	return decode_each(decoder, "addresses", status[ADDRESSES], node_address, node);
}

/* --- Pod: metadata --- */

/* The random end that a Deployment gives its ReplicaSets: its alphabet has neither vowels nor what looks like them. */
static bool is_template_hash(const char *text, const char *hash_label)
{
	if (hash_label)
		return !strcmp(text, hash_label);
	return *text && strlen(text) <= 10 && strspn(text, "bcdfghjklmnpqrstvwxz2456789") == strlen(text);
}

static int set_owner(struct decoder *decoder, const char *kind, const char *name)
{
	struct pod_object *pod = decoder->object;
	const char *dash = strrchr(name, '-');

	if (!strcmp(kind, "ReplicaSet") && dash && dash > name &&
	    is_template_hash(dash + 1, label_value(&pod->meta.labels, "pod-template-hash"))) {
		pod->workload_kind = intern("Deployment");
		pod->workload_name = intern_n(name, (size_t)(dash - name));
	} else {
		pod->workload_kind = intern(kind);
		pod->workload_name = intern(name);
	}
	return pod->workload_kind && pod->workload_name ? 0 : -ENOMEM;
}

static int owner_reference(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { KIND, NAME, CONTROLLER, FIELDS };
	static const struct field fields[] = {
		[KIND] = { "kind", FIELD_STRING },
		[NAME] = { "name", FIELD_STRING },
		[CONTROLLER] = { "controller", FIELD_BOOLEAN },
	};
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	(void)context;
	if (error < 0)
		return error;
	if (!values[KIND] || !values[NAME])
		return decode_fail(decoder, values[KIND] ? "name" : "kind", "is missing");
	if (!decode_boolean(values[CONTROLLER], false))
		return 0;
	return set_owner(decoder, values[KIND]->valuestring, values[NAME]->valuestring);
}

static int pod_metadata(struct decoder *decoder, const cJSON *json)
{
	enum { DELETION, OWNERS, FIELDS };
	static const struct field fields[] = {
		[DELETION] = { "deletionTimestamp", FIELD_STRING },
		[OWNERS] = { "ownerReferences", FIELD_ARRAY },
	};
	struct pod_object *pod = decoder->object;
	size_t path = decode_enter(decoder, "metadata");
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (!error)
		error = set_owner(decoder, "Pod", pod->meta.name);
	if (!error)
		error = decode_each(decoder, "ownerReferences", values[OWNERS], owner_reference, NULL);
	if (error < 0)
		return error;
	pod->terminating = values[DELETION];
	decode_leave(decoder, path);
	return 0;
}

/* --- Pod: spec --- */

static int container_port(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { NAME, PORT, PROTOCOL, FIELDS };
	static const struct field fields[] = {
		[NAME] = { "name", FIELD_STRING },
		[PORT] = { "containerPort", FIELD_INTEGER },
		[PROTOCOL] = { "protocol", FIELD_STRING },
	};
	struct pod_object *pod = context;
	struct container_port *port = &pod->ports[pod->port_count];
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0)
		return error;
	if (!values[PORT])
		return decode_fail(decoder, "containerPort", "is missing");
	error = decode_port(decoder, "containerPort", values[PORT], &port->port);
	if (!error && values[NAME] && !name_is_port(values[NAME]->valuestring))
		error = decode_fail(decoder, "name", "\"%.60s\" is not the name of a port", values[NAME]->valuestring);
	if (!error)
		error = decode_protocol(decoder, values[PROTOCOL], &port->protocol);
	if (!error)
		error = decode_string(values[NAME], &port->name);
	pod->port_count += !error;
	return error;
}

enum { CONTAINER_PORTS, CONTAINER_RESTART, CONTAINER_FIELDS };
static const struct field container_fields[] = {
	[CONTAINER_PORTS] = { "ports", FIELD_ARRAY },
	[CONTAINER_RESTART] = { "restartPolicy", FIELD_STRING },
};

static int container(struct decoder *decoder, const cJSON *json, void *context)
{
	const cJSON *values[CONTAINER_FIELDS];
	int error = DECODE_FIELDS(decoder, json, container_fields, false, values);

	return error < 0 ? error : decode_each(decoder, "ports", values[CONTAINER_PORTS], container_port, context);
}

/* Counts only if it stays ("sidecar"). */
static int init_container(struct decoder *decoder, const cJSON *json, void *context)
{
	const cJSON *values[CONTAINER_FIELDS];
	int error = DECODE_FIELDS(decoder, json, container_fields, false, values);

	if (error < 0 || !values[CONTAINER_RESTART] || strcmp(values[CONTAINER_RESTART]->valuestring, "Always") != 0)
		return error;
	return decode_each(decoder, "ports", values[CONTAINER_PORTS], container_port, context);
}

static size_t count_ports(const cJSON *containers)
{
	const cJSON *item;
	size_t count = 0;

	cJSON_ArrayForEach (item, containers)
		count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(item, "ports"));
	return count;
}

static int pod_spec(struct decoder *decoder, const cJSON *json)
{
	enum { NODE, ACCOUNT, OLD_ACCOUNT, HOST_NETWORK, CONTAINERS, INIT_CONTAINERS, FIELDS };
	static const struct field fields[] = {
		[NODE] = { "nodeName", FIELD_STRING },
		[ACCOUNT] = { "serviceAccountName", FIELD_STRING },
		[OLD_ACCOUNT] = { "serviceAccount", FIELD_STRING },
		[HOST_NETWORK] = { "hostNetwork", FIELD_BOOLEAN },
		[CONTAINERS] = { "containers", FIELD_ARRAY },
		[INIT_CONTAINERS] = { "initContainers", FIELD_ARRAY },
	};
	struct pod_object *pod = decoder->object;
	const cJSON *values[FIELDS];
	size_t path = decode_enter(decoder, "spec"), ports;
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0)
		return error;
	pod->host_network = decode_boolean(values[HOST_NETWORK], false);
	error = decode_string(values[NODE], &pod->node_name);
	if (!error)
		error = decode_string(values[ACCOUNT] ? values[ACCOUNT] : values[OLD_ACCOUNT], &pod->service_account);
	if (!error && (!pod->service_account || !*pod->service_account)) {
		pod->service_account = intern("default");
		error = pod->service_account ? 0 : -ENOMEM;
	}
	if (error < 0)
		return error;
	ports = count_ports(values[CONTAINERS]) + count_ports(values[INIT_CONTAINERS]);
	pod->ports = object_array(pod, ports, sizeof(*pod->ports));
	if (!pod->ports)
		return -ENOMEM;
	error = decode_each(decoder, "containers", values[CONTAINERS], container, pod);
	if (!error)
		error = decode_each(decoder, "initContainers", values[INIT_CONTAINERS], init_container, pod);
	if (!error)
		decode_leave(decoder, path);
	return error;
}

/* --- Pod: status --- */

static int add_address(struct decoder *decoder, const char *field, const char *text)
{
	struct pod_object *pod = decoder->object;
	struct weft_addr addr;
	int error = decode_address(decoder, field, text, &addr);

	if (error < 0)
		return error;
	for (size_t i = 0; i < pod->address_count; i++)
		if (addr_equal(&pod->addresses[i], &addr))
			return 0;
	if (pod->address_count == POD_ADDRESSES_MAX)
		return decode_fail(decoder, field, "more than %d addresses", POD_ADDRESSES_MAX);
	pod->addresses[pod->address_count++] = addr;
	return 0;
}

/* A directory has no kubelet that would write a status: addresses may come from an annotation, "10.0.0.1,fd00::1". */
static int annotated_addresses(struct decoder *decoder, const char *list)
{
	const char *text = list;

	while (*text) {
		size_t length = strcspn(text, ","), blank = strspn(text, " ");
		char one[ADDR_TEXT_MAX];
		int error;

		if (length - blank >= sizeof(one) || blank > length)
			return decode_fail(decoder, NULL,
					   "metadata.annotations: \"mesh.weft.dev/ips\" is not a list of IP addresses");
		memcpy(one, text + blank, length - blank);
		one[length - blank] = '\0';
		error = add_address(decoder, "metadata.annotations[mesh.weft.dev/ips]", one);
		if (error < 0)
			return error;
		text += length + (text[length] == ',');
	}
	return 0;
}

static int pod_ip_item(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { IP, FIELDS };
	static const struct field fields[] = { [IP] = { "ip", FIELD_STRING } };
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	(void)context;
	return error < 0 || !values[IP] ? error : add_address(decoder, "ip", values[IP]->valuestring);
}

/* podIP is the first of podIPs; either may be given alone. */
static int pod_addresses(struct decoder *decoder, const cJSON *pod_ip, const cJSON *pod_ips)
{
	struct pod_object *pod = decoder->object;
	const char *annotated = decode_annotation(decoder, "mesh.weft.dev/ips");
	const cJSON *first = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(pod_ips, 0), "ip");
	size_t most = (size_t)cJSON_GetArraySize(pod_ips);
	int error;

	if (pod_ip &&
	    (!*pod_ip->valuestring || (cJSON_IsString(first) && !strcmp(first->valuestring, pod_ip->valuestring))))
		pod_ip = NULL;
	most += (pod_ip != NULL) + (annotated ? POD_ADDRESSES_MAX : 0);
	pod->addresses = object_array(pod, most, sizeof(*pod->addresses));
	if (!pod->addresses)
		return -ENOMEM;
	error = pod_ip ? add_address(decoder, "podIP", pod_ip->valuestring) : 0;
	if (!error)
		error = decode_each(decoder, "podIPs", pod_ips, pod_ip_item, NULL);
	if (error < 0 || !annotated)
		return error;
	decode_leave(decoder, 0);
	return annotated_addresses(decoder, annotated);
}

static int pod_condition(struct decoder *decoder, const cJSON *json, void *context)
{
	enum { TYPE, STATUS, FIELDS };
	static const struct field fields[] = { [TYPE] = { "type", FIELD_STRING },
					       [STATUS] = { "status", FIELD_STRING } };
	struct pod_object *pod = context;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (!error && values[TYPE] && !strcmp(values[TYPE]->valuestring, "Ready"))
		pod->ready = values[STATUS] && !strcmp(values[STATUS]->valuestring, "True");
	return error;
}

static int pod_status(struct decoder *decoder, const cJSON *json)
{
	enum { PHASE, IP, IPS, CONDITIONS, FIELDS };
	static const struct field fields[] = {
		[PHASE] = { "phase", FIELD_STRING },
		[IP] = { "podIP", FIELD_STRING },
		[IPS] = { "podIPs", FIELD_ARRAY },
		[CONDITIONS] = { "conditions", FIELD_ARRAY },
	};
	static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed", "Unknown", NULL };
	struct pod_object *pod = decoder->object;
	const cJSON *values[FIELDS];
	int phase, error;

	decode_enter(decoder, "status");
	error = DECODE_FIELDS(decoder, json, fields, false, values);
	if (!error)
		error = decode_choice(decoder, "phase", values[PHASE], phases, POD_RUNNING, &phase);
	if (error < 0)
		return error;
	/* Unknown: the node is not heard of; its pods may well run */
	pod->phase = phase > POD_FAILED ? POD_RUNNING : (enum pod_phase)phase;
	pod->ready = !values[CONDITIONS] && phase == POD_RUNNING;
	error = decode_each(decoder, "conditions", values[CONDITIONS], pod_condition, pod);
	return error < 0 ? error : pod_addresses(decoder, values[IP], values[IPS]);
}

static void pod_annotations(struct decoder *decoder)
{
	struct pod_object *pod = decoder->object;
	const char *netns = decode_annotation(decoder, "mesh.weft.dev/netns");

	pod->weight = decode_weight(decoder, 1);
	if (netns && *netns != '/')
		decode_report(decoder, "metadata.annotations",
			      "\"mesh.weft.dev/netns\" is ignored: \"%.80s\" is not an absolute path", netns);
	else
		pod->netns = netns;
}

int decode_pod(struct decoder *decoder, const cJSON *document)
{
	enum { METADATA, SPEC, STATUS, FIELDS };
	static const struct field fields[] = {
		[METADATA] = { "metadata", FIELD_OBJECT },
		[SPEC] = { "spec", FIELD_OBJECT },
		[STATUS] = { "status", FIELD_OBJECT },
	};
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, document, fields, false, values);

	if (error < 0)
		return error;
	pod_annotations(decoder);
	error = pod_metadata(decoder, values[METADATA]);
	if (!error)
		error = pod_spec(decoder, values[SPEC]);
	return error < 0 ? error : pod_status(decoder, values[STATUS]);
}
