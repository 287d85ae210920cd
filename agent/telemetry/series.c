/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/series.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/names.h"
#include "config.h"
#include "model/model.h"
#include "telemetry/flow.h"

#define TEXT_MAX 2560
#define VALUE_MAX 384 /* label values of Kubernetes objects have at most 253 bytes */

enum side { SOURCE, DESTINATION, SERVICE };
static const char *const side_names[] = { "source", "destination" };

/* What a label text is made from; all label texts of one scrape are made once for each. */
struct end {
	uint32_t side, number, other, tls;
	const char *text;
};

static const char *const response_flags[] = {
#define REASON_FLAG(number, name, text, flag) [number] = flag,
	WEFT_REASONS(REASON_FLAG)
#undef REASON_FLAG
};

char *label_escape(const char *value, char *text, size_t size)
{
	size_t used = 0;

	for (; *value && used + 2 < size; value++) {
		if (*value == '\\' || *value == '"' || *value == '\n')
			text[used++] = '\\';
		text[used++] = *value == '\n' ? 'n' : *value;
	}
	text[used] = '\0';
	return text;
}

static const char *find_label(const struct labels *labels, const char *const *keys)
{
	for (; labels && *keys; keys++)
		for (size_t i = 0; i < labels->count; i++)
			if (!strcmp(labels->items[i].key, *keys))
				return labels->items[i].value;
	return NULL;
}

static void append(char *text, const char *prefix, const char *name, const char *value)
{
	size_t used = strlen(text);
	char escaped[VALUE_MAX];

	snprintf(text + used, TEXT_MAX - used, "%s%s_%s=\"%s\"", used ? "," : "", prefix, name,
		 label_escape(value && *value ? value : "unknown", escaped, sizeof(escaped)));
}

/* Istio's rules: the canonical names are labels, else the workload's name and "latest". */
static void end_text(const struct agent *agent, const struct end *end, char *text)
{
	static const char *const service_keys[] = { "service.istio.io/canonical-name", "app.kubernetes.io/name", "app",
						   NULL };
	static const char *const revision_keys[] = { "service.istio.io/canonical-revision", "app.kubernetes.io/version",
						     "version", NULL };
	static const char *const app_keys[] = { "app", NULL }, *const version_keys[] = { "version", NULL };
	const struct identity_info *info = end->number ? names_identity(agent->compile, end->number) : NULL;
	const struct labels *labels = info ? info->labels : NULL;
	const char *prefix = side_names[end->side], *workload = info ? info->workload_name : NULL;
	const char *service = find_label(labels, service_keys), *revision = find_label(labels, revision_keys);
	char principal[VALUE_MAX] = "";

	/* an identity is a principal only where a certificate proved it */
	if (end->tls && info && info->namespace)
		snprintf(principal, sizeof(principal), "spiffe://%s/ns/%s/sa/%s", agent->config->trust_domain,
			 info->namespace, info->service_account ? info->service_account : "default");
	text[0] = '\0';
	append(text, prefix, "workload", workload);
	append(text, prefix, "canonical_service", service ? service : workload);
	append(text, prefix, "canonical_revision", revision ? revision : workload ? "latest" : NULL);
	append(text, prefix, "workload_namespace", info ? info->namespace : NULL);
	append(text, prefix, "principal", principal);
	append(text, prefix, "app", find_label(labels, app_keys));
	append(text, prefix, "version", find_label(labels, version_keys));
	append(text, prefix, "cluster", info && info->namespace ? agent->config->cluster : NULL);
}

static void service_text(const struct agent *agent, const struct end *end, char *text)
{
	const struct service_info *service = end->number ? names_service(agent->compile, end->number) : NULL;
	const struct identity_info *destination = end->other ? names_identity(agent->compile, end->other) : NULL;
	char host[VALUE_MAX] = "";

	if (service)
		snprintf(host, sizeof(host), "%s.%s.svc.cluster.local", service->name, service->namespace);
	text[0] = '\0';
	append(text, "destination", "service", host);
	append(text, "destination", "service_namespace",
	       service ? service->namespace : destination ? destination->namespace : NULL);
	append(text, "destination", "service_name", service ? service->name : NULL);
}

static int compare_ends(const void *a, const void *b) { return memcmp(a, b, offsetof(struct end, text)); }
static int compare_texts(const void *a, const void *b) { return strcmp(a, b); }

/* The one copy of `text` in the tree, so that equal labels are equal pointers. */
static const char *unique_text(struct series_list *list, const char *text)
{
	char *copy = strdup(text);
	char **found = copy ? tsearch(copy, &list->texts, compare_texts) : NULL;

	if (!found || *found != copy)
		free(copy);
	return found ? *found : NULL;
}

