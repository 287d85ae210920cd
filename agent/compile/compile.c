/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile/internal.h"
#include "util/addr.h"
#include "util/intern.h"
#include "util/log.h"

#define DEFAULT_ROOT_NAMESPACE "weft-system"
#define DEFAULT_TRUST_DOMAIN "cluster.local"

/* --- pods of this node --- */

static size_t place_of(const struct compile *compile, const char *namespace, const char *name, bool *ret_found)
{
	size_t low = 0, high = compile->pod_count;

	*ret_found = false;
	while (low < high && !*ret_found) {
		size_t middle = low + (high - low) / 2;
		int difference = strcmp(compile->pods[middle]->namespace, namespace);

		if (!difference)
			difference = strcmp(compile->pods[middle]->name, name);
		if (difference < 0)
			low = middle + 1;
		else
			high = middle;
		if (!difference) {
			*ret_found = true;
			low = middle;
		}
	}
	return low;
}

struct local_pod *compile_local_pod(const struct compile *compile, const char *namespace, const char *name)
{
	bool found;
	size_t place = place_of(compile, namespace, name, &found);

	return found ? compile->pods[place] : NULL;
}

static struct local_pod *local_pod_add(struct compile *compile, const char *namespace, const char *name)
{
	bool found;
	size_t place = place_of(compile, namespace, name, &found);
	struct local_pod *pod;

	if (found)
		return compile->pods[place];
	if (compile->pod_count == compile->pod_room) {
		size_t room = compile->pod_room ? compile->pod_room * 2 : 16;
		struct local_pod **grown = realloc(compile->pods, room * sizeof(*grown));

		if (!grown)
			return NULL;
		compile->pods = grown;
		compile->pod_room = room;
	}
	pod = calloc(1, sizeof(*pod));
	if (!pod)
		return NULL;
	pod->namespace = intern(namespace);
	pod->name = intern(name);
	if (!pod->namespace || !pod->name) {
		free(pod);
		return NULL;
	}
	memmove(&compile->pods[place + 1], &compile->pods[place],
		(compile->pod_count - place) * sizeof(*compile->pods));
	compile->pods[place] = pod;
	compile->pod_count++;
	return pod;
}

static const struct pod_object *object_of(const struct compile *compile, const struct local_pod *pod)
{
	return (const struct pod_object *)model_get(compile->model, MODEL_POD, pod->namespace, pod->name);
}

static void pod_dirty(struct compile *compile, struct local_pod *pod)
{
	pod->dirty = true;
	compile->pods_dirty = true;
}

static void all_pods_dirty(struct compile *compile)
{
	for (size_t i = 0; i < compile->pod_count; i++)
		pod_dirty(compile, compile->pods[i]);
}

static uint32_t ifindex_of(const struct pod_object *object, void *context)
{
	const struct local_pod *pod = compile_local_pod(context, object->meta.namespace, object->meta.name);

	return pod && pod->bound && pod->binding.ifindex_count ? pod->binding.ifindexes[0] : 0;
}

static bool same_binding(const struct binding *a, const struct binding *b)
{
	return a->netns_cookie == b->netns_cookie && a->ifindex_count == b->ifindex_count &&
	       !memcmp(a->ifindexes, b->ifindexes, a->ifindex_count * sizeof(*a->ifindexes)) &&
	       !memcmp(a->macs, b->macs, a->ifindex_count * sizeof(*a->macs));
}

/* A changed binding may take keys away that another pod's binding has too (a stale one), so all are written again. */
int compile_bind_pod(struct compile *compile, const char *namespace, const char *name, const struct binding *binding)
{
	struct local_pod *pod = binding ? local_pod_add(compile, namespace, name) :
					  compile_local_pod(compile, namespace, name);

	if (!pod)
		return binding ? -ENOMEM : 0;
	if (binding && pod->bound && same_binding(binding, &pod->binding))
		return 0;
	pod->bound = binding != NULL;
	pod->binding = binding ? *binding : (struct binding){ 0 };
	if (object_of(compile, pod))
		identities_touch_pod(compile->identities, object_of(compile, pod));
	all_pods_dirty(compile);
	return 0;
}

int compile_bind_host(struct compile *compile, uint64_t netns_cookie, const struct weft_addr *addresses, size_t count)
{
	struct desired_workload host = { .netns_cookie = netns_cookie, .identity = WEFT_IDENTITY_THIS_NODE,
					 .subject = WEFT_SUBJECT_OPEN, .flags = WEFT_WORKLOAD_HOST };
	int result = 0;

	if (compile->host_cookie && compile->host_cookie != netns_cookie)
		result = table_unset(compile->desired->workloads, &compile->host_cookie);
	compile->host_cookie = netns_cookie;
	all_pods_dirty(compile); /* one in the host's namespace is none of its own */
	if (result >= 0)
		result = table_set(compile->desired->workloads, &netns_cookie, &host, sizeof(host));
	return result < 0 ? result : identities_set_host(compile->identities, addresses, count);
}

