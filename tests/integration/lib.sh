# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A cluster on one machine: nodes and pods are network namespaces, manifests are files, and each node has its own weftd. For the
# integration tests, tools/demo and tools/bench.
#
#	. "$(dirname "$0")/lib.sh"
#	topology bridge 2                   # nodes node1, node2
#	pod client 1 app=client             # a pod of node 1
#	pod web 2 app=web
#	serve web tcp:8080 udp:5300         # tests/integration/peer.c
#	manifest web-service <<-YAML …      # or: service web 10.96.0.1 app=web tcp:80:8080
#	start_mesh                          # weftd on each node, ready
#	expect "a pod reaches the service" web in_pod client peer ask tcp 10.96.0.1 80
#	finish
#
# Everything carries the process id in its name, so runs do not meet; everything is gone at the end, however it comes.

set -u
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

BUILD=${WEFT_BUILD:-$WEFT_ROOT/build/release}
PATH=$BUILD:$BUILD/tests/integration:$PATH:/usr/sbin:/sbin
CLUSTER=weft$$
SLOWER=1 # emulated guests take their time
[ -z "${WEFT_IN_GUEST-}" ] || SLOWER=12

declare -A POD_NETNS POD_NODE POD_IP4 POD_IP6 WEFTD_PID SERVER_PID HELD_IN HELD_OUT
NODES=()
NETWORK=bridge
TESTS=0
FAILURES=0
PODS_MADE=0

# --- conditions ---

# eventually SECONDS COMMAND…: until COMMAND succeeds; 1 when it does not in SECONDS (more in a guest).
eventually()
{
	local deadline=$((SECONDS + $1 * SLOWER + 1))

	shift
	until "$@" >"$RUN/eventually" 2>&1; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			return 1
		fi
		pause
	done
}

# --- results ---

ok()
{
	TESTS=$((TESTS + 1))
	printf 'ok %d - %s\n' "$TESTS" "$1"
}

# not_ok DESCRIPTION [DETAIL]
not_ok()
{
	TESTS=$((TESTS + 1))
	FAILURES=$((FAILURES + 1))
	printf 'not ok %d - %s\n' "$TESTS" "$1"
	[ -z "${2-}" ] || sed 's/^/#   /' <<<"$2"
}

# The command's output on one line: words as they are, lines joined by a blank.
one_line()
{
	local output status

	output=$("$@" 2>&1 </dev/null)
	status=$?
	printf '%s' "${output//$'\n'/ }"
	return $status
}

# expect DESCRIPTION REGEX COMMAND…: the whole output (lines joined) must match the extended regular expression.
expect()
{
	local description=$1 regex=$2 output

	shift 2
	output=$(one_line "$@")
	if [[ $output =~ ^($regex)$ ]]; then
		ok "$description"
	else
		not_ok "$description" "$(printf 'command:  %s\nexpected: %s\ngot:      %s' "$*" "$regex" "$output")"
	fi
}

# becomes DESCRIPTION SECONDS REGEX COMMAND…: as expect, but it may take SECONDS to come true.
becomes()
{
	local description=$1 seconds=$2 regex=$3

	shift 3
	eventually "$seconds" output_matches "$regex" "$@"
	expect "$description" "$regex" "$@"
}

output_matches()
{
	local regex=$1 output

	shift
	output=$(one_line "$@")
	[[ $output =~ ^($regex)$ ]]
}

expect_ok()
{
	local description=$1 output

	shift
	if output=$("$@" 2>&1 </dev/null); then
		ok "$description"
	else
		not_ok "$description" "$(printf 'command: %s\nstatus:  %d\n%s' "$*" $? "$output")"
	fi
}

# expect_failure DESCRIPTION COMMAND…
expect_failure()
{
	local description=$1 output

	shift
	if output=$("$@" 2>&1 </dev/null); then
		not_ok "$description" "$(printf 'command succeeded: %s\n%s' "$*" "$output")"
	else
		ok "$description"
	fi
}

# skip REASON: this machine cannot run the test at all. Shown in the report.
skip()
{
	printf 'SKIP: %s\n' "$1"
	exit 77
}

bail_out()
{
	printf 'Bail out! %s\n' "$*"
	FAILURES=$((FAILURES + 1))
	exit 1
}

