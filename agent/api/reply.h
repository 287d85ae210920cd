/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_API_REPLY_H
#define WEFT_API_REPLY_H
/* What the API answers: one function per path, from the agent's state to JSON. */
#include <cjson/cJSON.h>

#include "agent.h"
#include "api/request.h"

/* 0 with *ret, which is the caller's; else -EINVAL with *ret_error. */
typedef int reply_fn(const struct agent *agent, const struct api_request *request, cJSON **ret,
		     struct api_error *ret_error);

reply_fn reply_status, reply_check, reply_workloads, reply_services, reply_policies, reply_connections, reply_nodes,
	reply_maps,
	reply_top, reply_config, reply_version, reply_log_level, reply_set_log_level, reply_explain, reply_sysdump;

/* By route; NULL for API_FLOWS, which streams. */
reply_fn *reply_of(enum api_route route);

/* --- parts that several replies have --- */

/* NULL values are left out. */
void reply_put_text(cJSON *object, const char *name, const char *value);
void reply_put_addresses(cJSON *object, const char *name, const struct weft_addr *addresses, size_t count);
/* "10.0.0.1:80", "[fd00::1]:80"; `port` in network order. */
void reply_put_endpoint(cJSON *object, const char *name, const struct weft_addr *addr, __be16 port);
/* {"id": 17, "name": "default/web", "namespace": ..., "workload": ...} */
void reply_put_identity(cJSON *object, const char *name, const struct agent *agent, uint32_t identity);
/* {"id": 99, "kind": ..., "namespace": ..., "name": ..., "text": ...}; nothing for rule 0 */
void reply_put_rule(cJSON *object, const char *name, const struct agent *agent, uint32_t rule);
/* The identity that the maps have, or should have, for an address; 0: not one of the cluster. */
uint32_t reply_identity_at(const struct agent *agent, const struct weft_addr *addr);
/* [{"name", "entries", "capacity", "full", "is_full", "option": the one that makes room}] */
cJSON *reply_map_array(const struct agent *agent);
/* [{"kind", "namespace", "name", "text"}] */
cJSON *reply_report_array(const struct agent *agent);
/* [{"file", "line", "reason"}] */
cJSON *reply_problem_array(const struct agent *agent);
/* [{"reason", "text", "direction", "packets", "bytes"}], those that are not zero */
cJSON *reply_drop_array(const struct agent *agent);
/* [{"place", "text", "count"}], those that are not zero */
cJSON *reply_error_array(const struct agent *agent);

#endif