/* Whether the tables are to have the pod: a host network pod is the node itself. */
static bool is_workload(const struct compile *compile, const struct local_pod *pod)
{
	const struct pod_object *object = object_of(compile, pod);

	return pod->bound && pod->binding.netns_cookie != compile->host_cookie && !(object && object->host_network);
}

static int withdraw(struct compile *compile, struct local_pod *pod)
{
	struct binding none = { 0 };
	const struct binding *keep = is_workload(compile, pod) ? &pod->binding : &none;
	int changes = 0;

	if (pod->written.netns_cookie && pod->written.netns_cookie != keep->netns_cookie &&
	    pod->written.netns_cookie != compile->host_cookie)
		changes += table_unset(compile->desired->workloads, &pod->written.netns_cookie) > 0;
	for (uint32_t i = 0; i < pod->written.ifindex_count; i++) {
		bool kept = false;

		for (uint32_t j = 0; j < keep->ifindex_count; j++)
			kept |= keep->ifindexes[j] == pod->written.ifindexes[i];
		if (!kept)
			changes += table_unset(compile->desired->interfaces, &pod->written.ifindexes[i]) > 0;
	}
	pod->written = none;
	return changes;
}

/*
 * The pod's own identity and what selects it. A pod that the model does not know (yet, or any more) has no identity and
 * is closed: WEFT_SUBJECT_NOT_LOADED.
 */
static int select_pod(struct compile *compile, struct local_pod *pod, uint32_t *ret_subject)
{
	const struct pod_object *object = object_of(compile, pod);
	struct identity *identity = NULL;
	struct subject *subject = NULL;
	int error;

	*ret_subject = WEFT_SUBJECT_NOT_LOADED;
	if (object && is_workload(compile, pod)) {
		identity = identities_acquire_pod(compile->identities, object,
						  object->address_count ? &object->addresses[0] : NULL);
		error = identity ? policies_select(compile->policies, object, &subject) : -ENOMEM;
		if (error) {
			identities_release(compile->identities, identity);
			return error;
		}
		*ret_subject = subject_number(subject);
	}
	identities_release(compile->identities, pod->identity);
	policies_deselect(compile->policies, pod->subject);
	pod->identity = identity;
	pod->subject = subject;
	return 0;
}

static void add_addresses(struct desired_workload *value, const struct pod_object *object)
{
	for (size_t i = object ? object->address_count : 0; i-- > 0;) /* backwards: the first of a family stays */
		value->addr[addr_is_v4(&object->addresses[i]) ? 0 : 1] = object->addresses[i];
}

static int publish(struct compile *compile, struct local_pod *pod)
{
	const struct binding *binding = &pod->binding;
	struct desired_workload value = { .netns_cookie = binding->netns_cookie };
	int changes, result = select_pod(compile, pod, &value.subject);

	if (result < 0 || !is_workload(compile, pod))
		return result;
	value.identity = pod->identity ? pod->identity->number : 0;
	value.ifindex = binding->ifindex_count ? binding->ifindexes[0] : 0;
	memcpy(value.mac, binding->macs[0], sizeof(value.mac));
	add_addresses(&value, object_of(compile, pod));
	pod->written = *binding;
	changes = result = table_set(compile->desired->workloads, &binding->netns_cookie, &value, sizeof(value));
	for (uint32_t i = 0; result >= 0 && i < binding->ifindex_count; i++) {
		value.ifindex = binding->ifindexes[i];
		memcpy(value.mac, binding->macs[i], sizeof(value.mac));
		result = table_set(compile->desired->interfaces, &value.ifindex, &value, sizeof(value));
		changes += result;
	}
	return result < 0 ? result : changes;
}

static void forget_unbound(struct compile *compile)
{
	size_t kept = 0;

	for (size_t i = 0; i < compile->pod_count; i++) {
		if (compile->pods[i]->bound)
			compile->pods[kept++] = compile->pods[i];
		else
			free(compile->pods[i]);
	}
	compile->pod_count = kept;
}

static int run_pods(struct compile *compile)
{
	int changes = 0;

	for (size_t i = 0; i < compile->pod_count; i++)
		if (compile->pods[i]->dirty)
			changes += withdraw(compile, compile->pods[i]);
	for (size_t i = 0; i < compile->pod_count; i++) {
		int result;

		if (!compile->pods[i]->dirty)
			continue;
		result = publish(compile, compile->pods[i]);
		if (result < 0)
			return result;
		changes += result;
		compile->pods[i]->dirty = false;
	}
	compile->pods_dirty = false;
	forget_unbound(compile);
	return changes;
}

/* --- the model --- */

static int note_pod(struct compile *compile, const struct object *old, const struct object *new)
{
	const struct object *object = new ? new : old;
	struct local_pod *pod = compile_local_pod(compile, object->namespace, object->name);

	if (pod)
		pod_dirty(compile, pod);
	return identities_pod_changed(compile->identities, (const struct pod_object *)old,
				      (const struct pod_object *)new);
}

