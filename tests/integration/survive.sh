# SPDX-License-Identifier: Apache-2.0
# The agent may die, restart, be started twice and be removed: traffic and policy do not notice, and nothing is left.
. "$(dirname "$0")/lib.sh"

topology bridge 1
pod client 1 app=client
pod other 1 app=other
pod server 1 app=server
serve server tcp:8080
serve other tcp:8080
service server 1 app=server tcp:80:8080
manifest deny <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: default}
spec: {podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}
YAML

# Everything of ours that the kernel could still hold: programs at interfaces and cgroups, pins.
attached()
{
	bpftool cgroup tree "$CGROUP" | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $2, $3 }'
	in_node 1 sh -c 'for i in /proc/sys/net/ipv4/conf/*; do i=${i##*/}; tc filter show dev "$i" ingress 2>/dev/null
		tc filter show dev "$i" egress 2>/dev/null; done; tc qdisc show | grep -E "clsact|ingress"'
	find "$RUN/bpffs" -mindepth 1 ! -name '*.debug' | sort # maps.debug and progs.debug are in every bpffs
}

start_mesh
expect "the mesh balances" server in_pod client peer ask tcp 10.96.0.1 80
expect "and refuses" "connect ECONNREFUSED" in_pod other peer ask tcp 10.96.0.1 80

# --- kill -9 under load ---
hold load client peer load 10.96.0.1 80
expect "load begins" open heard load
hold long client peer hold tcp 10.96.0.1 80
expect "a long connection" "open server" heard long
for round in 1 2 3; do
	stop_weftd 1 KILL
	expect "$round: without the agent nothing denied gets in" "connect ECONNREFUSED" in_pod other peer ask tcp 10.96.0.1 80
	expect "$round: without the agent the rest goes on" server in_pod client peer ask tcp 10.96.0.1 80
	start_weftd 1
	expect "$round: the new agent refuses alike" "connect ECONNREFUSED" in_pod other peer ask tcp "${POD_IP4[server]}" 8080
done
tell load stop
expect "the load saw nothing of it" "[1-9][0-9]* connections, [1-9][0-9]* round trips, 0 errors" heard load
tell long still
expect "nor did the long connection" still heard long

# --- what changed while the agent was away is caught up ---
stop_weftd 1 KILL
delete_manifest deny
expect "a policy deleted meanwhile still holds" "connect ECONNREFUSED" in_pod other peer ask tcp 10.96.0.1 80
start_weftd 1
becomes "until the agent is back" 5 server in_pod other peer ask tcp 10.96.0.1 80

# --- a restart writes only differences: ids of maps and programs stay ---
ids()
{
	find "$RUN/bpffs" -name 'weft_*' -path '*map*' -exec bpftool -j map show pinned {} \; 2>/dev/null | jq .id | sort -n
}
before=$(ids)
stop_weftd 1
start_weftd 1
expect "a restarted agent adopts the maps" "${before//$'\n'/ }" ids
[ -n "$before" ] || not_ok "there are pinned maps"

# --- twice at once ---
output=$(run_weftd 1 2>&1)
status=$?
expect "a second agent refuses with status 75" 75 echo "$status"
expect "and says so" ".*(another|already).*" echo "${output//$'\n'/ }"
expect "the first goes on" server in_pod client peer ask tcp 10.96.0.1 80

# --- nothing is left ---
programs=$(bpftool -j cgroup tree "$CGROUP" | jq -r '.. | .id? // empty' | sort -u)
maps=$(ids)
[ -n "$programs" ] && ok "programs are attached" || not_ok "programs are attached"
stop_weftd 1
expect_ok "weftd --cleanup" run_weftd 1 --cleanup
expect "leaves nothing attached or pinned" "" attached
for id in $programs; do
	eventually 5 eval "! bpftool prog show id $id" || not_ok "program $id is still there" "$(bpftool prog show id "$id" 2>&1)"
done
for id in $maps; do
	eventually 5 eval "! bpftool map show id $id" || not_ok "map $id is still there" "$(bpftool map show id "$id" 2>&1)"
done
expect_failure "the run directory is gone" test -e "$RUN/node1"
expect_ok "cleaning up twice is fine" run_weftd 1 --cleanup
expect "without the mesh pods reach one another" server in_pod client peer ask tcp "${POD_IP4[server]}" 8080
finish
