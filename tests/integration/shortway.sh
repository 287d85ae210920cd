# SPDX-License-Identifier: Apache-2.0
# Between two pods of a node packets go from interface to interface, around the host's path, and are plain IP in every respect.
. "$(dirname "$0")/lib.sh"

both_networks "$@"
topology "$NETWORK" 1
pod a 1 app=a
pod b 1 app=b
serve a tcp:8080 udp:5300
serve b tcp:8080 udp:5300
service b 1 app=b tcp:80:8080
start_mesh --short-way=on

# Packets that the host queued towards a pod: the short way enters the pod's namespace behind the queue. (The counters of the
# interface itself tell nothing: newer kernels count the short way there, too.)
ip netns exec "$CLUSTER-node1" tc qdisc replace dev v-b root pfifo
host_packets()
{
	tc -n "$CLUSTER-node1" -s -j qdisc show dev "$1" root | jq '.[0].packets'
}

# way INTERFACE COMMAND…: which way the packets of COMMAND (200 or more to the pod behind INTERFACE) took.
way()
{
	local interface=$1 before after

	before=$(host_packets "$interface")
	shift
	"$@" >/dev/null || echo "failed:"
	after=$(host_packets "$interface")
	[ $((after - before)) -lt 50 ] && echo short || echo long
}

for address in "${POD_IP4[b]}" "${POD_IP6[b]}"; do
	expect "TCP works" b in_pod a peer ask tcp "$address" 8080 1 1000000
	expect "UDP works" b in_pod a peer ask udp "$address" 5300
	expect_ok "ping works" in_pod a ping -c 2 -i 0.2 -W $((2 * SLOWER)) "$address"
	expect "many connections take the short way" short way v-b in_pod a peer ask tcp "$address" 8080 100 64
	expect "many datagrams take it" short way v-b in_pod a peer ask udp "$address" 5300 200
	expect "the server sees the client's own address" "$address:8080" in_pod a peer name "$address" 8080
	expect "a port without a server refuses" "connect ECONNREFUSED" in_pod a peer ask tcp "$address" 81
done
expect "through the service" short way v-b in_pod a peer ask tcp 10.96.0.1 80 100 64
expect "the node still reaches the pod" b in_node 1 peer ask tcp "${POD_IP4[b]}" 8080

manifest deny <<YAML
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: default},
 spec: {podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress]}}
YAML
becomes "policy holds on the short way" 5 "connect ECONNREFUSED" in_pod a peer ask tcp "${POD_IP4[b]}" 8080
expect "policy holds on the short way, IPv6" "connect ECONNREFUSED" in_pod a peer ask tcp "${POD_IP6[b]}" 8080
delete_manifest deny
becomes "and opens again" 5 b in_pod a peer ask tcp "${POD_IP4[b]}" 8080

# Interfaces that are renamed, go and come.
ip -n "$CLUSTER-node1" -batch - <<BATCH
link set v-b down
link set v-b name renamed
link set renamed up
BATCH
[ "$NETWORK" = bridge ] || ip -n "$CLUSTER-node1" -batch - <<BATCH
route replace ${POD_IP4[b]}/32 dev renamed
route replace ${POD_IP6[b]}/128 dev renamed
address replace fe80::1/64 dev renamed nodad
BATCH
in_pod b sh -c "ip link set eth0 up"
[ "$NETWORK" = bridge ] || in_pod b ip route replace default via fe80::1 dev eth0
becomes "a renamed interface works" 5 b in_pod a peer ask tcp "${POD_IP4[b]}" 8080
expect "and keeps the short way" short way renamed in_pod a peer ask tcp "${POD_IP4[b]}" 8080 100 64

ip -n "$CLUSTER-node1" link delete v-a
ip -n "$CLUSTER-node1" link add v-a type veth peer name eth0 netns "${POD_NETNS[a]}"
"connect_pod_$NETWORK" a 1 "${POD_NETNS[a]}" "$CLUSTER-node1"
becomes "a pod whose interface was made anew works" 5 b in_pod a peer ask tcp "${POD_IP4[b]}" 8080
manifest deny <<YAML
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: default},
 spec: {podSelector: {matchLabels: {app: a}}, policyTypes: [Ingress]}}
YAML
becomes "and has its policy" 5 "connect ECONNREFUSED" in_pod b peer ask tcp "${POD_IP4[a]}" 8080
delete_manifest deny

# off, and auto beside another engine
stop_weftd 1
start_weftd 1 --short-way=off
expect "off: the host's path is taken" long \
	way renamed in_pod a peer ask tcp "${POD_IP4[b]}" 8080 100 64
stop_weftd 1
in_node 1 nft -f - <<NFT
table inet filter {
	chain forward {
		type filter hook forward priority 0
		ip saddr 192.0.2.1 drop
	}
}
NFT
start_weftd 1 --short-way=auto
expect "auto beside a forward chain with rules: the host's path" long \
	way renamed in_pod a peer ask tcp "${POD_IP4[b]}" 8080 100 64
expect "and status says why" ".*(filter|nftables).*" meshctl1 status
in_node 1 nft delete table inet filter
finish
