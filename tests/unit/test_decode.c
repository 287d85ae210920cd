/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest_helpers.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "util/addr.h"
#include "util/intern.h"

#define NAMED(kind, name) "apiVersion: v1\nkind: " kind "\nmetadata: {name: " name "}\n"
#define SERVICE(spec) NAMED("Service", "web") "spec: " spec "\n"
#define SLICE(rest)                                                                                                    \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                                       \
	"metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n" rest "\n"
#define NETWORK_POLICY(spec)                                                                                           \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: " spec "\n"
#define AUTHORIZATION(spec)                                                                                            \
	"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: "                 \
	"shop}\nspec: " spec "\n"
#define PEER_AUTHENTICATION(spec)                                                                                      \
	"apiVersion: mesh.weft.dev/v1alpha1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: " spec "\n"

static void expect_address(const struct weft_addr *addr, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(addr, text), expected);
}

static void expect_cidr(const struct cidr *cidr, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(cidr_format(&cidr->addr, cidr->length, text), expected);
}

static void expect_refused(const char *text, const char *reason)
{
	struct decoded decoded = decode_text(text);

	if (decoded.result != -EINVAL || decoded.object || strncmp(decoded.reason, reason, strlen(reason)) != 0)
		fail_msg("%d \"%s\", expected \"%s\"\n%s", decoded.result, decoded.reason, reason, text);
}

static void expect_reported(const char *text, const char *report)
{
	struct decoded decoded = decode_text(text);

	if (decoded.result || !decoded.object || (*report ? !strstr(decoded.reports, report) : *decoded.reports))
		fail_msg("%d %s \"%s\", expected \"%s\"\n%s", decoded.result, decoded.reason, decoded.reports, report,
			 text);
	object_free(decoded.object);
}

/* --- all kinds --- */

static void each_kind_is_known_by_group_and_version(void **state)
{
	static const char *const unknown[] = {
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}",
		"{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}}",
		"{apiVersion: v1, kind: NetworkPolicy, metadata: {name: a}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		struct decoded decoded = decode_text(unknown[i]);

		assert_int_equal(decoded.result, 0);
		assert_null(decoded.object);
	}
	expect_refused("{apiVersion: networking.k8s.io/v1beta1, kind: NetworkPolicy, metadata: {name: a}}",
		       "apiVersion: \"networking.k8s.io/v1beta1\" is not a version of NetworkPolicy that Weft knows: "
		       "write networking.k8s.io/v1");
	expect_refused("{kind: Service}", "apiVersion: is missing");
	expect_refused("{apiVersion: v1}", "kind: is missing");
	expect_refused("[1]", "not an object of Kubernetes");
}

static void names_and_labels_are_checked(void **state)
{
	struct object *object;

	(void)state;
	expect_refused("{apiVersion: v1, kind: Pod}", "metadata.name: is missing");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: Web}}",
		       "metadata.name: \"Web\" is not a name for a Pod");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x.y}}",
		       "metadata.namespace: \"x.y\"");
	expect_refused("{apiVersion: v1, kind: Node, metadata: {name: a, namespace: x}}",
		       "metadata.namespace: a Node is not");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: 5}}",
		       "metadata.name: must be a string (put it in quotes)");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {v: 1}}}",
		       "metadata.labels: the value of \"v\" must be a string");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {-v: a}}}",
		       "metadata.labels: \"-v\" is not a label's key");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {v: a b}}}",
		       "metadata.labels: \"a b\" is not a label's value");
	expect_refused("{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {v: 1}}}",
		       "metadata.annotations: the value of \"v\"");
	object = decode_fine("{apiVersion: v1, kind: Pod, metadata: {name: a.b, labels: {z: '', example.com/a: x}}}");
	assert_string_equal(object->namespace, "default");
	assert_int_equal(object->labels.count, 2);
	assert_string_equal(object->labels.items[0].key, "example.com/a");
	assert_string_equal(object->labels.items[1].value, "");
	object_free(object);
}

static uint64_t digest(const char *text)
{
	struct object *object = decode_fine(text);
	uint64_t value = object->digest;

	object_free(object);
	return value;
}

static void the_digest_covers_what_weft_reads_and_nothing_else(void **state)
{
	uint64_t base = digest(
		"{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {x: y, v: w}}, status: {podIP: 10.0.0.1}}");

	(void)state;
	assert_int_equal(base, digest("{status: {podIP: 10.0.0.1, startTime: now}, metadata: {labels: {v: w, x: y}, "
				      "name: a, resourceVersion: '7', "
				      "managedFields: [{}], annotations: {a: b}}, kind: Pod, apiVersion: v1}"));
	assert_int_equal(digest(NAMED("Pod", "a") "spec: {containers: [{image: x}]}\n"),
			 digest(NAMED("Pod", "a") "spec: {containers: [{image: y}]}\n"));
	assert_int_not_equal(base, digest("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {x: w, v: y}}, "
					  "status: {podIP: 10.0.0.1}}"));
	assert_int_not_equal(base, digest("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {x: y, v: w}}, "
					  "status: {podIP: 10.0.0.2}}"));
	assert_int_not_equal(
		base, digest("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {x: y, v: w}, annotations: "
			     "{mesh.weft.dev/weight: '2'}}, status: {podIP: 10.0.0.1}}"));
	assert_int_not_equal(digest(NETWORK_POLICY("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {}]}")),
			     digest(NETWORK_POLICY("{podSelector: {}, ingress: [{}, {from: [{podSelector: {}}]}]}")));
	assert_int_not_equal(
		digest(PEER_AUTHENTICATION("{selector: {matchLabels: {a: b}}, portLevelMtls: {80: {mode: STRICT}}}")),
		digest(PEER_AUTHENTICATION("{selector: {matchLabels: {a: b}}, portLevelMtls: {81: {mode: STRICT}}}")));
}

