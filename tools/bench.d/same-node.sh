# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Two pods of one node on a bridge: with the mesh (short way, policy, telemetry) against without. Both nodes are as a
# bridge CNI leaves them, with its masquerading; a third, bare bridge without netfilter, which no cluster has, is shown
# beside them.
. "$(dirname "$0")/lib.sh"

topology bridge 3
for node in 1 2 3; do
	pod "client$node" "$node" app=client
	pod "server$node" "$node" app=server
	serve_all_loads "server$node"
done
masquerade 1 2
allow_load
start_agent 1 --short-way=on # the other nodes have no mesh

BESIDE="a bare bridge without netfilter"

# same_node NAME LIMIT UNIT SUBCOMMAND PORT
same_node()
{
	paired "same-node-$1" "$2" "$3" \
		load_from client1 "$4" "${POD_IP4[server1]}" "$5" "$MILLISECONDS" -- \
		load_from client2 "$4" "${POD_IP4[server2]}" "$5" "$MILLISECONDS" -- \
		load_from client3 "$4" "${POD_IP4[server3]}" "$5" "$MILLISECONDS"
}

same_node round-trip "<= 0.85" us rtt $ECHO_PORT
same_node stream ">= 1.03" Gbit/s stream $SINK_PORT
same_node connects ">= 1.03" connections/s connect $CLOSE_PORT
