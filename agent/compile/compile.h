/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_H
#define WEFT_COMPILE_H
/*
 * Turns the model into desired map contents (desired.h), incrementally: it watches the model, notes what a change touches,
 * and compile_run() recomputes just that. Knows no kernel: unit tests run it on a model alone.
 */
#include "compile/desired.h"
#include "model/model.h"

struct compile;

/* How a pod of this node is bound to the kernel: found by node/, given to compile. */
struct binding {
	uint64_t netns_cookie;
	uint32_t ifindexes[8]; /* host-side interfaces; several when the pod has several */
	uint8_t macs[8][6];    /* of the pod's own ends */
	uint32_t ifindex_count;
};

struct compile_options {
	const char *node_name; /* this node: topology, internalTrafficPolicy Local, which pods get a subject */
	const char *root_namespace; /* AuthorizationPolicies there apply mesh-wide; default "weft-system" */
	const char *trust_domain; /* of principals; default "cluster.local" */
};

int compile_new(struct compile **ret, struct model *model, const struct compile_options *options);
void compile_free(struct compile *compile);

/* A pod of this node was found, changed its interfaces, or (binding NULL) is gone. Copies. */
int compile_bind_pod(struct compile *compile, const char *namespace, const char *name, const struct binding *binding);
/* This node's own namespace and addresses (all interfaces). */
int compile_bind_host(struct compile *compile, uint64_t netns_cookie, const struct weft_addr *addresses, size_t count);

/* Brings desired up to date with the model. Returns the number of table entries that changed, or -errno. */
int compile_run(struct compile *compile);
struct desired *compile_desired(struct compile *compile); /* owned by compile */

#endif