/* --- Namespace, Node --- */

static void namespaces_are_labelled_with_their_name(void **state)
{
	struct namespace_object *namespace = decode_fine(
		"{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b, team: x, "
		"kubernetes.io/metadata.name: other}}}");

	(void)state;
	assert_string_equal(namespace->meta.namespace, "");
	assert_int_equal(namespace->meta.labels.count, 3);
	assert_string_equal(namespace->meta.labels.items[1].key, "kubernetes.io/metadata.name");
	assert_string_equal(namespace->meta.labels.items[1].value, "shop");
	assert_string_equal(namespace->meta.labels.items[2].key, "team");
	object_free(&namespace->meta);
}

static void nodes_have_addresses_and_a_zone(void **state)
{
	struct node_object *node = decode_fine("{apiVersion: v1, kind: Node, metadata: {name: n1, labels: "
					       "{topology.kubernetes.io/zone: a}}, status: {addresses: ["
					       "{type: Hostname, address: n1}, {type: InternalIP, address: 10.0.0.1}, "
					       "{type: ExternalIP, address: 'fd00::1'}]}}");

	(void)state;
	assert_string_equal(node->zone, "a");
	assert_int_equal(node->address_count, 2);
	expect_address(&node->addresses[0], "10.0.0.1");
	expect_address(&node->addresses[1], "fd00::1");
	object_free(&node->meta);
	expect_refused("{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, "
		       "address: x}]}}",
		       "status.addresses[0].address: \"x\" is not an IP address");
}

/* --- Pod --- */

static void a_bare_pod_runs_and_is_ready(void **state)
{
	struct pod_object *pod = decode_fine(NAMED("Pod", "web"));

	(void)state;
	assert_int_equal(pod->phase, POD_RUNNING);
	assert_true(pod->ready);
	assert_false(pod->terminating);
	assert_false(pod->host_network);
	assert_string_equal(pod->service_account, "default");
	assert_string_equal(pod->workload_kind, "Pod");
	assert_string_equal(pod->workload_name, "web");
	assert_int_equal(pod->weight, 1);
	assert_null(pod->node_name);
	assert_null(pod->netns);
	object_free(&pod->meta);
}

static void a_full_pod_is_read(void **state)
{
	struct pod_object *pod = decode_fine(
		"apiVersion: v1\nkind: Pod\n"
		"metadata:\n"
		"  name: web-5d4f8-abcde\n"
		"  namespace: shop\n"
		"  deletionTimestamp: \"2026-01-01T00:00:00Z\"\n"
		"  annotations: {mesh.weft.dev/netns: /run/netns/a, mesh.weft.dev/weight: '7', mesh.weft.dev/ips: "
		"'10.0.0.1, fd00::2'}\n"
		"  ownerReferences: [{kind: Other, name: x}, {kind: ReplicaSet, name: web-5d4f8, controller: true}]\n"
		"spec:\n"
		"  nodeName: n1\n"
		"  serviceAccountName: web\n"
		"  hostNetwork: true\n"
		"  initContainers: [{ports: [{containerPort: 1}]}, {restartPolicy: Always, ports: [{containerPort: 15, "
		"name: side}]}]\n"
		"  containers: [{ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}]}, "
		"{image: x}]\n"
		"status:\n"
		"  phase: Running\n"
		"  conditions: [{type: Ready, status: 'False'}, {type: Initialized, status: 'True'}]\n"
		"  podIP: 10.0.0.1\n"
		"  podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]\n");

	(void)state;
	assert_true(pod->terminating);
	assert_string_equal(pod->netns, "/run/netns/a");
	assert_int_equal(pod->weight, 7);
	assert_string_equal(pod->workload_kind, "Deployment");
	assert_string_equal(pod->workload_name, "web");
	assert_string_equal(pod->node_name, "n1");
	assert_string_equal(pod->service_account, "web");
	assert_true(pod->host_network);
	assert_int_equal(pod->port_count, 3);
	assert_string_equal(pod->ports[0].name, "http");
	assert_int_equal(pod->ports[1].protocol, IPPROTO_UDP);
	assert_null(pod->ports[1].name);
	assert_int_equal(pod->ports[2].port, 15);
	assert_false(pod->ready);
	assert_int_equal(pod->address_count, 3);
	expect_address(&pod->addresses[1], "fd00::1");
	expect_address(&pod->addresses[2], "fd00::2");
	object_free(&pod->meta);
}

static void pods_that_do_not_run_are_not_ready(void **state)
{
	static const struct {
		const char *status;
		enum pod_phase phase;
		bool ready;
	} cases[] = {
		{ "{podIP: 10.0.0.1}", POD_RUNNING, true },
		{ "{phase: Pending}", POD_PENDING, false },
		{ "{phase: Succeeded}", POD_SUCCEEDED, false },
		{ "{phase: Failed}", POD_FAILED, false },
		{ "{phase: Unknown}", POD_RUNNING, false },
		{ "{phase: Running, conditions: [{type: Ready, status: 'True'}]}", POD_RUNNING, true },
		{ "{phase: Running, conditions: [{type: Other, status: 'True'}]}", POD_RUNNING, false },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pod_object *pod;

		snprintf(text, sizeof(text), NAMED("Pod", "web") "status: %s\n", cases[i].status);
		pod = decode_fine(text);
		assert_int_equal(pod->phase, cases[i].phase);
		assert_int_equal(pod->ready, cases[i].ready);
		object_free(&pod->meta);
	}
}

