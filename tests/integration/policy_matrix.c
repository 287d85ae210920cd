/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random policies for a real cluster, and who may then talk to whom by the reference evaluator.
 *
 * policy_matrix SEED ROUND POLICIES-FILE MANIFEST…
 *
 * Reads the manifests (Pods, Namespaces, Nodes), writes policies to POLICIES-FILE (among them an idle NetworkPolicy
 * default/ROUND, to see that they were read), and prints a line for each pod, address and declared port of a pod:
 *
 *	FROM PROTOCOL ADDRESS PORT TO VERDICT RULE…
 *
 * VERDICT is allowed, egress (the client's side refuses) or ingress (the server's does).
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifests.h"
#include "random_policy.h"
#include "reference.h"
#include "util/addr.h"
#include "util/intern.h"

#define NETWORK_POLICIES 5
#define AUTHORIZATION_POLICIES 3

static void load(struct model *model, const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "r");

	if (!file || getdelim(&text, &size, '\0', file) < 0) {
		perror(path);
		exit(1);
	}
	manifests_put(model, text);
	free(text);
	fclose(file);
}

static void add(struct model *model, FILE *out, char *text)
{
	manifests_put(model, text);
	fputs(text, out);
	free(text);
}

static void write_policies(struct model *model, struct random *random, const char *path, const char *round)
{
	FILE *out = fopen(path, "w");
	struct vocabulary vocabulary;
	char name[16];

	if (!out) {
		perror(path);
		exit(1);
	}
	vocabulary_from(&vocabulary, model);
	fprintf(out, "--- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: default}, spec: "
		     "{podSelector: {matchLabels: {nobody: has-it}}}}\n", round);
	for (int i = 0; i < NETWORK_POLICIES + AUTHORIZATION_POLICIES; i++) {
		const char *namespace = vocabulary.namespaces[random_below(random, (uint32_t)vocabulary.namespace_count)];

		snprintf(name, sizeof(name), "random-%d", i);
		add(model, out,
		    (i < NETWORK_POLICIES ? random_network_policy : random_authorization_policy)(random, &vocabulary, namespace, name));
	}
	if (fclose(out) != 0) {
		perror(path);
		exit(1);
	}
}

struct matrix {
	const struct model *model;
	const struct pod_object *from;
};

/* Each end is judged by the weftd of its own node. */
static void judge(const struct matrix *matrix, const struct pod_object *to, const struct weft_addr *from_addr,
		  const struct weft_addr *to_addr, const struct container_port *port)
{
	const struct reference_cluster client = { matrix->model, matrix->from->node_name, "weft-system", "cluster.local" };
	const struct reference_cluster server = { matrix->model, to->node_name, "weft-system", "cluster.local" };
	struct reference_verdict egress, ingress;
	char address[ADDR_TEXT_MAX];

	reference_decide(&client, matrix->from, from_addr, WEFT_EGRESS, to_addr, port->protocol, port->port, &egress);
	reference_decide(&server, to, to_addr, WEFT_INGRESS, from_addr, port->protocol, port->port, &ingress);
	printf("%s %s %s %u %s %s %s\n", matrix->from->meta.name, port->protocol == IPPROTO_TCP ? "tcp" : "udp",
	       addr_format(to_addr, address), port->port, to->meta.name, egress.reason ? "egress" : ingress.reason ? "ingress" : "allowed",
	       egress.reason ? egress.rule : ingress.rule);
}

static int judge_server(const struct object *object, void *context)
{
	const struct pod_object *to = (const struct pod_object *)object;
	const struct matrix *matrix = context;

	for (size_t i = 0; i < matrix->from->address_count; i++)
		for (size_t j = 0; j < to->address_count; j++)
			for (size_t port = 0; port < to->port_count; port++)
				if (addr_is_v4(&matrix->from->addresses[i]) == addr_is_v4(&to->addresses[j]))
					judge(matrix, to, &matrix->from->addresses[i], &to->addresses[j], &to->ports[port]);
	return 0;
}

static int judge_client(const struct object *object, void *context)
{
	struct matrix matrix = { .model = context, .from = (const struct pod_object *)object };

	return model_each(context, MODEL_POD, judge_server, &matrix);
}

int main(int argc, char **argv)
{
	struct model *model;
	struct random random;

	if (argc < 5) {
		fprintf(stderr, "usage: policy_matrix SEED ROUND POLICIES-FILE MANIFEST...\n");
		return 64;
	}
	if (model_new(&model) < 0)
		return 1;
	random = random_start(strtoull(argv[1], NULL, 10));
	for (int i = 4; i < argc; i++)
		load(model, argv[i]);
	write_policies(model, &random, argv[3], argv[2]);
	model_each(model, MODEL_POD, judge_client, model);
	model_free(model);
	intern_free_all();
	return fflush(stdout) == 0 ? 0 : 1;
}
