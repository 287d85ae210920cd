/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/explain: which rule decides about a connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/http.h>
#include <string.h>

#include "api/reply.h"
#include "compile/explain.h"
#include "util/addr.h"

static void put_end(cJSON *json, const char *name, const struct agent *agent, const struct explain_end *end)
{
	cJSON *object = cJSON_AddObjectToObject(json, name);
	char text[ADDR_TEXT_MAX];

	reply_put_text(object, "namespace", end->namespace);
	reply_put_text(object, "pod", end->pod);
	cJSON_AddStringToObject(object, "address", addr_format(&end->addr, text));
	reply_put_identity(object, "identity", agent, end->identity);
	cJSON_AddBoolToObject(object, "local", end->local);
}

static void put_verdict(cJSON *json, uint8_t reason)
{
	cJSON_AddStringToObject(json, "verdict", reason ? "DENIED" : "ALLOWED");
	if (!reason)
		return;
	cJSON_AddStringToObject(json, "reason", flow_reason_name(reason));
	cJSON_AddStringToObject(json, "reason_text", flow_reason_text(reason));
}

static void put_side(cJSON *array, const struct agent *agent, const struct explain_side *side, const char *direction)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddItemToArray(array, json);
	cJSON_AddStringToObject(json, "direction", direction);
	cJSON_AddBoolToObject(json, "decided", side->decided);
	if (!side->decided)
		return;
	put_verdict(json, side->reason);
	reply_put_rule(json, "rule", agent, side->rule);
	reply_put_rule(json, "audit_rule", agent, side->audit_rule);
	cJSON_AddBoolToObject(json, "audited", side->flags & WEFT_RULE_AUDIT);
	cJSON_AddBoolToObject(json, "would_deny", side->flags & WEFT_RULE_WOULD_DENY);
	cJSON_AddBoolToObject(json, "would_allow", side->flags & WEFT_RULE_WOULD_ALLOW);
}

static void put_service(cJSON *json, const struct explanation *explanation)
{
	const struct weft_service_key *asked = &explanation->asked;
	cJSON *service, *backends;

	if (!explanation->service)
		return;
	service = cJSON_AddObjectToObject(json, "service");
	cJSON_AddStringToObject(service, "namespace", explanation->service->meta.namespace);
	cJSON_AddStringToObject(service, "name", explanation->service->meta.name);
	reply_put_endpoint(service, "asked", &asked->addr, asked->port);
	put_verdict(service, explanation->service_reason);
	backends = cJSON_AddArrayToObject(service, "backends");
	for (size_t i = 0; i < explanation->backend_count; i++) {
		cJSON *backend = cJSON_CreateObject();

		reply_put_endpoint(backend, "address", &explanation->backends[i].addr, explanation->backends[i].port);
		cJSON_AddItemToArray(backends, backend);
	}
}

static cJSON *explanation_json(const struct agent *agent, const struct api_request *request,
			       const struct explanation *explanation)
{
	cJSON *json = cJSON_CreateObject(), *sides;

	put_verdict(json, explanation->reason);
	cJSON_AddStringToObject(json, "protocol", flow_protocol_name(request->protocol));
	cJSON_AddNumberToObject(json, "port", request->port);
	put_end(json, "from", agent, &explanation->from);
	put_end(json, "to", agent, &explanation->to);
	put_service(json, explanation);
	sides = cJSON_AddArrayToObject(json, "sides");
	put_side(sides, agent, &explanation->sides[WEFT_EGRESS], "EGRESS");
	put_side(sides, agent, &explanation->sides[WEFT_INGRESS], "INGRESS");
	return json;
}

int reply_explain(const struct agent *agent, const struct api_request *request, cJSON **ret,
		  struct api_error *ret_error)
{
	struct explanation explanation = { 0 };
	char reason[256] = "";
	int error = explain(agent->compile, request->from, request->to, request->port, request->protocol, &explanation,
			    reason);

	if (error == -ENOENT)
		return api_fail(ret_error, HTTP_NOTFOUND, "NOT_FOUND", "%s", reason);
	if (error)
		return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT", "%s",
				*reason ? reason : strerror(-error));
	*ret = explanation_json(agent, request, &explanation);
	explanation_clear(&explanation);
	return 0;
}
