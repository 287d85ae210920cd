# SPDX-License-Identifier: Apache-2.0
# Two pods of one node on a bridge: with the mesh (short way, policy, telemetry) against without.
. "$(dirname "$0")/lib.sh"

topology bridge 2
pod client 1 app=client
pod server 1 app=server
pod plain-client 2 app=plain
pod plain-server 2 app=plain
allow_load
serve_all_loads server
serve_all_loads plain-server
start_agent 1 --short-way=on # node 2 has no mesh

paired same-node-round-trip "<= 0.85" us \
	load_from client rtt "${POD_IP4[server]}" $ECHO_PORT "$MILLISECONDS" -- \
	load_from plain-client rtt "${POD_IP4[plain-server]}" $ECHO_PORT "$MILLISECONDS"
paired same-node-stream ">= 1.03" Gbit/s \
	load_from client stream "${POD_IP4[server]}" $SINK_PORT "$MILLISECONDS" -- \
	load_from plain-client stream "${POD_IP4[plain-server]}" $SINK_PORT "$MILLISECONDS"
paired same-node-connects ">= 1.03" connections/s \
	load_from client connect "${POD_IP4[server]}" $CLOSE_PORT "$MILLISECONDS" -- \
	load_from plain-client connect "${POD_IP4[plain-server]}" $CLOSE_PORT "$MILLISECONDS"
