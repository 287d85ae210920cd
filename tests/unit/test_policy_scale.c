/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policy work costs in a cluster of 5,000 workloads (each with an identity of its own), 1,000 policies and 100 pods on
 * this node. Processor time, so that a busy machine does not matter; the limits leave room for slow machines and sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include "compile/compile.h"
#include "manifests.h"
#include "util/intern.h"

#define WORKLOADS 5000
#define LOCAL_PODS 100
#define NETWORK_POLICIES 700
#define AUTHORIZATION_POLICIES 300
#define NAMESPACES 50

#if defined(__SANITIZE_ADDRESS__)
#define SLOW 10
#else
#define SLOW 1
#endif

static struct model *model;
static struct compile *compile;

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void put_pod(unsigned int number, unsigned int address)
{
	manifests_putf(model, "--- {apiVersion: v1, kind: Pod, metadata: {name: p%u, namespace: n%u, labels: {app: a%u, tier: t%u, pod: l%u},"
			      " ownerReferences: [{kind: StatefulSet, name: w%u, controller: true}]}, spec: {serviceAccountName: s%u,"
			      " containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]},"
			      " status: {phase: Running, podIPs: [{ip: 10.%u.%u.%u}]}}\n",
		       address, number % NAMESPACES, number % 200, number % 3, number, number, number % 20, address >> 16, address >> 8 & 255,
		       address & 255);
}

/* Each selects the pods of one app in one namespace, and lets in some others. */
static void put_network_policy(unsigned int number, unsigned int port)
{
	manifests_putf(model, "--- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p%u, namespace: n%u}, spec: {podSelector:"
			      " {matchLabels: {tier: t%u}}, ingress: [{from: [{podSelector: {matchLabels: {app: a%u}}}, {namespaceSelector: {matchLabels:"
			      " {kubernetes.io/metadata.name: n%u}}, podSelector: {matchLabels: {tier: t1}}}], ports: [{port: %u}]}],"
			      " egress: [{to: [{ipBlock: {cidr: 10.%u.0.0/16}}]}]}}\n",
		       number, number % NAMESPACES, number % 3, number % 200, number * 7 % NAMESPACES, port, number % 8);
}

static void put_authorization_policy(unsigned int number)
{
	manifests_putf(model, "--- {apiVersion: mesh.weft.dev/v1, kind: AuthorizationPolicy, metadata: {name: a%u, namespace: n%u}, spec: {selector:"
			      " {matchLabels: {tier: t%u}}, action: %s, rules: [{from: [{source: {principals: [cluster.local/ns/n%u/sa/s%u]}}],"
			      " to: [{operation: {ports: ['%u']}}]}]}}\n",
		       number, number % NAMESPACES, number % 3, number % 4 ? "ALLOW" : "DENY", number * 3 % NAMESPACES, number % 20,
		       8000 + number);
}

static double run(const char *what, double limit)
{
	double start = milliseconds(), spent;
	int changes = compile_run(compile);

	spent = milliseconds() - start;
	assert_true(changes >= 0);
	print_message("%-60s %8.2f ms, %d entries changed\n", what, spent, changes);
	assert_true(spent <= limit * SLOW);
	return spent;
}

static int build_cluster(void **state)
{
	const struct compile_options options = { .node_name = "one" };

	(void)state;
	assert_int_equal(model_new(&model), 0);
	assert_int_equal(compile_new(&compile, model, &options), 0);
	for (unsigned int i = 0; i < WORKLOADS; i++)
		put_pod(i, 1 + i);
	for (unsigned int i = 0; i < NETWORK_POLICIES; i++)
		put_network_policy(i, 8000 + i % 10);
	for (unsigned int i = 0; i < AUTHORIZATION_POLICIES; i++)
		put_authorization_policy(i);
	for (unsigned int i = 0; i < LOCAL_PODS; i++) {
		struct binding binding = { .netns_cookie = 1 + i, .ifindexes = { 1 + i }, .ifindex_count = 1 };
		char namespace[16], name[16];

		snprintf(namespace, sizeof(namespace), "n%u", i % NAMESPACES);
		snprintf(name, sizeof(name), "p%u", 1 + i);
		assert_int_equal(compile_bind_pod(compile, namespace, name, &binding), 0);
	}
	return 0;
}

static int free_cluster(void **state)
{
	(void)state;
	compile_free(compile);
	model_free(model);
	intern_free_all();
	return 0;
}

static void costs_are_in_proportion_to_the_change(void **state)
{
	size_t before = mallinfo2().uordblks;

	(void)state;
	run("everything from nothing", 3000);
	print_message("%-60s %8.2f MB, %zu policy entries\n", "memory for it", (double)(mallinfo2().uordblks - before) / 1e6,
		      table_count(compile_desired(compile)->policies));
	put_network_policy(3, 9999);
	run("one policy's port changes", 300);
	manifests_put(model, "--- {apiVersion: v1, kind: Namespace, metadata: {name: n1, labels: {team: x}}}\n");
	run("a namespace's labels change: all policies anew", 1000);
	put_pod(WORKLOADS, 1 + WORKLOADS);
	run("a pod with a new identity", 20);
	put_pod(WORKLOADS, 2 + WORKLOADS);
	run("a pod with a known identity", 2);
	manifests_put(model, "--- {apiVersion: v1, kind: Service, metadata: {name: s, namespace: n1}, spec: {clusterIP: 10.200.0.1, selector:"
			     " {app: a1}, ports: [{port: 80}]}}\n");
	run("a service", 20);
	manifests_put(model, "--- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: wide, namespace: n1}, spec: {podSelector: {},"
			     " egress: [{to: [{ipBlock: {cidr: 10.0.0.0/14}}]}]}}\n");
	run("a CIDR that no policy named before", 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(costs_are_in_proportion_to_the_change),
	};

	return cmocka_run_group_tests(tests, build_cluster, free_cluster);
}
