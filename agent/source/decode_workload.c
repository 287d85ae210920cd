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

static int node_address(struct decoder *decoder, const cJSON *json, struct node_object *node)
{
	enum { TYPE, ADDRESS, FIELDS };
	static const struct field fields[] = { [TYPE] = { "type", FIELD_STRING }, [ADDRESS] = { "address", FIELD_STRING } };
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0 || !values[TYPE] || !values[ADDRESS])
		return error;
	if (strcmp(values[TYPE]->valuestring, "InternalIP") != 0 && strcmp(values[TYPE]->valuestring, "ExternalIP") != 0)
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
	const cJSON *values[FIELDS], *status[STATUS_FIELDS], *item;
	size_t path, index = 0;
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
	cJSON_ArrayForEach(item, status[ADDRESSES]) {
		path = decode_enter(decoder, ".addresses[%zu]", index++);
		error = node_address(decoder, item, node);
		if (error < 0)
			return error;
		decode_leave(decoder, path);
	}
	return 0;
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

struct owner {
	const char *kind, *name;
	bool controller;
};

static int owner_reference(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { KIND, NAME, CONTROLLER, FIELDS };
	static const struct field fields[] = {
		[KIND] = { "kind", FIELD_STRING }, [NAME] = { "name", FIELD_STRING }, [CONTROLLER] = { "controller", FIELD_BOOLEAN },
	};
	struct owner *owner = item;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0)
		return error;
	if (!values[KIND] || !values[NAME])
		return decode_fail(decoder, values[KIND] ? "name" : "kind", "is missing");
	owner->kind = values[KIND]->valuestring;
	owner->name = values[NAME]->valuestring;
	owner->controller = decode_boolean(values[CONTROLLER], false);
	return 0;
}

static int pod_metadata(struct decoder *decoder, const cJSON *json)
{
	enum { UID, DELETION, OWNERS, FIELDS };
	static const struct field fields[] = {
		[UID] = { "uid", FIELD_STRING }, [DELETION] = { "deletionTimestamp", FIELD_STRING },
		[OWNERS] = { "ownerReferences", FIELD_ARRAY },
	};
	struct pod_object *pod = decoder->object;
	size_t path = decode_enter(decoder, "metadata"), owner_count = 0;
	struct owner *owners = NULL;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (!error)
		error = decode_string(values[UID], &pod->uid);
	if (!error)
		error = DECODE_ARRAY(decoder, "ownerReferences", values[OWNERS], owner_reference, owners, owner_count);
	if (!error)
		error = set_owner(decoder, "Pod", pod->meta.name);
	for (size_t i = 0; i < owner_count && !error; i++)
		if (owners[i].controller)
			error = set_owner(decoder, owners[i].kind, owners[i].name);
	pod->terminating = !error && values[DELETION];
	decode_leave(decoder, path);
	return error;
}

/* --- Pod: spec --- */

static int container_port(struct decoder *decoder, const cJSON *json, struct container_port *port)
{
	enum { NAME, PORT, PROTOCOL, FIELDS };
	static const struct field fields[] = {
		[NAME] = { "name", FIELD_STRING }, [PORT] = { "containerPort", FIELD_INTEGER }, [PROTOCOL] = { "protocol", FIELD_STRING },
	};
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
	return error < 0 ? error : decode_string(values[NAME], &port->name);
}

/* Init containers count only if they stay ("sidecars"). Fills in as many as pod->ports has room for. */
static int container_ports(struct decoder *decoder, const char *list, const cJSON *containers)
{
	enum { PORTS, RESTART, FIELDS };
	static const struct field fields[] = { [PORTS] = { "ports", FIELD_ARRAY }, [RESTART] = { "restartPolicy", FIELD_STRING } };
	struct pod_object *pod = decoder->object;
	bool init = !strcmp(list, "initContainers");
	const cJSON *values[FIELDS], *container, *port;
	size_t index = 0;

	cJSON_ArrayForEach(container, containers) {
		size_t path = decode_enter(decoder, ".%s[%zu]", list, index++), number = 0;
		int error = DECODE_FIELDS(decoder, container, fields, false, values);

		if (error < 0)
			return error;
		if (init && !(values[RESTART] && !strcmp(values[RESTART]->valuestring, "Always")))
			values[PORTS] = NULL;
		cJSON_ArrayForEach(port, values[PORTS]) {
			size_t inner = decode_enter(decoder, ".ports[%zu]", number++);

			error = container_port(decoder, port, &pod->ports[pod->port_count]);
			if (error < 0)
				return error;
			pod->port_count++;
			decode_leave(decoder, inner);
		}
		decode_leave(decoder, path);
	}
	return 0;
}

static size_t count_ports(const cJSON *containers)
{
	const cJSON *container;
	size_t count = 0;

	cJSON_ArrayForEach(container, containers)
		count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(container, "ports"));
	return count;
}

