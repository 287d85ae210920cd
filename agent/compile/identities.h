/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_IDENTITIES_H
#define WEFT_COMPILE_IDENTITIES_H
/*
 * Who is who: desired->addresses and desired->prefixes. Addresses that no policy can tell apart share an identity: all
 * pods of one namespace with the same service account, labels, workload, named ports and the same longest policy CIDR
 * around their address. The longest CIDR decides which other CIDRs contain the address, so an identity knows them all.
 */
#include "compile/compile.h"
#include "compile/names.h"

struct identities;

enum identity_kind { IDENTITY_WORLD, IDENTITY_THIS_NODE, IDENTITY_NODE, IDENTITY_CIDR, IDENTITY_POD };

#define IDENTITY_NO_SLOT SIZE_MAX

struct identity {
	uint32_t number;
	enum identity_kind kind;
	size_t users;
	size_t slot; /* dense index while it is in use; IDENTITY_NO_SLOT: fares as WEFT_IDENTITY_ANY does */
	bool retired; /* has no user: kept for late readers of flow records */
	struct identity_info info;
	struct labels labels;
	struct container_port *ports; /* those with a name */
	size_t port_count;
	const char *ports_key; /* interned text of `ports`: equal pointers mean equal ports */
	/* "TRUST-DOMAIN/ns/NS/sa/SA", and the same with "cluster.local", which means the own one; NULL unless a pod */
	const char *principals[2];
	bool has_cidr;
	struct cidr cidr; /* the longest of all policies' that contains the address */
};

/* Which host-side interface belongs to a pod, 0 if it is not bound here. */
typedef uint32_t identities_ifindex_fn(const struct pod_object *pod, void *context);

int identities_new(struct identities **ret, const struct compile_options *options, struct desired *desired,
		   identities_ifindex_fn *ifindex_of, void *context);
void identities_free(struct identities *identities);

/* From the model's watch; `old` or `new` may be NULL. 0 or -ENOMEM. */
int identities_pod_changed(struct identities *identities, const struct pod_object *old, const struct pod_object *new);
int identities_node_changed(struct identities *identities, const struct node_object *old,
			    const struct node_object *new);
/* The pod's binding changed: look at its addresses again. */
void identities_touch_pod(struct identities *identities, const struct pod_object *pod);
/* Replaces the former list. 0 or -ENOMEM. */
int identities_set_host(struct identities *identities, const struct weft_addr *addresses, size_t count);
/* A policy names this CIDR, or no longer does. Counted. */
int identities_add_cidr(struct identities *identities, const struct cidr *cidr);
void identities_remove_cidr(struct identities *identities, const struct cidr *cidr);

/* The identity of a pod at `addr` (NULL: as if outside all CIDRs), with one user more. NULL: no memory. */
struct identity *identities_acquire_pod(struct identities *identities, const struct pod_object *pod,
					const struct weft_addr *addr);
void identities_release(struct identities *identities, struct identity *identity); /* NULL is fine */
/* Whether the CIDRs have changed since the last identities_run(): acquired identities may be others now. */
bool identities_cidrs_changed(const struct identities *identities);

/*
 * Brings the two tables up to date. Returns the number of entries that changed, or -errno. Afterwards, until
 * identities_settle(), the lists below tell whom policies must be compiled for, and for whom no longer.
 */
int identities_run(struct identities *identities);
struct identity *const *identities_added(const struct identities *identities, size_t *ret_count);
struct identity *const *identities_removed(struct identities *identities, size_t *ret_count);
void identities_settle(struct identities *identities);

/* By slot; NULL where there is none. */
struct identity *const *identities_slots(const struct identities *identities, size_t *ret_count);
/* By number, those of late too. NULL: nobody knows it. */
const struct identity *identities_find(const struct identities *identities, uint32_t number);

/* The pod that an address belongs to, or NULL. */
const struct pod_object *identities_pod_at(const struct identities *identities, const struct weft_addr *addr);

/* Whether `address` (a CIDR) lies in `block`. IPv4 is never part of an IPv6 block, although it is mapped into it. */
bool cidr_within(const struct cidr *block, const struct cidr *address);

#endif
