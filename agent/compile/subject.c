/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects: which policies select a pod of this node, and what else makes two pods fare differently. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/policy_internal.h"

uint32_t subject_number(const struct subject *subject) { return subject ? subject->number : WEFT_SUBJECT_OPEN; }

static bool selects(const struct policies *policies, const struct policy *policy, const struct pod_object *pod)
{
	const struct network_policy_object *network = as_network(policy->object);

	if (policy->key.namespace != pod->meta.namespace &&
	    (network || policy->key.namespace != policies->root_namespace))
		return false;
	return selector_matches(network ? &network->pod_selector : &as_authorization(policy->object)->selector,
				&pod->meta.labels);
}

static void write_named_ports(FILE *out, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->port_count; i++)
		if (pod->ports[i].name)
			fprintf(out, "port %s/%u=%u\n", pod->ports[i].name, pod->ports[i].protocol, pod->ports[i].port);
}

static void write_addresses(FILE *out, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->address_count; i++) {
		const uint32_t *word = pod->addresses[i].word;

		fprintf(out, "address %08x%08x%08x%08x\n", word[0], word[1], word[2], word[3]);
	}
}

/* What makes two pods fare alike, and the policies that select this one: `ret_policies` has room for all. */
static char *subject_text(const struct policies *policies, const struct pod_object *pod, struct policy **ret_policies,
			  size_t *ret_count)
{
	bool named_ports = false, destination_ip = false;
	char *text = NULL;
	size_t size, count = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < policies->count; i++) {
		struct policy *policy = policies->sorted[i];

		if (!selects(policies, policy, pod))
			continue;
		ret_policies[count++] = policy;
		named_ports |= policy->named_ports[WEFT_INGRESS];
		destination_ip |= policy->destination_ip;
		fprintf(out, "%s %s/%s\n", model_kind_name(policy->object->kind), policy->key.namespace,
			policy->key.name);
	}
	if (named_ports)
		write_named_ports(out, pod);
	if (destination_ip)
		write_addresses(out, pod);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	*ret_count = count;
	return text;
}

static void subject_clear(struct subject *subject)
{
	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		free(subject->rules[direction]);
		subject->rules[direction] = NULL;
		subject->rule_count[direction] = 0;
		subject->terms[direction] = (struct run_terms){ 0 };
		subject->named_ports[direction] = false;
	}
	free(subject->ports);
	free(subject->addresses);
	subject->ports = NULL;
	subject->addresses = NULL;
}

void subject_free(struct subject *subject)
{
	if (!subject)
		return;
	subject_clear(subject);
	free(subject);
}

static void note_first(uint32_t *first, uint32_t id)
{
	if (!*first)
		*first = id;
}

static void add_terms(struct subject *subject, const struct policy *policy)
{
	struct run_terms *ingress = &subject->terms[WEFT_INGRESS], *egress = &subject->terms[WEFT_EGRESS];

	if (as_network(policy->object)) {
		note_first(&ingress->isolated_by, policy->whole[WEFT_INGRESS]);
		note_first(&egress->isolated_by, policy->whole[WEFT_EGRESS]);
	} else if (policy_layer(as_authorization(policy->object)) == RUN_ALLOW) {
		note_first(&ingress->allow, policy->whole[WEFT_INGRESS]);
	} else if (policy_layer(as_authorization(policy->object)) == RUN_DRY_ALLOW) {
		note_first(&ingress->dry_allow, policy->whole[WEFT_INGRESS]);
	}
}

static int add_rules(struct subject *subject, struct policy *const *selecting, size_t count, size_t direction)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += selecting[i]->rule_count[direction];
	subject->rules[direction] = calloc(total + 1, sizeof(*subject->rules[direction]));
	if (!subject->rules[direction])
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct policy *policy = selecting[i];

		for (size_t j = 0; j < policy->rule_count[direction]; j++)
			subject->rules[direction][subject->rule_count[direction]++] = &policy->rules[direction][j];
		subject->named_ports[direction] |= policy->named_ports[direction];
	}
	return 0;
}

static int subject_fill(struct subject *subject, const struct pod_object *pod, struct policy *const *selecting,
			size_t count)
{
	subject_clear(subject);
	for (size_t i = 0; i < count; i++) {
		add_terms(subject, selecting[i]);
		subject->stale |= selecting[i]->changed;
	}
	for (size_t direction = 0; direction < DIRECTIONS; direction++)
		if (add_rules(subject, selecting, count, direction) < 0)
			return -ENOMEM;
	subject->ports = calloc(pod->port_count + 1, sizeof(*subject->ports));
	subject->addresses = calloc(pod->address_count + 1, sizeof(*subject->addresses));
	if (!subject->ports || !subject->addresses)
		return -ENOMEM;
	if (pod->port_count)
		memcpy(subject->ports, pod->ports, pod->port_count * sizeof(*pod->ports));
	subject->port_count = pod->port_count;
	if (pod->address_count)
		memcpy(subject->addresses, pod->addresses, pod->address_count * sizeof(*pod->addresses));
	subject->address_count = pod->address_count;
	return 0;
}

static struct subject *subject_get(struct policies *policies, const char *text)
{
	uint32_t number = ids_get(policies->subject_ids, text);
	struct subject *subject = number ? hash_set_find(&policies->subjects, &number) : NULL;

	if (subject) {
		ids_put(policies->subject_ids, number); /* it counts as one user of its number */
		return subject;
	}
	subject = number ? calloc(1, sizeof(*subject)) : NULL;
	if (!subject)
		return NULL;
	subject->number = number;
	subject->stale = true;
	if (hash_set_put(&policies->subjects, subject, NULL) < 0) {
		free(subject);
		return NULL;
	}
	return subject;
}

int policies_select(struct policies *policies, const struct pod_object *pod, struct subject **ret)
{
	struct policy **selecting = calloc(policies->count + 1, sizeof(*selecting));
	struct subject *subject = NULL;
	size_t count = 0;
	char *text = selecting ? subject_text(policies, pod, selecting, &count) : NULL;
	int error = text ? 0 : -ENOMEM;

	if (!error && count) {
		subject = subject_get(policies, text);
		error = subject ? subject_fill(subject, pod, selecting, count) : -ENOMEM;
	}
	free(text);
	free(selecting);
	if (error < 0)
		return error;
	if (subject)
		subject->users++;
	*ret = subject;
	return 0;
}

void policies_deselect(struct policies *policies, struct subject *subject)
{
	(void)policies; /* policies_run() drops it if nobody else uses it */
	if (subject)
		subject->users--;
}