/* Nothing here encrypts: what asks for it must not look as if it were in force. */
static int report_peer_authentication(struct compile *compile, const struct object *object)
{
	const struct peer_authentication_object *peer = (const struct peer_authentication_object *)object;
	bool strict = peer->mode == MTLS_STRICT;

	model_clear_reports(compile->model, object->kind, object->namespace, object->name, "compile");
	for (size_t i = 0; i < peer->port_mode_count; i++)
		strict |= peer->port_modes[i].mode == MTLS_STRICT;
	return !strict ? 0 :
		       model_report(compile->model, object->kind, object->namespace, object->name, "compile",
				    "mode STRICT is not in force: this version does not encrypt, and clear traffic is admitted");
}

static void model_changed(const struct object *old, const struct object *new, void *context)
{
	struct compile *compile = context;
	enum model_kind kind = new ? new->kind : old->kind;
	int error = 0;

	services_changed(compile->services, old, new);
	switch (kind) {
	case MODEL_POD:
		error = note_pod(compile, old, new);
		break;
	case MODEL_NODE:
		error = identities_node_changed(compile->identities, (const struct node_object *)old,
						(const struct node_object *)new);
		break;
	case MODEL_NAMESPACE:
	case MODEL_NETWORK_POLICY:
	case MODEL_AUTHORIZATION_POLICY:
		error = policies_changed(compile->policies, old, new);
		break;
	case MODEL_PEER_AUTHENTICATION:
		error = new ? report_peer_authentication(compile, new) : 0;
		break;
	default:
		break;
	}
	if (error < 0 && !compile->failed) {
		log_error("no memory to note a change of %s %s/%s: services and policies stay as they are until weftd "
			  "is restarted",
			  model_kind_name(kind), new ? new->namespace : old->namespace, new ? new->name : old->name);
		compile->failed = error;
	}
}

static int note_existing(const struct object *object, void *context)
{
	model_changed(NULL, object, context);
	return 0;
}

/* --- all of it --- */

int compile_run(struct compile *compile)
{
	int balancing, naming, pods = 0, policies;

	if (compile->failed)
		return compile->failed;
	balancing = services_run(compile->services);
	if (policies_selection_changed(compile->policies) || identities_cidrs_changed(compile->identities))
		all_pods_dirty(compile);
	naming = identities_run(compile->identities);
	if (naming < 0)
		return naming;
	if (compile->pods_dirty)
		pods = run_pods(compile);
	if (pods < 0)
		return pods;
	policies = policies_run(compile->policies);
	if (policies < 0)
		return policies;
	identities_settle(compile->identities);
	return balancing < 0 ? balancing : balancing + naming + pods + policies;
}

struct desired *compile_desired(struct compile *compile) { return compile->desired; }

static int build(struct compile *compile)
{
	struct compile_options *options = &compile->options;
	int error = desired_new(&compile->desired);

	compile->service_names = calloc(1, sizeof(*compile->service_names));
	if (!compile->service_names)
		return -ENOMEM;
	*compile->service_names =
		(struct hash_set){ .key_offset = offsetof(struct service_name, id), .key_size = sizeof(uint32_t) };
	if (!error)
		error = services_new(&compile->services, compile->model, options, compile->desired);
	if (!error)
		error = identities_new(&compile->identities, options, compile->desired, ifindex_of, compile);
	if (!error)
		error = rule_names_new(&compile->rule_names);
	if (!error)
		error = policies_new(&compile->policies, compile->model, options, compile->identities,
				     compile->rule_names, compile->desired);
	return error;
}

int compile_new(struct compile **ret, struct model *model, const struct compile_options *options)
{
	struct compile *compile = calloc(1, sizeof(*compile));
	int error;

	if (!compile)
		return -ENOMEM;
	compile->model = model;
	compile->options = (struct compile_options){
		.node_name = intern(options->node_name ? options->node_name : ""),
		.root_namespace = intern(options->root_namespace ? options->root_namespace : DEFAULT_ROOT_NAMESPACE),
		.trust_domain = intern(options->trust_domain ? options->trust_domain : DEFAULT_TRUST_DOMAIN),
	};
	error = build(compile);
	if (error) {
		compile_free(compile);
		return error;
	}
	model_watch(model, model_changed, compile);
	for (int kind = 0; kind < MODEL_KIND_COUNT; kind++)
		model_each(model, (enum model_kind)kind, note_existing, compile);
	*ret = compile;
	return 0;
}

static void service_names_free(struct hash_set *names)
{
	struct service_name *name;

	for (size_t position = 0; names && (name = hash_set_next(names, &position));)
		free(name);
	if (names)
		hash_set_clear(names);
	free(names);
}

/* The model must not change any more, or be freed too: it would tell a compile that is gone. */
void compile_free(struct compile *compile)
{
	if (!compile)
		return;
	for (size_t i = 0; i < compile->pod_count; i++)
		free(compile->pods[i]);
	free(compile->pods);
	policies_free(compile->policies);
	identities_free(compile->identities);
	rule_names_free(compile->rule_names);
	service_names_free(compile->service_names);
	services_free(compile->services);
	desired_free(compile->desired);
	free(compile);
}