# both_networks "$@": a test that begins with this runs once with a bridge and once routed; $NETWORK says which.
both_networks()
{
	local network child status=0

	if [ $# -gt 0 ]; then
		NETWORK=$1
		return
	fi
	for network in bridge routed; do
		printf '# --- %s\n' "$network"
		bash "$0" "$network" &
		child=$!
		trap 'kill -TERM $child 2>/dev/null; wait $child; exit 143' INT TERM
		wait $child || status=$?
	done
	exit "$status"
}

# At the end of each test. Without it the test counts as failed.
finish()
{
	printf '1..%d\n' "$TESTS"
	[ "$FAILURES" -eq 0 ] || exit 1
	exit 0
}

show_logs()
{
	local log

	for log in "$RUN"/*.log; do
		[ -s "$log" ] || continue
		printf '# --- last lines of %s\n' "${log##*/}"
		tail -n 30 "$log" | cut -c 1-240 | sed 's/^/# /'
	done
}

leave()
{
	local status=$?

	trap '' INT TERM HUP PIPE # what is shown first may find nobody who reads it
	[ "$status" -eq 0 ] || [ "$status" -eq 77 ] || show_logs
	run_cleanup
	exit "$status"
}

# --- the run's own places ---

find_cgroup2()
{
	awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts
}

open_run()
{
	local cgroup2

	need_root
	cleanup_at_exit
	trap leave EXIT
	RUN=$(mktemp -d "${TMPDIR:-/tmp}/$CLUSTER.XXXXXX")
	at_end rm -rf "$RUN"
	MANIFESTS=$RUN/manifests
	mkdir "$MANIFESTS" "$RUN/bpffs"
	mount -t bpf bpf "$RUN/bpffs" || bail_out "no bpffs can be mounted"
	at_end umount "$RUN/bpffs"
	cgroup2=$(find_cgroup2)
	[ -n "$cgroup2" ] || bail_out "no cgroup2 is mounted"
	CGROUP=$cgroup2/$CLUSTER
	mkdir "$CGROUP"
	at_end remove_cgroups
	at_end end_processes
}

remove_cgroups()
{
	find "$CGROUP" -depth -type d -exec rmdir {} +
}