static void owners_name_the_workload(void **state)
{
	static const char *const cases[][5] = {
		/* kind, name, pod-template-hash, workload */
		{ "ReplicaSet", "web-5d4f8", "", "Deployment", "web" },
		{ "ReplicaSet", "web-a-5d4f8", "5d4f8", "Deployment", "web-a" },
		{ "ReplicaSet", "web-front", "", "ReplicaSet", "web-front" },
		{ "ReplicaSet", "web-5d4f8", "other", "ReplicaSet", "web-5d4f8" },
		{ "StatefulSet", "db", "", "StatefulSet", "db" },
		{ "DaemonSet", "log-5d4f8", "", "DaemonSet", "log-5d4f8" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pod_object *pod;

		snprintf(text, sizeof(text),
			 "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {%s%s}, ownerReferences: [{kind: %s, "
			 "name: %s, controller: true}]}}",
			 *cases[i][2] ? "pod-template-hash: " : "", cases[i][2], cases[i][0], cases[i][1]);
		pod = decode_fine(text);
		assert_string_equal(pod->workload_kind, cases[i][3]);
		assert_string_equal(pod->workload_name, cases[i][4]);
		object_free(&pod->meta);
	}
}

static void wrong_pods_are_refused_by_path(void **state)
{
	(void)state;
	expect_refused(NAMED("Pod", "a") "spec: {containers: [{ports: [{containerPort: 0}]}]}\n",
		       "spec.containers[0].ports[0].containerPort: 0 is not a port");
	expect_refused(NAMED("Pod", "a") "spec: {containers: [{}, {ports: [{containerPort: 1, name: UP}]}]}\n",
		       "spec.containers[1].ports[0].name: \"UP\"");
	expect_refused(NAMED("Pod", "a") "spec: {containers: {}}\n", "spec.containers: must be a list");
	expect_refused(NAMED("Pod", "a") "spec: {containers: [1]}\n", "spec.containers[0]: must be a mapping");
	expect_refused(NAMED("Pod", "a") "status: {podIP: 10.0.0.256}\n",
		       "status.podIP: \"10.0.0.256\" is not an IP address");
	expect_refused(NAMED("Pod", "a") "status: {podIPs: [{ip: x}]}\n", "status.podIPs[0].ip: \"x\"");
	expect_refused(NAMED("Pod", "a") "status: {phase: Up}\n",
		       "status.phase: \"Up\" must be Pending, Running, Succeeded, Failed or Unknown");
	expect_refused(
		"{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {mesh.weft.dev/ips: '10.0.0.1,,x'}}}",
		"metadata.annotations[mesh.weft.dev/ips]: \"\" is not an IP address");
	expect_reported("{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {mesh.weft.dev/weight: '0'}}}",
			"metadata.annotations: \"mesh.weft.dev/weight\" is ignored");
	expect_reported("{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {mesh.weft.dev/wait: '0'}}}",
			"metadata.annotations: \"mesh.weft.dev/wait\" is not known");
	expect_reported("{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {mesh.weft.dev/netns: run/x}}}",
			"not an absolute path");
	expect_reported(NAMED("Pod", "a") "spec: {containers: [{image: x, env: []}], volumes: []}\n", "");
}

/* --- Service --- */

static void a_service_is_defaulted_as_the_api_does(void **state)
{
	struct service_object *service = decode_fine(
		SERVICE("{clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80}]}"));

	(void)state;
	assert_int_equal(service->cluster_ip_count, 1);
	expect_address(service->cluster_ips, "10.96.0.1");
	assert_int_equal(service->port_count, 1);
	assert_string_equal(service->ports[0].name, "");
	assert_int_equal(service->ports[0].protocol, IPPROTO_TCP);
	assert_int_equal(service->ports[0].target_port.number, 80);
	assert_null(service->ports[0].target_port.name);
	assert_int_equal(service->selector.count, 1);
	assert_int_equal(service->affinity_seconds, 0);
	assert_int_equal(service->algorithm, WEFT_RANDOM);
	assert_int_equal(service->internal_traffic_policy, TRAFFIC_CLUSTER);
	assert_false(service->headless || service->external_name || service->topology_hints ||
		     service->publish_not_ready_addresses);
	object_free(&service->meta);
	service = decode_fine(SERVICE("{clusterIP: 10.96.0.1, sessionAffinity: ClientIP, ports: [{port: 80}]}"));
	assert_int_equal(service->affinity_seconds, 10800);
	object_free(&service->meta);
}

static void a_full_service_is_read(void **state)
{
	struct service_object *service = decode_fine(
		"apiVersion: v1\nkind: Service\n"
		"metadata: {name: web, annotations: {mesh.weft.dev/algorithm: round-robin, "
		"service.kubernetes.io/topology-mode: Auto}}\n"
		"spec:\n"
		"  type: LoadBalancer\n"
		"  clusterIP: 10.96.0.1\n"
		"  clusterIPs: [10.96.0.1, 'fd00::1']\n"
		"  externalIPs: [192.0.2.1]\n"
		"  sessionAffinity: ClientIP\n"
		"  sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}\n"
		"  internalTrafficPolicy: Local\n"
		"  publishNotReadyAddresses: true\n"
		"  externalTrafficPolicy: Local\n"
		"  ports: [{name: http, port: 80, targetPort: web, nodePort: 30000}, {name: dns, port: 53, protocol: "
		"UDP, targetPort: 5353}]\n"
		"status: {loadBalancer: {ingress: [{hostname: x}, {ip: 198.51.100.1}, {ip: 198.51.100.2, ipMode: "
		"Proxy}, {ip: 198.51.100.3, ipMode: "
		"VIP}]}}\n");

	(void)state;
	assert_int_equal(service->cluster_ip_count, 2);
	expect_address(&service->cluster_ips[1], "fd00::1");
	assert_int_equal(service->external_ip_count, 1);
	assert_int_equal(service->load_balancer_ip_count, 2);
	expect_address(&service->load_balancer_ips[1], "198.51.100.3");
	assert_int_equal(service->affinity_seconds, 5);
	assert_int_equal(service->internal_traffic_policy, TRAFFIC_LOCAL);
	assert_true(service->publish_not_ready_addresses);
	assert_true(service->topology_hints);
	assert_int_equal(service->algorithm, WEFT_ROUND_ROBIN);
	assert_string_equal(service->ports[0].target_port.name, "web");
	assert_int_equal(service->ports[1].target_port.number, 5353);
	assert_int_equal(service->ports[1].protocol, IPPROTO_UDP);
	object_free(&service->meta);
}

static void services_without_addresses_are_told_apart(void **state)
{
	struct service_object *service = decode_fine(SERVICE("{clusterIP: None}"));

	(void)state;
	assert_true(service->headless);
	assert_int_equal(service->cluster_ip_count, 0);
	object_free(&service->meta);
	service = decode_fine(SERVICE("{type: ExternalName, externalName: example.com}"));
	assert_true(service->external_name);
	object_free(&service->meta);
	expect_reported(SERVICE("{clusterIP: None}"), "");
}

static void wrong_services_are_refused_by_path(void **state)
{
	(void)state;
	expect_refused(NAMED("Service", "web"), "spec: is missing");
	expect_refused(SERVICE("{ports: [{port: 70000}]}"), "spec.ports[0].port: 70000 is not a port");
	expect_refused(SERVICE("{ports: [{port: '80'}]}"), "spec.ports[0].port: must be a whole number");
	expect_refused(SERVICE("{ports: [{port: 80.5}]}"), "spec.ports[0].port: must be a whole number");
	expect_refused(SERVICE("{ports: [{port: .inf}]}"), "spec.ports[0].port: must be a whole number");
	expect_refused(SERVICE("{ports: [{}]}"), "spec.ports[0].port: is missing");
	expect_refused(SERVICE("{ports: []}"), "spec.ports: is missing");
	expect_refused(SERVICE("{ports: [{port: 80, targetPort: '80'}]}"),
		       "spec.ports[0].targetPort: \"80\" is not the name of a port");
	expect_refused(SERVICE("{ports: [{port: 80, protocol: tcp}]}"),
		       "spec.ports[0].protocol: \"tcp\" must be TCP, UDP or SCTP");
	expect_refused(SERVICE("{ports: [{port: 80}, {port: 81}]}"), "spec.ports: [0].name is missing");
	expect_refused(SERVICE("{ports: [{port: 80, name: a}, {port: 81, name: a}]}"),
		       "spec.ports: [1].name: \"a\" is the name of another");
	expect_refused(SERVICE("{ports: [{port: 80, name: a}, {port: 80, name: b}]}"),
		       "spec.ports: [1].port: 80 is there twice");
	expect_refused(SERVICE("{clusterIP: x, ports: [{port: 80}]}"), "spec.clusterIP: \"x\" is not an IP address");
	expect_refused(SERVICE("{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.2], ports: [{port: 80}]}"),
		       "spec.clusterIPs: [0]");
	expect_refused(SERVICE("{externalIPs: [x], ports: [{port: 80}]}"),
		       "spec.externalIPs[0]: \"x\" is not an IP address");
	expect_refused(SERVICE("{type: Other}"), "spec.type: \"Other\" must be");
	expect_refused(SERVICE("{selector: {a: 1}, ports: [{port: 80}]}"), "spec.selector: the value of \"a\"");
	expect_refused(SERVICE("{sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}, ports: [{port: 80}]}"),
		       "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 must be from 1 to 86400");
}

static void what_is_not_honoured_in_services_is_reported(void **state)
{
	(void)state;
	expect_reported(SERVICE("{clusterIP: 10.0.0.1, ports: [{port: 80}], ipFamilyPolicy: SingleStack, "
				"externalTrafficPolicy: Local}"),
			"");
	expect_reported(SERVICE("{clusterIP: 10.0.0.1, ports: [{port: 80}], colour: red}"),
			"spec: the field \"colour\" is not known");
	expect_reported(SERVICE("{clusterIP: 10.0.0.1, ports: [{port: 80, colour: red}]}"),
			"spec.ports[0]: the field \"colour\"");
	expect_reported(SERVICE("{clusterIP: 10.0.0.1, type: NodePort, ports: [{port: 80}]}"), "spec.type: NodePort");
	expect_reported(SERVICE("{clusterIP: 10.0.0.1, trafficDistribution: PreferSameNode, ports: [{port: 80}]}"),
			"spec.trafficDistribution");
	expect_reported(SERVICE("{clusterIP: 10.0.0.1, loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 80}]}"),
			"spec.loadBalancerSourceRanges: is not enforced");
	expect_reported("{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {mesh.weft.dev/algorithm: "
			"best}}, spec: {clusterIP: None}}",
			"\"best\" is not random, round-robin or weighted");
}

/* --- EndpointSlice --- */

static void a_slice_has_an_entry_for_each_address(void **state)
{
	struct endpoint_slice_object *slice = decode_fine(
		SLICE("addressType: IPv4\n"
		      "ports: [{name: http, port: 8080}, {port: 53, protocol: UDP}]\n"
		      "endpoints:\n"
		      "- {addresses: [10.0.0.1, 10.0.0.2], nodeName: n1, zone: a, targetRef: {kind: Pod, name: web-1}, "
		      "hints: {forZones: [{name: a}, {name: b}]}}\n"
		      "- {addresses: [10.0.0.3], conditions: {ready: false}, targetRef: {kind: Machine, name: x}}\n"
		      "- {addresses: [10.0.0.4], conditions: {ready: false, serving: true, terminating: true}}"));

	(void)state;
	assert_string_equal(slice->service_name, "web");
	assert_int_equal(slice->port_count, 2);
	assert_string_equal(slice->ports[1].name, "");
	assert_int_equal(slice->ports[1].protocol, IPPROTO_UDP);
	assert_int_equal(slice->endpoint_count, 4);
	expect_address(&slice->endpoints[1].addr, "10.0.0.2");
	assert_string_equal(slice->endpoints[1].target_pod, "web-1");
	assert_string_equal(slice->endpoints[1].hint_zones[1], "b");
	assert_null(slice->endpoints[1].hint_zones[2]);
	assert_true(slice->endpoints[0].ready && slice->endpoints[0].serving && !slice->endpoints[0].terminating);
	assert_false(slice->endpoints[2].ready || slice->endpoints[2].serving);
	assert_null(slice->endpoints[2].target_pod);
	assert_true(!slice->endpoints[3].ready && slice->endpoints[3].serving && slice->endpoints[3].terminating);
	assert_int_equal(slice->endpoints[0].weight, 0);
	object_free(&slice->meta);
}

static void wrong_slices_are_refused_by_path(void **state)
{
	(void)state;
	expect_refused(SLICE("endpoints: []"), "addressType: is missing");
	expect_refused(SLICE("addressType: IPv4\nendpoints: [{addresses: []}]"),
		       "endpoints[0].addresses: must be 1 to 100");
	expect_refused(SLICE("addressType: IPv4\nendpoints: [{}]"), "endpoints[0].addresses: must be 1 to 100");
	expect_refused(SLICE("addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]"),
		       "endpoints[0].addresses: \"10.0.0.1\" is not of");
	expect_refused(SLICE("addressType: IPv4\nports: [{port: 0}]"), "ports[0].port: 0 is not a port");
	expect_refused(SLICE("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: 'yes'}}]"),
		       "endpoints[0].conditions.ready: must be true or false");
	expect_reported(SLICE("addressType: FQDN\nendpoints: [{addresses: [example.com]}]"),
			"addressType: FQDN is not supported");
	expect_reported(SLICE("addressType: IPv4\nports: [{name: all}]"), "ports[0].port: is missing");
	expect_reported(SLICE("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], colour: red}]"),
			"endpoints[0]: the field \"colour\"");
	expect_reported(
		"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4}",
		"\"kubernetes.io/service-name\" is missing");
}

/* --- NetworkPolicy --- */

static void policy_types_are_defaulted(void **state)
{
	static const struct {
		const char *spec;
		bool ingress, egress;
	} cases[] = {
		{ "{podSelector: {}}", true, false },
		{ "{podSelector: {}, egress: []}", true, false },
		{ "{podSelector: {}, egress: [{}]}", true, true },
		{ "{podSelector: {}, policyTypes: [Egress]}", false, true },
		{ "{podSelector: {}, ingress: [{}], policyTypes: [Egress]}", false, true },
		{ "{podSelector: {}, policyTypes: [Ingress, Egress]}", true, true },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct network_policy_object *policy;

		snprintf(text, sizeof(text), NETWORK_POLICY("%s"), cases[i].spec);
		policy = decode_fine(text);
		assert_int_equal(policy->ingress, cases[i].ingress);
		assert_int_equal(policy->egress, cases[i].egress);
		object_free(&policy->meta);
	}
}

static void a_full_network_policy_is_read(void **state)
{
	struct network_policy_object *policy = decode_fine(NETWORK_POLICY(
		"\n"
		"  podSelector: {matchLabels: {app: api}, matchExpressions: [{key: tier, operator: NotIn, values: [x, "
		"y]}, {key: z, operator: Exists}]}\n"
		"  ingress:\n"
		"  - from:\n"
		"    - {podSelector: {}, namespaceSelector: {matchLabels: {team: a}}}\n"
		"    - ipBlock: {cidr: 10.1.2.3/8, except: [10.1.0.0/16]}\n"
		"    ports: [{port: 80}, {port: http, protocol: UDP}, {port: 1000, endPort: 2000}, {protocol: SCTP}]\n"
		"  egress:\n"
		"  - to: [{ipBlock: {cidr: 'fd00::/8'}}]\n"));
	const struct network_policy_rule *rule = policy->rules[WEFT_INGRESS];

	(void)state;
	assert_int_equal(policy->pod_selector.term_count, 3);
	assert_int_equal(policy->pod_selector.terms[0].operator, SELECTOR_IN);
	assert_string_equal(policy->pod_selector.terms[0].values[0], "api");
	assert_int_equal(policy->pod_selector.terms[1].operator, SELECTOR_NOT_IN);
	assert_int_equal(policy->pod_selector.terms[1].value_count, 2);
	assert_int_equal(policy->pod_selector.terms[2].operator, SELECTOR_EXISTS);
	assert_int_equal(policy->rule_count[WEFT_INGRESS], 1);
	assert_int_equal(rule->peer_count, 2);
	assert_true(rule->peers[0].has_pod_selector && rule->peers[0].has_namespace_selector &&
		    !rule->peers[0].has_ip_block);
	assert_int_equal(rule->peers[0].pod_selector.term_count, 0);
	expect_cidr(&rule->peers[1].ip_block.cidr, "10.0.0.0/8");
	expect_cidr(&rule->peers[1].ip_block.except[0], "10.1.0.0/16");
	assert_int_equal(rule->port_count, 4);
	assert_int_equal(rule->ports[0].protocol, IPPROTO_TCP);
	assert_string_equal(rule->ports[1].port.name, "http");
	assert_int_equal(rule->ports[2].end_port, 2000);
	assert_int_equal(rule->ports[3].port.number, 0);
	assert_int_equal(policy->rule_count[WEFT_EGRESS], 1);
	expect_cidr(&policy->rules[WEFT_EGRESS]->peers[0].ip_block.cidr, "fd00::/8");
	object_free(&policy->meta);
}

static void wrong_network_policies_are_refused_by_path(void **state)
{
	static const char *const cases[][2] = {
		{ "{ingress: [{from: [{}]}]}", "spec.ingress[0].from[0]: must have a podSelector" },
		{ "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}",
		  "spec.ingress[0].from[0].ipBlock: must stand alone" },
		{ "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}",
		  "spec.egress[0].to[0].ipBlock.cidr: \"10.0.0.0/33\"" },
		{ "{egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}]}]}",
		  "spec.egress[0].to[0].ipBlock.cidr: \"10.0.0.1\" has no length" },
		{ "{egress: [{to: [{ipBlock: {}}]}]}", "spec.egress[0].to[0].ipBlock.cidr: is missing" },
		{ "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}",
		  "spec.egress[0].to[0].ipBlock.except: [0]" },
		{ "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
		  "spec.egress[0].to[0].ipBlock.except: [0]" },
		{ "{egress: [{to: [{ipBlock: {cidr: '::/0', except: [10.0.0.0/8]}}]}]}",
		  "spec.egress[0].to[0].ipBlock.except: [0]" },
		{ "{egress: [{ports: [{endPort: 5}]}]}", "spec.egress[0].ports[0].endPort: needs a port" },
		{ "{egress: [{ports: [{port: http, endPort: 5}]}]}", "spec.egress[0].ports[0].endPort: needs a port" },
		{ "{egress: [{ports: [{port: 6, endPort: 5}]}]}",
		  "spec.egress[0].ports[0].endPort: 5 must not be below port 6" },
		{ "{egress: [{ports: [{port: 0}]}]}", "spec.egress[0].ports[0].port: 0 is not a port" },
		{ "{policyTypes: [Both]}", "spec.policyTypes: \"Both\" must be Ingress or Egress" },
		{ "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
		  "spec.podSelector.matchExpressions[0].values: the operator In" },
		{ "{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
		  "spec.podSelector.matchExpressions[0].values" },
		{ "{podSelector: {matchExpressions: [{key: a, operator: Gt}]}}",
		  "spec.podSelector.matchExpressions[0].operator: \"Gt\"" },
		{ "{podSelector: {matchExpressions: [{operator: In}]}}",
		  "spec.podSelector.matchExpressions[0].key: is missing" },
		{ "null", "spec: is missing" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), NETWORK_POLICY("%s"), cases[i][0]);
		expect_refused(text, cases[i][1]);
	}
	expect_reported(NETWORK_POLICY("{podSelector: {}, ingress: [{from: [{podSelector: {}, sctp: 1}]}]}"),
			"spec.ingress[0].from[0]: the field \"sctp\"");
}