static int pod_spec(struct decoder *decoder, const cJSON *json)
{
	enum { NODE, ACCOUNT, OLD_ACCOUNT, HOST_NETWORK, CONTAINERS, INIT_CONTAINERS, FIELDS };
	static const struct field fields[] = {
		[NODE] = { "nodeName", FIELD_STRING }, [ACCOUNT] = { "serviceAccountName", FIELD_STRING },
		[OLD_ACCOUNT] = { "serviceAccount", FIELD_STRING }, [HOST_NETWORK] = { "hostNetwork", FIELD_BOOLEAN },
		[CONTAINERS] = { "containers", FIELD_ARRAY }, [INIT_CONTAINERS] = { "initContainers", FIELD_ARRAY },
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
	error = container_ports(decoder, "containers", values[CONTAINERS]);
	if (!error)
		error = container_ports(decoder, "initContainers", values[INIT_CONTAINERS]);
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
			return decode_fail(decoder, NULL, "metadata.annotations: \"mesh.weft.dev/ips\" is not a list of IP addresses");
		memcpy(one, text + blank, length - blank);
		one[length - blank] = '\0';
		error = add_address(decoder, "metadata.annotations[mesh.weft.dev/ips]", one);
		if (error < 0)
			return error;
		text += length + (text[length] == ',');
	}
	return 0;
}

static int pod_addresses(struct decoder *decoder, const cJSON *pod_ip, const cJSON *pod_ips)
{
	struct pod_object *pod = decoder->object;
	const char *annotated = decode_annotation(decoder, "mesh.weft.dev/ips");
	size_t most = 1 + (size_t)cJSON_GetArraySize(pod_ips) + (annotated ? POD_ADDRESSES_MAX : 0), index = 0;
	const cJSON *item;
	int error = 0;

	pod->addresses = object_array(pod, most, sizeof(*pod->addresses));
	if (!pod->addresses)
		return -ENOMEM;
	if (pod_ip && *pod_ip->valuestring)
		error = add_address(decoder, "podIP", pod_ip->valuestring);
	cJSON_ArrayForEach(item, pod_ips) {
		enum { IP, FIELDS };
		static const struct field fields[] = { [IP] = { "ip", FIELD_STRING } };
		const cJSON *values[FIELDS];
		size_t path = decode_enter(decoder, ".podIPs[%zu]", index++);

		if (!error)
			error = DECODE_FIELDS(decoder, item, fields, false, values);
		if (!error && values[IP])
			error = add_address(decoder, "ip", values[IP]->valuestring);
		if (error < 0)
			return error;
		decode_leave(decoder, path);
	}
	if (!error && annotated) {
		decode_leave(decoder, 0);
		error = annotated_addresses(decoder, annotated);
	}
	return error;
}

struct condition {
	bool is_ready_type, is_true;
};

static int pod_condition(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { TYPE, STATUS, FIELDS };
	static const struct field fields[] = { [TYPE] = { "type", FIELD_STRING }, [STATUS] = { "status", FIELD_STRING } };
	struct condition *condition = item;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, false, values);

	if (error < 0)
		return error;
	condition->is_ready_type = values[TYPE] && !strcmp(values[TYPE]->valuestring, "Ready");
	condition->is_true = values[STATUS] && !strcmp(values[STATUS]->valuestring, "True");
	return 0;
}

static int pod_status(struct decoder *decoder, const cJSON *json)
{
	enum { PHASE, IP, IPS, CONDITIONS, FIELDS };
	static const struct field fields[] = {
		[PHASE] = { "phase", FIELD_STRING }, [IP] = { "podIP", FIELD_STRING }, [IPS] = { "podIPs", FIELD_ARRAY },
		[CONDITIONS] = { "conditions", FIELD_ARRAY },
	};
	static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed", "Unknown", NULL };
	struct pod_object *pod = decoder->object;
	struct condition *conditions = NULL;
	size_t count = 0;
	const cJSON *values[FIELDS];
	int phase, error;

	decode_enter(decoder, "status");
	error = DECODE_FIELDS(decoder, json, fields, false, values);
	if (!error)
		error = decode_choice(decoder, "phase", values[PHASE], phases, POD_RUNNING, &phase);
	if (!error)
		error = DECODE_ARRAY(decoder, "conditions", values[CONDITIONS], pod_condition, conditions, count);
	if (error < 0)
		return error;
	/* Unknown: the node is not heard of; its pods may well run */
	pod->phase = phase > POD_FAILED ? POD_RUNNING : (enum pod_phase)phase;
	pod->ready = !values[CONDITIONS] && phase == POD_RUNNING;
	for (size_t i = 0; i < count; i++)
		if (conditions[i].is_ready_type)
			pod->ready = conditions[i].is_true;
	return pod_addresses(decoder, values[IP], values[IPS]);
}

static void pod_annotations(struct decoder *decoder)
{
	struct pod_object *pod = decoder->object;
	const char *netns = decode_annotation(decoder, "mesh.weft.dev/netns");

	pod->weight = decode_weight(decoder, 1);
	if (netns && *netns != '/')
		decode_report(decoder, "metadata.annotations", "\"mesh.weft.dev/netns\" is ignored: \"%.80s\" is not an absolute path", netns);
	else
		pod->netns = netns;
}

int decode_pod(struct decoder *decoder, const cJSON *document)
{
	enum { METADATA, SPEC, STATUS, FIELDS };
	static const struct field fields[] = {
		[METADATA] = { "metadata", FIELD_OBJECT }, [SPEC] = { "spec", FIELD_OBJECT }, [STATUS] = { "status", FIELD_OBJECT },
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
