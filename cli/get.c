/* SPDX-License-Identifier: Apache-2.0 */
/* meshctl get KIND: one table says where each kind comes from and which columns it has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

static const struct column workload_columns[] = {
	{ "NAMESPACE", "namespace", COLUMN_TEXT, false },
	{ "POD", "name", COLUMN_TEXT, false },
	{ "WORKLOAD", "workload", COLUMN_TEXT, false },
	{ "ADDRESSES", "addresses", COLUMN_TEXT, false },
	{ "IDENTITY", "identity.id", COLUMN_NUMBER, false },
	{ "NODE", "node", COLUMN_TEXT, false },
	{ "READY", "ready", COLUMN_TEXT, false },
	{ "MESH", "mesh", COLUMN_TEXT, false },
	{ "PHASE", "phase", COLUMN_TEXT, true },
	{ "KIND", "workload_kind", COLUMN_TEXT, true },
	{ "SERVICE ACCOUNT", "service_account", COLUMN_TEXT, true },
	{ "NETNS", "netns", COLUMN_TEXT, true },
	{ "LABELS", "labels", COLUMN_TEXT, true },
	{ 0 },
};

static const struct column service_columns[] = {
	{ "NAMESPACE", "namespace", COLUMN_TEXT, false },
	{ "SERVICE", "name", COLUMN_TEXT, false },
	{ "TYPE", "type", COLUMN_TEXT, false },
	{ "CLUSTER IPS", "cluster_ips", COLUMN_TEXT, false },
	{ "PORTS", "ports", COLUMN_TEXT, false },
	{ "BACKENDS", "backends", COLUMN_TEXT, false },
	{ "ALGORITHM", "algorithm", COLUMN_TEXT, false },
	{ "AFFINITY", "affinity_seconds", COLUMN_SECONDS, true },
	{ "INTERNAL TRAFFIC", "internal_traffic_policy", COLUMN_TEXT, true },
	{ "HINTS", "topology_hints", COLUMN_TEXT, true },
	{ "EXTERNAL IPS", "external_ips", COLUMN_TEXT, true },
	{ "LOAD BALANCER IPS", "load_balancer_ips", COLUMN_TEXT, true },
	{ 0 },
};

static const struct column policy_columns[] = {
	{ "KIND", "kind", COLUMN_TEXT, false },
	{ "NAMESPACE", "namespace", COLUMN_TEXT, false },
	{ "NAME", "name", COLUMN_TEXT, false },
	{ "ACTION", "action", COLUMN_TEXT, false },
	{ "RULES", "rules", COLUMN_NUMBER, false },
	{ "PODS", "pods", COLUMN_NUMBER, false },
	{ "DRY RUN", "dry_run", COLUMN_TEXT, false },
	{ "NOT HONOURED", "reports", COLUMN_TEXT, false },
	{ 0 },
};

static const struct column connection_columns[] = {
	{ "PROTO", "protocol", COLUMN_TEXT, false },
	{ "SOURCE", "source_pod|source", COLUMN_TEXT, false },
	{ "DESTINATION", "destination_pod|destination", COLUMN_TEXT, false },
	{ "SERVICE", "service", COLUMN_TEXT, false },
	{ "STATE", "state", COLUMN_TEXT, false },
	{ "AGE", "age_seconds", COLUMN_SECONDS, false },
	{ "IDLE", "idle_seconds", COLUMN_SECONDS, false },
	{ "OUT", "sent_bytes", COLUMN_BYTES, false },
	{ "IN", "received_bytes", COLUMN_BYTES, false },
	{ "SOURCE ADDRESS", "source", COLUMN_TEXT, true },
	{ "DESTINATION ADDRESS", "destination", COLUMN_TEXT, true },
	{ "SOURCE IDENTITY", "source_identity.name|source_identity.id", COLUMN_TEXT, true },
	{ "DESTINATION IDENTITY", "destination_identity.name|destination_identity.id", COLUMN_TEXT, true },
	{ "EGRESS RULE", "egress_rule.text", COLUMN_TEXT, true },
	{ "INGRESS RULE", "ingress_rule.text", COLUMN_TEXT, true },
	{ 0 },
};

static const struct column node_columns[] = {
	{ "NODE", "name", COLUMN_TEXT, false },
	{ "ADDRESSES", "addresses", COLUMN_TEXT, false },
	{ "ZONE", "zone", COLUMN_TEXT, false },
	{ "THIS NODE", "this_node", COLUMN_TEXT, false },
	{ 0 },
};

static const struct column map_columns[] = {
	{ "MAP", "name", COLUMN_TEXT, false },
	{ "ENTRIES", "entries", COLUMN_NUMBER, false },
	{ "CAPACITY", "capacity", COLUMN_NUMBER, false },
	{ "FULL", "is_full", COLUMN_TEXT, false },
	{ "REFUSED WRITES", "full", COLUMN_NUMBER, false },
	{ 0 },
};

static const struct kind {
	const char *name, *path;
	const struct column *columns;
	bool namespaced;
	const char *node; /* path of the node's name in a row; NULL: none */
} kinds[] = {
	{ "workloads", "/v1/workloads", workload_columns, true, "node" },
	{ "services", "/v1/services", service_columns, true, NULL },
	{ "policies", "/v1/policies", policy_columns, true, NULL },
	{ "connections", "/v1/connections", connection_columns, true, NULL },
	{ "nodes", "/v1/nodes", node_columns, false, "name" },
	{ "maps", "/v1/maps", map_columns, false, NULL },
};