/* --- AuthorizationPolicy --- */

static void empty_authorization_policies_deny_or_allow_all(void **state)
{
	struct authorization_policy_object *policy = decode_fine(AUTHORIZATION("{}"));

	(void)state;
	assert_int_equal(policy->action, AUTHORIZE_ALLOW);
	assert_int_equal(policy->rule_count, 0);
	assert_false(policy->dry_run);
	object_free(&policy->meta);
	policy = decode_fine(AUTHORIZATION("{rules: [{}]}"));
	assert_int_equal(policy->rule_count, 1);
	assert_int_equal(policy->rules[0].from_count + policy->rules[0].to_count + policy->rules[0].when_count, 0);
	object_free(&policy->meta);
	policy = decode_fine("{apiVersion: mesh.weft.dev/v1, kind: AuthorizationPolicy, metadata: {name: p}}");
	assert_int_equal(policy->rule_count, 0);
	object_free(&policy->meta);
}

static void a_full_authorization_policy_is_read(void **state)
{
	struct authorization_policy_object *policy = decode_fine(
		"apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\n"
		"metadata: {name: p, annotations: {mesh.weft.dev/dry-run: 'true'}}\n"
		"spec:\n"
		"  selector: {matchLabels: {app: api}}\n"
		"  action: DENY\n"
		"  rules:\n"
		"  - from:\n"
		"    - source: {principals: ['spiffe://cluster.local/ns/a/sa/b', '*/sa/c'], notNamespaces: [x], "
		"ipBlocks: [10.0.0.1, 10.0.0.0/8]}\n"
		"    - source: {serviceAccounts: [a/b], notRemoteIpBlocks: ['fd00::/8']}\n"
		"    to: [{operation: {ports: ['80', '443'], notPorts: ['81']}}]\n"
		"    when:\n"
		"    - {key: source.namespace, values: [a, 'b*']}\n"
		"    - {key: destination.port, notValues: ['8080']}\n"
		"  - to: [{operation: {methods: [GET]}}]\n"
		"  - from: [{source: {requestPrincipals: ['*']}}]\n"
		"  - when: [{key: 'request.headers[x]', values: [y]}, {key: source.ip, values: [10.0.0.0/8]}]\n");
	const struct authorization_rule *rules = policy->rules;

	(void)state;
	assert_int_equal(policy->action, AUTHORIZE_DENY);
	assert_true(policy->dry_run);
	assert_int_equal(policy->selector.term_count, 1);
	assert_int_equal(policy->rule_count, 4);
	assert_string_equal(rules[0].from[0].principals.values[0], "cluster.local/ns/a/sa/b");
	assert_string_equal(rules[0].from[0].principals.values[1], "*/sa/c");
	assert_string_equal(rules[0].from[0].not_namespaces.values[0], "x");
	expect_cidr(&rules[0].from[0].ip_blocks.items[0], "10.0.0.1/32");
	expect_cidr(&rules[0].from[1].not_remote_ip_blocks.items[0], "fd00::/8");
	assert_string_equal(rules[0].from[1].service_accounts.values[0], "a/b");
	assert_int_equal(rules[0].to[0].ports.items[1], 443);
	assert_int_equal(rules[0].to[0].not_ports.items[0], 81);
	assert_string_equal(rules[0].when[0].key, "source.namespace");
	assert_string_equal(rules[0].when[1].not_values.values[0], "8080");
	assert_false(rules[0].http_fields || rules[0].to[0].http_fields || rules[0].from[0].http_fields);
	assert_true(rules[1].to[0].http_fields);
	assert_true(rules[2].from[0].http_fields);
	assert_true(rules[3].http_fields);
	assert_int_equal(rules[3].when_count, 1);
	assert_string_equal(rules[3].when[0].key, "source.ip");
	object_free(&policy->meta);
}

