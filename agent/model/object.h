/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_MODEL_OBJECT_H
#define WEFT_MODEL_OBJECT_H
/* What lies in front of each object: the store's own notes about it. For model/ only. */
#include "model/model.h"

struct report {
	struct report *next;
	const char *origin; /* interned */
	char text[];
};

struct envelope {
	uint32_t holders;
	uint32_t used;			  /* bytes of the room for arrays behind the object */
	struct array *arrays;		  /* of object_array() that had no room there */
	struct envelope *previous, *next; /* in its group */
	struct report *reports;		  /* in the order in which they came */
};

static inline struct envelope *object_envelope(const struct object *object) { return (struct envelope *)object - 1; }
static inline struct object *envelope_object(struct envelope *envelope) { return (struct object *)(envelope + 1); }

#endif
