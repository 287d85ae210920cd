/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_ENDPOINTS_H
#define WEFT_COMPILE_ENDPOINTS_H
/* Which endpoints serve a port of a Service, as seen from this node. Reads the model, keeps nothing. */
#include "model/model.h"

struct endpoint_view { /* where we look from; strings interned */
	const struct model *model;
	const char *node_name;
	const char *zone; /* of this node, or NULL */
};

struct candidate {
	struct weft_addr addr;
	__be16 port;
	uint16_t weight; /* 1 unless the algorithm is WEFT_WEIGHTED */
	bool ready, serving, terminating;
	bool local;	  /* on this node */
	bool hinted;	  /* for some zone */
	bool hinted_here; /* for this node's */
};

struct candidates { /* zeroed: empty */
	struct candidate *items;
	size_t count, room;
};
void candidates_free(struct candidates *candidates);

/*
 * All endpoints of one port, ready or not, sorted by (address, port) and each once. `pods` are those that may match the
 * Service's selector; NULL: it has EndpointSlices. Replaces what was in `ret`. 0 or -ENOMEM.
 */
int endpoints_gather(const struct endpoint_view *view, const struct service_object *service, const struct service_port *port,
		     const struct pod_object *const *pods, size_t pod_count, struct candidates *ret);

/*
 * Picks those of one family that are to serve (sorted as before) and writes address, port and weight to `slots`, which
 * has room for all candidates. `only_local`: of this node or none. The rules are kube-proxy's (pkg/proxy/topology.go).
 */
size_t endpoints_choose(const struct candidates *candidates, const struct service_object *service, bool v4, bool only_local,
			const struct endpoint_view *view, struct weft_slot *slots);

/* Whether the pod has all the labels that the Service selects by; a Service without selector selects none. */
bool endpoints_selected(const struct service_object *service, const struct pod_object *pod);

#endif
