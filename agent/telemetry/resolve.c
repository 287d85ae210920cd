/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/resolve.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "compile/names.h"
#include "config.h"
#include "util/clock.h"
#include "util/intern.h"

uint64_t clock_offset_now(void)
{
	uint64_t monotonic = clock_now(CLOCK_MONOTONIC);

	return clock_now(CLOCK_REALTIME) - monotonic;
}

const char *labels_text(const struct labels *labels)
{
	char text[4096];
	size_t used = 0;

	for (size_t i = 0; labels && i < labels->count; i++) {
		int length = snprintf(text + used, sizeof(text) - used, "%s%s=%s", used ? "," : "",
				      labels->items[i].key,
				      labels->items[i].value);

		if (length < 0 || (size_t)length >= sizeof(text) - used)
			return NULL;
		used += (size_t)length;
	}
	return used ? intern(text) : NULL;
}

static void resolve_pod(struct pods *pods, struct flow_end *end)
{
	const struct pod_object *pod = pods_find(pods, &end->addr);

	/* the address may have gone to another pod since the program looked it up */
	if (!pod || pod->meta.namespace != end->namespace)
		return;
	end->pod = pod->meta.name;
	end->node = pod->node_name;
}

static void resolve_end(uint32_t identity, const struct weft_addr *addr, __be16 port, const struct agent *agent,
			struct pods *pods, struct flow_end *ret)
{
	const struct identity_info *info = names_identity(agent->compile, identity);

	ret->addr = *addr;
	ret->port = ntohs(port);
	ret->identity = identity;
	if (!info)
		return;
	ret->identity_name = intern(info->text);
	ret->namespace = info->namespace;
	ret->service_account = info->service_account;
	ret->workload_kind = info->workload_kind;
	ret->workload_name = info->workload_name;
	ret->labels = labels_text(info->labels);
	if (info->namespace)
		resolve_pod(pods, ret);
}

static void resolve_rule(uint32_t id, const struct agent *agent, struct flow_rule *ret)
{
	static const char *const kinds[] = {
		[RULE_BUILTIN] = NULL,
		[RULE_NETWORK_POLICY] = "NetworkPolicy",
		[RULE_AUTHORIZATION_POLICY] = "AuthorizationPolicy",
	};
	const struct rule_info *info = id ? names_rule(agent->compile, id) : NULL;

	ret->id = id;
	if (!info)
		return;
	ret->kind = kinds[info->kind];
	ret->namespace = info->namespace;
	ret->name = info->name;
	ret->text = intern(info->text);
}

static void resolve_service(const struct weft_event *event, const struct agent *agent, struct flow *ret)
{
	const struct service_info *info = event->service_id ? names_service(agent->compile, event->service_id) : NULL;

	ret->service_addr = event->service;
	ret->service_port = ntohs(event->service_port);
	if (!info)
		return;
	ret->service_namespace = info->namespace;
	ret->service_name = info->name;
}

void flow_resolve(const struct weft_event *event, const struct agent *agent, struct pods *pods, uint64_t clock_offset,
		  struct flow *ret)
{
	*ret = (struct flow){
		.time = event->time + clock_offset,
		.type = event->type,
		.protocol = event->protocol,
		.reporter = event->reporter,
		.reason = event->reason,
		.direction = event->direction,
		.rule_flags = event->rule_flags,
		.tcp_flags = event->tcp_flags,
		.node = intern(agent->config->node_name),
		.retransmits = event->retransmits,
		.srtt_us = event->srtt_us,
		.pid = event->pid,
		.netns_cookie = event->netns_cookie,
		.socket_cookie = event->socket_cookie,
		.sent = event->sent,
		.received = event->received,
		.duration = event->duration,
	};
	resolve_end(event->source_identity, &event->source, event->source_port, agent, pods, &ret->source);
	resolve_end(event->destination_identity, &event->destination, event->destination_port, agent, pods,
		    &ret->destination);
	resolve_rule(event->rule, agent, &ret->rule);
	resolve_rule(event->audit_rule, agent, &ret->audit_rule);
	resolve_service(event, agent, ret);
}