static void wrong_authorization_policies_are_refused_by_path(void **state)
{
	static const char *const cases[][2] = {
		{ "{action: REFUSE}", "spec.action: \"REFUSE\" must be ALLOW, DENY, AUDIT or CUSTOM" },
		{ "{action: DENY}", "spec.rules: is missing" },
		{ "{rules: [{from: []}]}", "spec.rules[0].from: must not be an empty list" },
		{ "{rules: [{from: [{}]}]}", "spec.rules[0].from[0].source: is missing" },
		{ "{rules: [{from: [{source: {}}]}]}", "spec.rules[0].from[0].source: must have at least one field" },
		{ "{rules: [{from: [{source: {principals: []}}]}]}",
		  "spec.rules[0].from[0].source: must have at least one field" },
		{ "{rules: [{from: [{source: {principals: ['']}}]}]}",
		  "spec.rules[0].from[0].source.principals[0]: must not be empty" },
		{ "{rules: [{from: [{source: {ipBlocks: [x]}}]}]}",
		  "spec.rules[0].from[0].source.ipBlocks[0]: \"x\" is not an address block" },
		{ "{rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]}",
		  "spec.rules[0].from[0].source.serviceAccounts" },
		{ "{rules: [{to: [{operation: {ports: [80]}}]}]}",
		  "spec.rules[0].to[0].operation.ports: must be a list of strings (put" },
		{ "{rules: [{to: [{operation: {ports: ['0']}}]}]}",
		  "spec.rules[0].to[0].operation.ports[0]: \"0\" is not a port" },
		{ "{rules: [{to: [{operation: {prots: ['80']}}]}]}",
		  "spec.rules[0].to[0].operation: must have at least one field that Weft knows" },
		{ "{rules: [{when: [{values: [a]}]}]}", "spec.rules[0].when[0].key: is missing" },
		{ "{rules: [{when: [{key: source.ip}]}]}", "spec.rules[0].when[0]: must have values or notValues" },
		{ "{rules: [{when: [{key: source.ip, values: [x]}]}]}",
		  "spec.rules[0].when[0].values: \"x\" is not an address block" },
		{ "{rules: [{when: [{key: destination.port, values: [http]}]}]}",
		  "spec.rules[0].when[0].values: \"http\" is not a port" },
		{ "{rules: [{when: [{key: colour, values: [red]}]}]}",
		  "spec.rules[0].when[0].key: \"colour\" is not a key" },
		{ "{selector: {}, targetRefs: [{kind: Service, name: a}]}",
		  "spec.selector: must not stand beside targetRefs" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), AUTHORIZATION("%s"), cases[i][0]);
		expect_refused(text, cases[i][1]);
	}
}