# Whatever still runs in a node's cgroup: servers of pods, clients, workers of nginx. weftd's are its children.
end_processes()
{
	local pid

	for pid in "${WEFTD_PID[@]}"; do
		kill -TERM "$pid"
	done
	for pid in $(cat "$CGROUP"/*/cgroup.procs); do
		kill -KILL "$pid"
	done
	for pid in "${WEFTD_PID[@]}"; do
		timeout $((5 * SLOWER)) tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
	done
	wait
	eventually 10 cgroups_empty
} 2>/dev/null # some have ended already, and the shell tells of each that did not end by itself

cgroups_empty()
{
	! cat "$CGROUP"/*/cgroup.procs 2>/dev/null | grep -q .
}

# --- nodes and pods ---

# in_netns NETNS CGROUP COMMAND…: replaces a subshell, so that $! is the command itself.
in_netns()
(
	echo "$BASHPID" >"$2/cgroup.procs" || exit 1
	exec nsenter --net="/run/netns/$1" "${@:3}"
)

in_node()
{
	in_netns "$CLUSTER-node$1" "$CGROUP/node$1" "${@:2}"
}

in_pod()
{
	in_netns "${POD_NETNS[$1]}" "$CGROUP/node${POD_NODE[$1]}" "${@:2}"
}

make_netns()
{
	ip netns add "$1" || bail_out "no network namespace can be made"
	at_end ip netns delete "$1"
	nsenter --net="/run/netns/$1" sh -c '
		ip link set lo up
		cd /proc/sys/net
		# duplicate address detection would make every test wait for a second
		for one in all default; do echo 0 >ipv6/conf/$one/accept_dad; done
		echo 0 >ipv6/conf/default/dad_transmits
		echo 0 >ipv6/conf/default/router_solicitations
		echo 0 2147483647 >ipv4/ping_group_range'
}

# topology bridge|routed [COUNT]: nodes and what joins them: 1 with 2, 3 with 4.
topology()
{
	local count=${2:-1} index

	NETWORK=$1
	open_run
	for ((index = 1; index <= count; index++)); do
		make_node "$index"
	done
	if [ "$count" -eq 1 ]; then
		ip -n "$CLUSTER-node1" address add 192.168.77.1/32 dev lo
		ip -n "$CLUSTER-node1" address add fd00:77::1/128 dev lo
	else
		for ((index = 1; index < count; index += 2)); do
			join_nodes "$index" $((index + 1))
		done
	fi
	namespace default
}

make_node()
{
	local index=$1 netns=$CLUSTER-node$1

	NODES+=("$index")
	mkdir "$CGROUP/node$index"
	make_netns "$netns"
	nsenter --net="/run/netns/$netns" sh -c '
		echo 1 >/proc/sys/net/ipv4/ip_forward
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
	if [ "$NETWORK" = bridge ]; then
		ip -n "$netns" -batch - <<-BATCH
		link add cni0 type bridge
		address add 10.244.$index.1/24 dev cni0
		address add fd00:10:244:$index::1/64 dev cni0 nodad
		link set cni0 up
		BATCH
	else
		# the pods' next hop: answered on every interface, never taken as a source address
		ip -n "$netns" address add 169.254.1.1/32 dev lo scope link
	fi
	manifest "node$index" <<-YAML
	apiVersion: v1
	kind: Node
	metadata:
	  name: node$index
	  labels: {kubernetes.io/hostname: node$index, topology.kubernetes.io/zone: zone$index}
	spec:
	  podCIDRs: ["10.244.$index.0/24", "fd00:10:244:$index::/64"]
	status:
	  addresses:
	  - {type: InternalIP, address: 192.168.77.$index}
	  - {type: InternalIP, address: "fd00:77::$index"}
	  - {type: Hostname, address: node$index}
	YAML
}

# join_nodes A B: two nodes on one wire, with routes to each other's pods.
join_nodes()
{
	local pair this other

	ip -n "$CLUSTER-node$1" link add eth0 type veth peer name eth0 netns "$CLUSTER-node$2"
	for pair in "$1 $2" "$2 $1"; do
		read -r this other <<<"$pair"
		ip -n "$CLUSTER-node$this" -batch - <<-BATCH
		address add 192.168.77.$this/24 dev eth0
		address add fd00:77::$this/64 dev eth0 nodad
		link set eth0 up
		route add 10.244.$other.0/24 via 192.168.77.$other
		route add fd00:10:244:$other::/64 via fd00:77::$other
		BATCH
	done
}

# pod NAME NODE [KEY=VALUE label… | --namespace=NS | --account=NAME | --port=NAME:PROTOCOL:NUMBER | --annotation=KEY=VALUE]…
pod()
{
	local name=$1 node=$2 argument namespace=default account=default labels='' ports='' annotations='' port

	shift 2
	for argument; do
		case $argument in
		--namespace=*) namespace=${argument#*=} ;;
		--account=*) account=${argument#*=} ;;
		--annotation=*)
			argument=${argument#*=}
			annotations+=$'\n'"    ${argument%%=*}: \"${argument#*=}\""
			;;
		--port=*)
			IFS=: read -r -a port <<<"${argument#*=}"
			ports+="{name: ${port[0]}, protocol: ${port[1]^^}, containerPort: ${port[2]}}, "
			;;
		*) labels+="${argument%%=*}: \"${argument#*=}\", " ;;
		esac
	done
	make_pod "$name" "$node"
	manifest "pod-$name" <<-YAML
	apiVersion: v1
	kind: Pod
	metadata:
	  name: $name
	  namespace: $namespace
	  labels: {$labels}
	  annotations:
	    mesh.weft.dev/netns: /run/netns/${POD_NETNS[$name]}$annotations
	spec:
	  nodeName: node$node
	  serviceAccountName: $account
	  containers:
	  - name: main
	    ports: [$ports]
	status:
	  phase: Running
	  podIP: ${POD_IP4[$name]}
	  podIPs: [{ip: ${POD_IP4[$name]}}, {ip: "${POD_IP6[$name]}"}]
	  conditions: [{type: Ready, status: "True"}]
	YAML
}

make_pod()
{
	local name=$1 node=$2 netns=$CLUSTER-$1 host=$CLUSTER-node$2 number

	PODS_MADE=$((PODS_MADE + 1))
	number=$((PODS_MADE + 9))
	POD_NETNS[$name]=$netns
	POD_NODE[$name]=$node
	POD_IP4[$name]=10.244.$node.$number
	POD_IP6[$name]=fd00:10:244:$node::$(printf %x $number)
	make_netns "$netns"
	ip -n "$host" link add "v-$name" type veth peer name eth0 netns "$netns" || bail_out "no interface for pod $name"
	"connect_pod_$NETWORK" "$name" "$node" "$netns" "$host"
}

