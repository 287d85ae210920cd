# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The agent with 10,000 Services, 100,000 endpoints and 1,000 policies: start, memory, and one endpoint's change.
. "$(dirname "$0")/lib.sh"

CHANGES=${BENCH_CHANGES:-500}

topology bridge 1
for name in server1 server2 server3 server4; do
	pod "$name" 1 app=server
done
many_services "$MANIFESTS" 10000 10 10.128.0.0 8080
many_policies "$MANIFESTS" 1000 "app: server"

since()
{
	awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }'
}

# memory FIELD: of the agent, in MiB
memory()
{
	awk -v field="$1:" '$1 == field { printf "%.1f", $2 / 1024 }' "/proc/${WEFTD_PID[1]}/status"
}

# loaded MAP COUNT: what the kernel holds, asked of the kernel
loaded()
{
	local count

	count=$(bpftool -j map dump pinned "$RUN/bpffs/node1/maps/$1" | jq length)
	[ "$count" -eq "$2" ] || bail_out "$1 holds $count entries instead of $2"
}

begin=$EPOCHREALTIME
start_agent 1
result cold-start "$(since "$begin")" s "<= 5" "from exec to everything in the maps, nothing pinned before"
result resident-memory "$(memory VmRSS)" MiB "<= 64" "10,000 Services, 100,000 endpoints, 1,000 policies; peak $(memory VmHWM)"
loaded weft_services 20000 # a port and an address each
loaded weft_backends 100000

sed '/^- addresses:/,$d' "$MANIFESTS/service-7000.yaml" >"$RUN/nine"
sed -n '/^- addresses:/,$p' "$MANIFESTS/service-7000.yaml" | head -n 36 >>"$RUN/nine"
cp "$MANIFESTS/service-7000.yaml" "$RUN/ten"
"${ON_LOAD_CPU[@]}" propagation "$RUN/nine" "$RUN/ten" "$MANIFESTS/service-7000.yaml" "$RUN/bpffs/node1/maps/weft_services" \
	10.100.27.88 80 "$CHANGES" >"$RUN/propagation" || bail_out "changes do not reach the map"
read -r half most all <"$RUN/propagation"
result endpoint-change "$most" ms "<= 10" \
	"99th percentile from rename() of a manifest to the changed map, $CHANGES changes; median $half, maximum $all"
result resident-memory-later "$(memory VmRSS)" MiB "<= 64" "the same after $CHANGES changes"