static void what_l4_cannot_decide_is_reported(void **state)
{
	(void)state;
	expect_reported(AUTHORIZATION("{rules: [{to: [{operation: {ports: ['80'], methods: [GET]}}]}]}"),
			"spec.rules[0].to[0].operation.methods: cannot be decided below HTTP: the rule never matches");
	expect_reported(AUTHORIZATION("{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}"),
			"spec.rules[0].to[0].operation.paths: cannot be decided below HTTP: the rule matches as if");
	expect_reported(AUTHORIZATION("{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}"),
			"spec.rules[0].from[0].source.requestPrincipals");
	expect_reported(AUTHORIZATION("{rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]}"),
			"spec.rules[0].when[0].request.headers[a]");
	expect_reported(AUTHORIZATION("{targetRefs: [{kind: Service, name: a}]}"), "spec.targetRefs: is not supported");
	expect_reported(AUTHORIZATION("{colour: red}"), "spec: the field \"colour\"");
	expect_reported(AUTHORIZATION("{rules: [{from: [{source: {principals: [a], colour: [red]}}]}]}"),
			"spec.rules[0].from[0].source: the field");
	expect_reported("{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, "
			"annotations: {istio.io/dry-run: maybe}}}",
			"neither true nor false");
}

static void a_flood_of_unknown_fields_is_cut_short(void **state)
{
	char text[8192] = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None";
	struct decoded decoded;
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 200; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", f%d: 1", i);
	strcat(text, "}}");
	decoded = decode_text(text);
	for (const char *at = decoded.reports; *at; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 33);
	assert_non_null(strstr(decoded.reports, "and more"));
	object_free(decoded.object);
}

