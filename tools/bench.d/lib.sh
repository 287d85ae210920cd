# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the cases of tools/bench: each is a script of its own with a cluster of its own, made by the library of the
# integration tests. A case adds lines to $BENCH_RESULTS with `result`.

. "$(dirname "${BASH_SOURCE[0]}")/../../tests/integration/lib.sh"
PATH=$BUILD/tests/bench:$PATH

# What is measured runs on one CPU, clients and servers alike, and the agent on another if there is one. Its real-time
# priority keeps out what else runs on the machine: an idle machine gives the same figures, with less luck.
LOAD_CPU=0
AGENT_CPU=$(($(nproc) > 1))
ON_LOAD_CPU=(taskset -c "$LOAD_CPU")
! chrt -f 10 true 2>/dev/null || ON_LOAD_CPU+=(chrt -f 10)
PAIRS=${BENCH_PAIRS:-61}
MILLISECONDS=${BENCH_MILLISECONDS:-100} # each measurement

# result CASE VALUE UNIT LIMIT DETAIL: LIMIT is "<= 0.85", ">= 1.03", or "-" for a figure that is only shown.
result()
{
	printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$BENCH_RESULTS"
}

# median of the numbers on stdin
median()
{
	sort -g | awk '{ value[NR] = $1 } END { printf "%.4f\n", (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'
}

