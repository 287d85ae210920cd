# SPDX-License-Identifier: Apache-2.0
# A pod of one node and a Service whose pod is on the next, routed, with 1,000 Services. On nodes 1 and 2 Weft makes them work,
# with 500 policies besides; on nodes 3 and 4 kube-proxy does, as without a mesh.
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

topology routed 4
pod client1 1 app=client
pod server2 2 app=server name=server2
pod client3 3 app=client
pod server4 4 app=server name=server4
address_for server2 10.96.0.2
address_for server4 10.96.0.4
allow_load
many_services "$MANIFESTS" 1000 10 10.128.0.0 8080
many_policies "$MANIFESTS" 500 "app: server"
masquerade 1 2 3 4
for node in 3 4; do
	kube_proxy "$node" 1000 10 10.96.0.2=server2 10.96.0.4=server4
done
serve_all_loads server2
serve_all_loads server4
start_agent 1
start_agent 2

# two_nodes NAME LIMIT UNIT SUBCOMMAND PORT
two_nodes()
{
	paired "two-nodes-$1" "$2" "$3" \
		load_from client1 "$4" 10.96.0.2 "$5" "$MILLISECONDS" -- \
		load_from client3 "$4" 10.96.0.4 "$5" "$MILLISECONDS"
}

two_nodes round-trip "<= 1.03" us rtt $ECHO_PORT
two_nodes stream ">= 0.97" Gbit/s stream $SINK_PORT
two_nodes connects ">= 0.97" connections/s connect $CLOSE_PORT
