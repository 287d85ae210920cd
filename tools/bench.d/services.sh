# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Connecting to Services when there are 10,000 with 100,000 backends (node 2), against 10 with 100 (node 1). One pod of
# each node answers for all backend addresses, so that every connection really stands.
. "$(dirname "$0")/lib.sh"

topology bridge 2
for node in 1 2; do
	mkdir "$RUN/manifests$node"
	cp "$MANIFESTS"/* "$RUN/manifests$node"
done

# all_addresses NODE: the server pod takes 10.200.0.0/15 for its own
all_addresses()
{
	in_pod "server$1" ip route add local 10.200.0.0/15 dev lo
	in_node "$1" ip route add 10.200.0.0/15 via "${POD_IP4[server$1]}"
	serve_load "server$1" close $CLOSE_PORT
}

for node in 1 2; do
	MANIFESTS=$RUN/manifests$node
	pod "client$node" "$node" app=client
	pod "server$node" "$node" app=server
	many_services "$MANIFESTS" $((node == 1 ? 10 : 10000)) 10 10.200.0.0 $CLOSE_PORT
	all_addresses "$node"
	start_agent "$node"
done

paired connect-10000-services "<= 1.05" us \
	load_from client2 services 10.100.0.0 10000 80 "$MILLISECONDS" -- \
	load_from client1 services 10.100.0.0 10 80 "$MILLISECONDS"