static const char *end_labels(const struct agent *agent, struct series_list *list, const struct end *wanted)
{
	struct end **found = tfind(wanted, &list->ends, compare_ends), *end;
	char text[TEXT_MAX];

	if (found)
		return (*found)->text;
	end = malloc(sizeof(*end));
	if (!end)
		return NULL;
	*end = *wanted;
	(wanted->side == SERVICE ? service_text : end_text)(agent, wanted, text);
	end->text = unique_text(list, text);
	if (!end->text || !tsearch(end, &list->ends, compare_ends)) {
		free(end);
		return NULL;
	}
	return end->text;
}

/* Equal flags get one pointer, whatever reason they come from. */
static const char *flags_of(uint8_t reason)
{
	const char *flags = reason < WEFT_REASON_COUNT ? response_flags[reason] : "DENY";

	for (size_t i = 0; i < WEFT_REASON_COUNT; i++)
		if (!strcmp(response_flags[i], flags))
			return response_flags[i];
	return flags;
}

static int label(const struct agent *agent, struct series_list *list, const struct traffic *traffic, struct series *ret)
{
	const struct weft_traffic_key *key = &traffic->key;
	struct end source = { SOURCE, key->source, 0, key->tls, NULL };
	struct end destination = { DESTINATION, key->destination, 0, key->tls, NULL };
	struct end service = { SERVICE, key->service_id, key->destination, 0, NULL };

	*ret = (struct series){
		.source = end_labels(agent, list, &source),
		.destination = end_labels(agent, list, &destination),
		.service = end_labels(agent, list, &service),
		.response_flags = flags_of(key->reason),
		.reporter = key->reporter,
		.protocol = key->protocol,
		.tls = key->tls != 0,
		.sum = traffic->sum,
	};
	return ret->source && ret->destination && ret->service ? 0 : -ENOMEM;
}

static int compare_text_pointers(const char *a, const char *b) { return a == b ? 0 : strcmp(a, b); }

static int compare_series(const void *left, const void *right)
{
	const struct series *a = left, *b = right;
	int order = compare_text_pointers(a->source, b->source);

	if (!order)
		order = compare_text_pointers(a->destination, b->destination);
	if (!order)
		order = compare_text_pointers(a->service, b->service);
	if (!order)
		order = compare_text_pointers(a->response_flags, b->response_flags);
	if (!order)
		order = a->reporter - b->reporter;
	if (!order)
		order = a->protocol - b->protocol;
	return order ? order : a->tls - b->tls;
}

/* Adds up neighbours of equal labels. */
static void collapse(struct series_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (kept && !compare_series(&list->items[kept - 1], &list->items[i]))
			traffic_add(&list->items[kept - 1].sum, &list->items[i].sum);
		else
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

int series_read(const struct agent *agent, struct series_list *ret)
{
	struct traffic *traffic = NULL;
	struct series_list list = { 0 };
	size_t count = 0;
	int error = traffic_read(agent, &traffic, &count);

	if (!error && count) {
		list.items = calloc(count, sizeof(*list.items));
		error = list.items ? 0 : -ENOMEM;
	}
	for (; !error && list.count < count; list.count++)
		error = label(agent, &list, &traffic[list.count], &list.items[list.count]);
	free(traffic);
	if (error) {
		series_clear(&list);
		return error;
	}
	if (count)
		qsort(list.items, count, sizeof(*list.items), compare_series);
	collapse(&list);
	*ret = list;
	return 0;
}

void series_clear(struct series_list *list)
{
	free(list->items);
	tdestroy(list->texts, free);
	tdestroy(list->ends, free);
	*list = (struct series_list){ 0 };
}

char *series_labels(const struct series *series, char *text)
{
	char protocol[16];

	snprintf(protocol, sizeof(protocol), "%s", flow_protocol_name(series->protocol));
	for (char *letter = protocol; *letter; letter++)
		*letter = (char)(*letter >= 'A' && *letter <= 'Z' ? *letter + 'a' - 'A' : *letter);
	snprintf(text, SERIES_LABELS_MAX,
		 "reporter=\"%s\",%s,%s,%s,request_protocol=\"%s\",response_flags=\"%s\","
		 "connection_security_policy=\"%s\"",
		 series->reporter == WEFT_REPORTER_SOURCE ? "source" : "destination", series->source, series->service,
		 series->destination, protocol, series->response_flags, series->tls ? "mutual_tls" : "unknown");
	return text;
}