# interleaved VARIANT COMMAND… -- VARIANT COMMAND… [-- …]: measures them by turns, $PAIRS times, every other time in
# reverse order, so that a drift of the machine falls on all. One line a turn in $RUN/turns: the values in order of the
# variants.
interleaved()
{
	local turn index place value commands=('') values

	for value; do
		if [ "$value" = -- ]; then
			commands+=('')
		else
			commands[-1]+="$(printf '%q ' "$value")"
		fi
	done
	: >"$RUN/turns"
	for ((turn = 0; turn < PAIRS; turn++)); do
		values=()
		for ((index = 0; index < ${#commands[@]}; index++)); do
			place=$((turn % 2 ? ${#commands[@]} - 1 - index : index))
			value=$(eval "${commands[place]}") || bail_out "this failed: ${commands[place]}"
			values[place]=$value
		done
		echo "${values[*]}" >>"$RUN/turns"
	done
}

# column N: the values of the Nth variant
column()
{
	awk -v column="$1" '{ print $column }' "$RUN/turns"
}

# ratios N M: variant N to variant M, turn by turn
ratios()
{
	awk -v n="$1" -v m="$2" '{ printf "%.6f\n", $n / $m }' "$RUN/turns"
}

# paired CASE LIMIT UNIT COMMAND… -- COMMAND… [-- COMMAND…]: the median of the ratios of the first to the second; how it
# compares with a third, called $BESIDE, is told in the detail.
paired()
{
	local case=$1 limit=$2 unit=$3 quartiles detail

	shift 3
	interleaved "$@"
	quartiles=$(ratios 1 2 | sort -g | awk '{ value[NR] = $1 } END { printf "%.3f..%.3f", value[int(NR / 4) + 1], value[NR - int(NR / 4)] }')
	detail="$(column 1 | median) against $(column 2 | median) $unit, $PAIRS pairs, middle half $quartiles"
	[ -z "$(column 3 | head -n 1)" ] || detail+="; $(ratios 1 3 | median) of $BESIDE ($(column 3 | median))"
	result "$case" "$(ratios 1 2 | median)" ratio "$limit" "$detail"
}

# What every node of a bridge CNI has, mesh or not: masquerading of what leaves the cluster. With it the kernel tracks
# the connections of packets that take the host's path.
masquerade()
{
	local node

	for node; do
		in_node "$node" nft -f - <<-NFT
		table ip cni {
			chain postrouting {
				type nat hook postrouting priority srcnat;
				ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade
			}
		}
		NFT
	done
}

# kube_proxy NODE COUNT ENDPOINTS ADDRESS=POD…: what makes Services work without a mesh, as kube-proxy lays it out in
# its default mode (iptables; here as iptables-nft gives it to the kernel): a rule for each Service port, tried in order
# by the first packet of a connection, a chain for the Service, a chain for each endpoint. COUNT Services of
# many_services, and in their middle each ADDRESS with the load ports leading to one POD.
kube_proxy()
{
	local node=$1 count=$2 endpoints=$3 pair targets=''

	shift 3
	for pair; do
		targets+="${pair%%=*} ${POD_IP4[${pair#*=}]} "
	done
	awk -v count="$count" -v endpoints="$endpoints" -v targets="$targets" -v ports="$ECHO_PORT $SINK_PORT $CLOSE_PORT" '
	function address(number) { return "10." int(number / 65536) % 256 "." int(number / 256) % 256 "." number % 256 }
	function endpoint(ip, number) {
		printf "chain endpoint-%d {\n ip saddr %s counter jump mark-for-masquerade\n", ++made, ip
		printf " ip protocol tcp counter dnat to %s:%d\n}\n", ip, number
		return (listed++ ? ", " : "") listed - 1 " : goto endpoint-" made
	}
	function service(ip, number, list) {
		printf "chain service-%d {\n ip saddr != 10.244.0.0/16 counter jump mark-for-masquerade\n", ++services
		printf " numgen random mod %d vmap { %s }\n}\n", listed, list
		rules = rules " ip daddr " ip " tcp dport " number " counter jump service-" services "\n"
		listed = 0
	}
	function measured(  n, p) {
		for (n = split(targets, target, " "); n > 0; n -= 2)
			for (p in port) service(target[n - 1], port[p], endpoint(target[n], port[p]))
	}
	BEGIN {
		split(ports, port, " ")
		print "table ip kube-proxy {\nchain mark-for-masquerade {\n counter meta mark set meta mark or 0x4000\n}"
		for (n = 0; n < count; n++) {
			if (n == int(count / 2)) measured()
			list = ""
			for (e = 0; e < endpoints; e++) list = list endpoint(address(128 * 65536 + n * endpoints + e), 8080)
			service(address(100 * 65536 + n), 80, list)
		}
		print "chain services {\n" rules "}"
		print "chain prerouting {\n type nat hook prerouting priority dstnat\n counter jump services\n}"
		print "chain output {\n type nat hook output priority -100\n counter jump services\n}"
		print "chain postrouting {\n type nat hook postrouting priority srcnat\n meta mark and 0x4000 == 0 counter return"
		print " counter meta mark set meta mark xor 0x4000\n counter masquerade fully-random\n}\n}"
	}' >"$RUN/kube-proxy.nft"
	in_node "$node" nft -f "$RUN/kube-proxy.nft" || bail_out "nft does not take the rules of kube-proxy"
}

# load_from POD SUBCOMMAND…
load_from()
{
	in_pod "$1" "${ON_LOAD_CPU[@]}" load "${@:2}"
}

# serve_load POD KIND PORT: returns when it listens
serve_load()
{
	local name=$1 line

	rm -f "$RUN/ready"
	mkfifo "$RUN/ready"
	in_pod "$name" "${ON_LOAD_CPU[@]}" load serve "$2" "$3" >"$RUN/ready" 2>>"$RUN/load-$name.log" &
	read -r -t 10 line <"$RUN/ready"
	[ "${line-}" = ready ] || bail_out "no load server in pod $name"
}

ECHO_PORT=8080 SINK_PORT=8081 CLOSE_PORT=8082

serve_all_loads()
{
	serve_load "$1" echo "$ECHO_PORT"
	serve_load "$1" sink "$SINK_PORT"
	serve_load "$1" close "$CLOSE_PORT"
}

# As start_weftd, on the agent's CPU and as undisturbed there as the load is on its own.
start_agent()
{
	launch_weftd "$@"
	taskset -a -p -c "$AGENT_CPU" "${WEFTD_PID[$1]}" >/dev/null
	! chrt -f 10 true 2>/dev/null || chrt -a -f -p 10 "${WEFTD_PID[$1]}"
	wait_ready "$1" || bail_out "weftd of node $1 did not become ready"
}

# --- manifests by the thousand ---

# many_services DIRECTORY COUNT ENDPOINTS FIRST-ENDPOINT-ADDRESS PORT: a file for each Service with its EndpointSlice,
# as a cluster has them. Service number N has the address 10.100.0.0 + N; endpoints have consecutive addresses.
many_services()
{
	awk -v directory="$1" -v count="$2" -v endpoints="$3" -v first="$4" -v port="$5" '
	function address(number) {
		return int(number / 16777216) % 256 "." int(number / 65536) % 256 "." int(number / 256) % 256 "." number % 256
	}
	BEGIN {
		split(first, byte, ".")
		next_endpoint = ((byte[1] * 256 + byte[2]) * 256 + byte[3]) * 256 + byte[4]
		for (n = 0; n < count; n++) {
			file = directory "/service-" n ".yaml"
			printf "apiVersion: v1\nkind: Service\nmetadata:\n  name: service-%d\n  namespace: shop-%d\nspec:\n", n, n % 50 >file
			printf "  clusterIP: %s\n  clusterIPs: [%s]\n", address(174325760 + n), address(174325760 + n) >file
			printf "  selector: {app: service-%d}\n  ports:\n  - {name: main, port: 80, targetPort: %d}\n", n, port >file
			printf "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n" >file
			printf "  name: service-%d-x7k2p\n  namespace: shop-%d\n", n, n % 50 >file
			printf "  labels: {kubernetes.io/service-name: service-%d}\n", n >file
			printf "addressType: IPv4\nports:\n- {name: main, port: %d, protocol: TCP}\nendpoints:\n", port >file
			for (e = 0; e < endpoints; e++) {
				printf "- addresses: [%s]\n", address(next_endpoint++) >file
				printf "  conditions: {ready: true, serving: true, terminating: false}\n" >file
				printf "  nodeName: worker-%d\n", (n + e) % 100 >file
				printf "  targetRef: {kind: Pod, name: service-%d-5d4f8b7c9-%05d}\n", n, e >file
			}
			close(file)
		}
	}'
}

# many_policies DIRECTORY COUNT SELECTOR: NetworkPolicies of the namespace default. Every tenth selects by SELECTOR
# ("app: server"), the others pods that are not there; each has rules by pod, by namespace and by address, with ports.
many_policies()
{
	awk -v directory="$1" -v count="$2" -v selector="$3" '
	BEGIN {
		for (n = 0; n < count; n++) {
			file = directory "/policies-" int(n / 100) ".yaml"
			printf "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: policy-%d, namespace: default}\n", n >file
			printf "spec:\n  podSelector: {matchLabels: {%s}}\n", n % 10 ? "app: other-" n : selector >file
			printf "  policyTypes: [Ingress]\n  ingress:\n" >file
			printf "  - from: [{podSelector: {matchLabels: {app: client-%d}}}]\n", n >file
			printf "    ports: [{protocol: TCP, port: %d}]\n", 1000 + n >file
			printf "  - from: [{namespaceSelector: {matchLabels: {team: team-%d}}}]\n", n % 20 >file
			printf "    ports: [{protocol: TCP, port: %d, endPort: %d}]\n", 20000 + n, 20010 + n >file
			printf "  - from: [{ipBlock: {cidr: 172.%d.%d.0/24}}]\n", 16 + int(n / 256), n % 256 >file
		}
	}'
}

# The policy that lets the measured traffic through, in both directions.
allow_load()
{
	manifest allow-load <<-YAML
	apiVersion: networking.k8s.io/v1
	kind: NetworkPolicy
	metadata: {name: allow-load, namespace: default}
	spec:
	  podSelector: {matchLabels: {app: server}}
	  policyTypes: [Ingress]
	  ingress:
	  - from: [{podSelector: {matchLabels: {app: client}}}]
	    ports: [{protocol: TCP, port: $ECHO_PORT, endPort: $CLOSE_PORT}]
	---
	apiVersion: networking.k8s.io/v1
	kind: NetworkPolicy
	metadata: {name: limit-client, namespace: default}
	spec:
	  podSelector: {matchLabels: {app: client}}
	  policyTypes: [Egress]
	  egress:
	  - to: [{podSelector: {matchLabels: {app: server}}}]
	YAML
}
