# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A pod of one node and a pod of the next, routed: nodes 1 and 2 with the mesh, 1,000 Services and 500 policies loaded,
# against nodes 3 and 4 without. Beside it the same by a Service's address, against nodes 5 and 6 where kube-proxy makes
# 1,000 Services work. All six have a CNI's masquerading.
. "$(dirname "$0")/lib.sh"

# address_for NAME ADDRESS: a Service with the ports of the loads
address_for()
{
	manifest "service-$1" <<-YAML
	apiVersion: v1
	kind: Service
	metadata: {name: $1, namespace: default}
	spec:
	  clusterIP: $2
	  clusterIPs: [$2]
	  selector: {name: $1}
	  ports:
	  - {name: echo, port: $ECHO_PORT}
	  - {name: sink, port: $SINK_PORT}
	  - {name: close, port: $CLOSE_PORT}
	YAML
}

topology routed 6
for node in 1 3 5; do
	pod "client$node" "$node" app=client
	pod "server$((node + 1))" $((node + 1)) app=server "name=server$((node + 1))"
	serve_all_loads "server$((node + 1))"
done
address_for server2 10.96.0.2
allow_load
many_services "$MANIFESTS" 1000 10 10.128.0.0 8080
many_policies "$MANIFESTS" 500 "app: server"
masquerade 1 2 3 4 5 6
kube_proxy 5 1000 10 10.96.0.6=server6
kube_proxy 6 1000 10 10.96.0.6=server6
start_agent 1
start_agent 2

# two_nodes NAME LIMIT UNIT SUBCOMMAND PORT: by a Service's address, as programs in a cluster talk, both sides with 1,000
# Services loaded; beside it by a pod's own address, where there is nothing that the mesh does instead of kube-proxy.
two_nodes()
{
	paired "two-nodes-$1" "$2" "$3" \
		load_from client1 "$4" 10.96.0.2 "$5" "$MILLISECONDS" -- \
		load_from client5 "$4" 10.96.0.6 "$5" "$MILLISECONDS"
	paired "two-nodes-address-$1" - "$3" \
		load_from client1 "$4" "${POD_IP4[server2]}" "$5" "$MILLISECONDS" -- \
		load_from client3 "$4" "${POD_IP4[server4]}" "$5" "$MILLISECONDS"
}

two_nodes round-trip "<= 1.03" us rtt $ECHO_PORT
two_nodes stream ">= 0.97" Gbit/s stream $SINK_PORT
two_nodes connects ">= 0.97" connections/s connect $CLOSE_PORT
