# SPDX-License-Identifier: Apache-2.0
# The cluster itself, without a mesh: what the other tests stand on.
. "$(dirname "$0")/lib.sh"

both_networks "$@"
topology "$NETWORK" 2
pod client 1 app=client
pod near 1 app=server
pod far 2 app=server
serve near tcp:8080 udp:5300
serve far tcp:8080 udp:5300

for name in near far; do
	for address in "${POD_IP4[$name]}" "${POD_IP6[$name]}"; do
		expect "TCP to $name at $address" "$name" in_pod client peer ask tcp "$address" 8080 1 100000
		expect "UDP to $name at $address" "$name" in_pod client peer ask udp "$address" 5300
		expect "unconnected UDP to $name" "$name .*$address.*:5300" in_pod client peer sendto "$address" 5300
		expect "a port without a server refuses" "connect ECONNREFUSED" in_pod client peer ask tcp "$address" 81
		expect "the node reaches $name" "$name" in_node 1 peer ask tcp "$address" 8080
	done
done
expect "the server sees the client's own address" "${POD_IP4[near]}:8080" in_pod client peer name "${POD_IP4[near]}" 8080
finish
