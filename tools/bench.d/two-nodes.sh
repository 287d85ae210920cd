# SPDX-License-Identifier: Apache-2.0
# A pod of one node and a pod of the next, routed: nodes 1 and 2 have the mesh with 1,000 Services and 500 policies loaded,
# nodes 3 and 4 have none.
. "$(dirname "$0")/lib.sh"

topology routed 4
pod client 1 app=client
pod server 2 app=server
pod plain-client 3 app=plain
pod plain-server 4 app=plain
allow_load
many_services "$MANIFESTS" 1000 10 10.128.0.0 8080
many_policies "$MANIFESTS" 500 "app: server"
serve_all_loads server
serve_all_loads plain-server
start_agent 1
start_agent 2

paired two-nodes-round-trip "<= 1.03" us \
	load_from client rtt "${POD_IP4[server]}" $ECHO_PORT "$MILLISECONDS" -- \
	load_from plain-client rtt "${POD_IP4[plain-server]}" $ECHO_PORT "$MILLISECONDS"
paired two-nodes-stream ">= 0.97" Gbit/s \
	load_from client stream "${POD_IP4[server]}" $SINK_PORT "$MILLISECONDS" -- \
	load_from plain-client stream "${POD_IP4[plain-server]}" $SINK_PORT "$MILLISECONDS"
paired two-nodes-connects ">= 0.97" connections/s \
	load_from client connect "${POD_IP4[server]}" $CLOSE_PORT "$MILLISECONDS" -- \
	load_from plain-client connect "${POD_IP4[plain-server]}" $CLOSE_PORT "$MILLISECONDS"
