# SPDX-License-Identifier: Apache-2.0
# Random sets of policies, real packets: every pod asks every pod, and what happens must be what the reference evaluator says
# (tests/unit/reference.c). WEFT_SEED and WEFT_ROUNDS choose others.
. "$(dirname "$0")/lib.sh"

SEED=${WEFT_SEED:-1}
ROUNDS=${WEFT_ROUNDS:-$((SLOWER > 1 ? 1 : 5))}

topology routed 2
namespace default team=a
namespace team-b team=b
ports=(--port=http:tcp:8080 --port=admin:tcp:8081 --port=query:udp:5300)
pod web 1 app=web tier=edge "${ports[@]}"
pod db 1 app=db --account=db "${ports[@]}"
pod guest 1 app=web --namespace=team-b --account=visitor "${ports[@]}"
pod far 2 app=far tier=edge "${ports[@]}"
pod stranger 2 app=db --namespace=team-b "${ports[@]}"
pods=(web db guest far stranger)
for name in "${pods[@]}"; do
	serve "$name" tcp:8080 tcp:8081 udp:5300
done
start_mesh

# one FROM PROTOCOL ADDRESS PORT TO VERDICT RULE…: says what is not as it should be
one()
{
	local from=$1 protocol=$2 address=$3 port=$4 to=$5 verdict=$6 expected output

	case $verdict-$protocol in
	allowed-*) expected=$to ;;
	egress-*) expected="connect EPERM" ;;
	ingress-tcp) expected="connect ECONNREFUSED" ;;
	ingress-udp) expected="talk ETIMEDOUT" ;;
	esac
	output=$(one_line in_pod "$from" peer ask "$protocol" "$address" "$port")
	[ "$output" = "$expected" ] || printf '%s %s -> %s (%s) %s: %s, expected %s by %s\n' "$protocol" "$from" "$to" "$address" "$port" \
		"$output" "$expected" "${*:7}"
}

# What waits for its time limit waits beside the others.
ask_all()
{
	local from=$1 line fields waiting=()

	while read -r line; do
		read -r -a fields <<<"$line"
		[ "${fields[0]}" = "$from" ] || continue
		if [ "${fields[1]}-${fields[5]}" = udp-ingress ]; then
			one "${fields[@]}" &
			waiting+=($!)
		else
			one "${fields[@]}"
		fi
	done <"$RUN/matrix"
	wait "${waiting[@]}"
}

has_read()
{
	meshctl --socket "$RUN/node$1/weftd.sock" get policies -o json | grep -q "\"$2\""
}

# round SEED: a set of policies, all questions
round()
{
	local node name asking=() seed=$1 marker=round-$1

	policy_matrix "$seed" "$marker" "$RUN/policies.new" "$MANIFESTS"/{namespace,node,pod}*.yaml >"$RUN/matrix" || bail_out "no policies"
	mv "$RUN/policies.new" "$MANIFESTS/policies.yaml"
	for node in "${NODES[@]}"; do
		eventually 5 has_read "$node" "$marker" || bail_out "node $node does not read the policies of seed $seed"
	done
	for name in "${pods[@]}"; do
		ask_all "$name" >"$RUN/wrong-$name" 2>&1 &
		asking+=($!)
	done
	wait "${asking[@]}"
	expect "seed $seed: $(wc -l <"$RUN/matrix") questions, $(grep -c ' allowed ' "$RUN/matrix") of them to be allowed" "" \
		cat "$RUN"/wrong-*
}

for ((i = 0; i < ROUNDS; i++)); do
	round $((SEED + i))
done
finish
