/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_EXPLAIN_H
#define WEFT_EXPLAIN_H
/* What the kernel would decide about a connection, from the compiled tables and with the kernel's own procedure (weft/decide.h). */
#include "compile/compile.h"
#include "compile/names.h"

struct explain_end { /* one of: a pod, an address */
	const char *namespace, *pod; /* or NULL */
	struct weft_addr addr;	     /* filled in for a pod */
	uint32_t identity;
	bool local; /* runs on this node: its side is decided here */
};

struct explain_side {
	bool decided;  /* false: that end is not a pod of this node; its own node decides */
	uint8_t reason; /* enum weft_reason; NONE = allowed */
	uint8_t flags; /* enum weft_rule_flag */
	uint32_t rule, audit_rule;
};

struct explanation {
	struct explain_end from, to;
	const struct service_object *service; /* when `to` named a Service or its address; else NULL */
	struct weft_service_key asked;	      /* what the program would connect() to */
	struct weft_backend_key *backends;    /* candidates when it is a Service; malloc'd */
	size_t backend_count;
	uint8_t service_reason;		      /* NO_ENDPOINT, NO_SERVICE_PORT, UNSUPPORTED_SERVICE_PROTOCOL or NONE */
	struct explain_side sides[2];	      /* by enum weft_direction; for a Service: about its first backend */
	uint8_t reason;			      /* of the whole: NONE = allowed by all that is decided here */
};

/*
 * `from` and `to`: "pod/NAMESPACE/NAME", "NAMESPACE/NAME" (a pod, else a Service), "svc/NAMESPACE/NAME", an address.
 * Returns 0; -ENOENT with `reason` (256 bytes) naming which is not known; -EINVAL for what cannot be read.
 */
int explain(const struct compile *compile, const char *from, const char *to, uint16_t port, uint8_t protocol,
	    struct explanation *ret, char reason[256]);
void explanation_clear(struct explanation *explanation);

#endif