connect_pod_bridge()
{
	local name=$1 node=$2 netns=$3 host=$4

	ip -n "$host" link set "v-$name" master cni0 up
	ip -n "$netns" -batch - <<-BATCH
	address add ${POD_IP4[$name]}/24 dev eth0
	address add ${POD_IP6[$name]}/64 dev eth0 nodad
	link set eth0 up
	route add default via 10.244.$node.1
	route add default via fd00:10:244:$node::1
	BATCH
}

# As CNIs without a bridge do it: a link-local next hop that the host answers for, and a host route back.
connect_pod_routed()
{
	local name=$1 netns=$3 host=$4

	ip -n "$host" -batch - <<-BATCH
	link set v-$name up
	address add fe80::1/64 dev v-$name nodad
	route add ${POD_IP4[$name]}/32 dev v-$name
	route add ${POD_IP6[$name]}/128 dev v-$name
	BATCH
	ip -n "$netns" -batch - <<-BATCH
	address add ${POD_IP4[$name]}/32 dev eth0
	address add ${POD_IP6[$name]}/128 dev eth0 nodad
	link set eth0 up
	route add 169.254.1.1 dev eth0 scope link
	route add default via 169.254.1.1 dev eth0
	route add default via fe80::1 dev eth0
	BATCH
}

# --- manifests ---

# manifest NAME <YAML: appears at once and whole (rename), as tools that write manifests do it.
manifest()
{
	cat >"$RUN/manifest.new"
	mv "$RUN/manifest.new" "$MANIFESTS/$1.yaml"
}

delete_manifest()
{
	rm "$MANIFESTS/$1.yaml"
}

# namespace NAME [KEY=VALUE…]
namespace()
{
	local name=$1 label labels=''

	shift
	for label; do
		labels+="${label%%=*}: \"${label#*=}\", "
	done
	manifest "namespace-$name" <<-YAML
	apiVersion: v1
	kind: Namespace
	metadata:
	  name: $name
	  labels: {kubernetes.io/metadata.name: $name, $labels}
	YAML
}

# service NAME NUMBER KEY=VALUE PROTOCOL:PORT:TARGET…: ClusterIPs 10.96.0.NUMBER and fd00:10:96::NUMBER. $SERVICE_SPEC: one more
# line of its spec; $SERVICE_NAMESPACE: where it lives.
service()
{
	local name=$1 number=$2 selector=$3 spec parts ports=''

	shift 3
	for spec; do
		IFS=: read -r -a parts <<<"$spec"
		ports+="{name: ${parts[0]}-${parts[1]}, protocol: ${parts[0]^^}, port: ${parts[1]}, targetPort: ${parts[2]}}, "
	done
	manifest "service-$name" <<-YAML
	apiVersion: v1
	kind: Service
	metadata:
	  name: $name
	  namespace: ${SERVICE_NAMESPACE:-default}
	spec:
	  clusterIP: 10.96.0.$number
	  clusterIPs: [10.96.0.$number, "fd00:10:96::$number"]
	  ipFamilies: [IPv4, IPv6]
	  selector: {${selector%%=*}: "${selector#*=}"}
	  ports: [$ports]
	  ${SERVICE_SPEC-}
	YAML
}

# --- servers in pods ---

# serve POD PROTOCOL:PORT…: a peer that answers with the pod's name. Returns when it listens.
serve()
{
	local name=$1 line

	shift
	rm -f "$RUN/ready"
	mkfifo "$RUN/ready"
	in_pod "$name" peer serve "$name" "$@" >"$RUN/ready" 2>"$RUN/serve-$name.log" &
	SERVER_PID[$name]=$!
	read -r -t $((10 * SLOWER)) line <"$RUN/ready"
	[ "${line-}" = ready ] || bail_out "the server of pod $name did not start"
}

stop_server()
{
	kill -TERM "${SERVER_PID[$1]}"
	wait "${SERVER_PID[$1]}" 2>/dev/null
	unset "SERVER_PID[$1]"
}

# hold NAME POD COMMAND…: a client that stays (peer hold, peer load), spoken to with tell and heard with heard.
hold()
{
	local name=$1 pod=$2 input output

	mkfifo "$RUN/hold-$name.in" "$RUN/hold-$name.out"
	exec {input}<>"$RUN/hold-$name.in" {output}<>"$RUN/hold-$name.out"
	HELD_IN[$name]=$input
	HELD_OUT[$name]=$output
	in_pod "$pod" "${@:3}" <"$RUN/hold-$name.in" >"$RUN/hold-$name.out" 2>&1 &
}