/* --- PeerAuthentication --- */

static void peer_authentication_has_modes(void **state)
{
	struct peer_authentication_object *peer = decode_fine(
		PEER_AUTHENTICATION("{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {80: "
				    "{mode: DISABLE}, '443': {}}}"));

	(void)state;
	assert_int_equal(peer->mode, MTLS_STRICT);
	assert_int_equal(peer->port_mode_count, 2);
	assert_int_equal(peer->port_modes[0].port, 80);
	assert_int_equal(peer->port_modes[0].mode, MTLS_DISABLED);
	assert_int_equal(peer->port_modes[1].mode, MTLS_UNSET);
	object_free(&peer->meta);
	peer = decode_fine("{apiVersion: security.istio.io/v1beta1, kind: PeerAuthentication, metadata: {name: p}}");
	assert_int_equal(peer->mode, MTLS_UNSET);
	object_free(&peer->meta);
	expect_refused(PEER_AUTHENTICATION("{mtls: {mode: ON}}"),
		       "spec.mtls.mode: \"ON\" must be UNSET, DISABLE, PERMISSIVE or STRICT");
	expect_refused(PEER_AUTHENTICATION("{portLevelMtls: {80: {}}}"), "spec.portLevelMtls: needs a selector");
	expect_refused(PEER_AUTHENTICATION("{selector: {matchLabels: {a: b}}, portLevelMtls: {x: {}}}"),
		       "spec.portLevelMtls[x]: \"x\" is not a port");
	expect_reported(PEER_AUTHENTICATION("{mtls: {mode: STRICT, colour: red}}"), "spec.mtls: the field \"colour\"");
}