static const struct kind *find_kind(const char *name)
{
	const struct kind *kind = kinds;

	while (strcmp(kind->name, name) != 0)
		kind++; /* the parser let only known ones through */
	return kind;
}

static bool has_prefix(const char *text, const char *namespace)
{
	size_t length = strlen(namespace);

	return text && !strncmp(text, namespace, length) && text[length] == '/';
}

/* The agent has filtered by namespace already; a sysdump has not. */
static bool is_wanted(const struct context *context, const struct kind *kind, const cJSON *row)
{
	const char *namespace = json_text(row, "namespace"), *node = kind->node ? json_text(row, kind->node) : NULL;

	if (context->node && kind->node && (!node || strcmp(node, context->node) != 0))
		return false;
	if (!context->namespace || !kind->namespaced)
		return true;
	return (namespace && !strcmp(namespace, context->namespace)) ||
	       has_prefix(json_text(row, "source_pod"), context->namespace) ||
	       has_prefix(json_text(row, "destination_pod"), context->namespace);
}

static void drop_unwanted(const struct context *context, const struct kind *kind, cJSON *rows)
{
	cJSON *row = rows->child, *next;

	for (; row; row = next) {
		next = row->next;
		if (!is_wanted(context, kind, row))
			cJSON_Delete(cJSON_DetachItemViaPointer(rows, row));
	}
}

static int fetch(struct context *context, const struct kind *kind, cJSON **ret)
{
	char path[1024], *namespace = context->namespace ? client_escape(context->namespace) : NULL;

	snprintf(path, sizeof(path), "%s%s%s", kind->path, namespace && kind->namespaced ? "?namespace=" : "",
		 namespace && kind->namespaced ? namespace : "");
	free(namespace);
	return client_get(context, path, ret);
}

int run_get(struct context *context)
{
	const struct kind *kind = find_kind(context->arguments.words[0]);
	const char *namespace = kind->namespaced ? context->namespace : NULL;
	cJSON *rows = NULL;
	int status = fetch(context, kind, &rows);

	if (status)
		return status;
	drop_unwanted(context, kind, rows);
	if (wants_json(context) || wants_yaml(context))
		print_structure(context, rows);
	else if (cJSON_GetArraySize(rows))
		print_table(context, kind->columns, rows);
	else
		fprintf(stderr, "No %s%s%s.\n", kind->name, namespace ? " in namespace " : "", namespace ? namespace : "");
	cJSON_Delete(rows);
	return EXIT_FINE;
}