# tell NAME TEXT
tell()
{
	printf '%s\n' "$2" >&"${HELD_IN[$1]}"
}

# heard NAME: the next line that it prints
heard()
{
	local line

	read -r -t $((10 * SLOWER)) -u "${HELD_OUT[$1]}" line
	printf '%s\n' "${line:-nothing}"
}

# start_server POD TRY-COMMAND -- COMMAND…: any other server; started when TRY-COMMAND succeeds in the pod.
start_server()
{
	local name=$1 try=$2

	shift 3
	in_pod "$name" "$@" >"$RUN/server-$name.log" 2>&1 </dev/null &
	SERVER_PID[$name]=$!
	eventually 10 in_pod "$name" sh -c "$try" || bail_out "in pod $name this did not start: $*"
}

# --- the mesh ---

weftd_options()
{
	WEFTD_OPTIONS=(--source="dir:$MANIFESTS" --node-name="node$1" --run-directory="$RUN/node$1" --bpffs="$RUN/bpffs/node$1"
		--cgroup="$CGROUP/node$1" --metrics-address=127.0.0.1:15020)
}

# launch_weftd NODE [OPTION…]: starts it without waiting. It runs outside the cgroup that its programs are attached to.
launch_weftd()
{
	local node=$1 WEFTD_OPTIONS

	weftd_options "$node"
	shift
	mkdir -p "$RUN/node$node"
	nsenter --net="/run/netns/$CLUSTER-node$node" weftd "${WEFTD_OPTIONS[@]}" "$@" >>"$RUN/weftd-node$node.log" 2>&1 </dev/null &
	WEFTD_PID[$node]=$!
}

start_weftd()
{
	local node=$1

	launch_weftd "$@"
	wait_ready "$node" || bail_out "weftd of node $node did not become ready"
}

wait_ready()
{
	eventually 20 socket_there_or_dead "$1"
	kill -0 "${WEFTD_PID[$1]}" 2>/dev/null || return 1
	timeout $((30 * SLOWER)) meshctl --socket "$RUN/node$1/weftd.sock" status --wait >"$RUN/status-node$1" 2>&1
}

socket_there_or_dead()
{
	[ -S "$RUN/node$1/weftd.sock" ] || ! kill -0 "${WEFTD_PID[$1]}"
}

start_mesh()
{
	local node

	for node in "${NODES[@]}"; do
		start_weftd "$node" "$@"
	done
}

# stop_weftd NODE [SIGNAL]
stop_weftd()
{
	kill -"${2:-TERM}" "${WEFTD_PID[$1]}"
	wait "${WEFTD_PID[$1]}" 2>/dev/null
	unset "WEFTD_PID[$1]"
}

# run_weftd NODE OPTION…: to its end, for --cleanup and for starts that must fail.
run_weftd()
{
	local WEFTD_OPTIONS

	weftd_options "$1"
	mkdir -p "$RUN/node$1"
	nsenter --net="/run/netns/$CLUSTER-node$1" timeout $((20 * SLOWER)) weftd "${WEFTD_OPTIONS[@]}" "${@:2}"
}

meshctl1()
{
	meshctl --socket "$RUN/node1/weftd.sock" "$@"
}

meshctl2()
{
	meshctl --socket "$RUN/node2/weftd.sock" "$@"
}

# flows NODE FILTER…: as JSON, one a line
flows()
{
	meshctl --socket "$RUN/node$1/weftd.sock" observe --all -o json "${@:2}"
}

metrics()
{
	in_node "$1" curl -sS --max-time $((5 * SLOWER)) http://127.0.0.1:15020/metrics
}

# metric NODE NAME [LABEL="VALUE"…]: the sum over all series of that name that have these labels.
metric()
{
	metrics "$1" | awk -v name="$2" '
	BEGIN { for (i = 1; i < ARGC; i++) wanted[i] = ARGV[i]; count = ARGC; ARGC = 1 }
	$1 == name || index($1, name "{") == 1 {
		for (i = 1; i < count; i++) if (!index($0, wanted[i])) next
		sum += $NF
	}
	END { printf "%d\n", sum }' "${@:3}"
}