static int free_strings(void **state)
{
	(void)state;
	intern_free_all();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_known_by_group_and_version),
		cmocka_unit_test(names_and_labels_are_checked),
		cmocka_unit_test(the_digest_covers_what_weft_reads_and_nothing_else),
		cmocka_unit_test(namespaces_are_labelled_with_their_name),
		cmocka_unit_test(nodes_have_addresses_and_a_zone),
		cmocka_unit_test(a_bare_pod_runs_and_is_ready),
		cmocka_unit_test(a_full_pod_is_read),
		cmocka_unit_test(pods_that_do_not_run_are_not_ready),
		cmocka_unit_test(owners_name_the_workload),
		cmocka_unit_test(wrong_pods_are_refused_by_path),
		cmocka_unit_test(a_service_is_defaulted_as_the_api_does),
		cmocka_unit_test(a_full_service_is_read),
		cmocka_unit_test(services_without_addresses_are_told_apart),
		cmocka_unit_test(wrong_services_are_refused_by_path),
		cmocka_unit_test(what_is_not_honoured_in_services_is_reported),
		cmocka_unit_test(a_slice_has_an_entry_for_each_address),
		cmocka_unit_test(wrong_slices_are_refused_by_path),
		cmocka_unit_test(policy_types_are_defaulted),
		cmocka_unit_test(a_full_network_policy_is_read),
		cmocka_unit_test(wrong_network_policies_are_refused_by_path),
		cmocka_unit_test(empty_authorization_policies_deny_or_allow_all),
		cmocka_unit_test(a_full_authorization_policy_is_read),
		cmocka_unit_test(wrong_authorization_policies_are_refused_by_path),
		cmocka_unit_test(what_l4_cannot_decide_is_reported),
		cmocka_unit_test(a_flood_of_unknown_fields_is_cut_short),
		cmocka_unit_test(peer_authentication_has_modes),
	};

	return cmocka_run_group_tests(tests, NULL, free_strings);
}
