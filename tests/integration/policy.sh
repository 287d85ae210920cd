# SPDX-License-Identifier: Apache-2.0
# Policy with real packets: who is refused, how, and that nothing slips by, between pods of one node and of two.
. "$(dirname "$0")/lib.sh"

topology routed 2
namespace team-b team=b
pod client 1 app=client
pod other 1 app=other
pod server 1 app=server
pod guest 1 app=guest --namespace=team-b --account=visitor
pod far 2 app=far
for name in client other server guest far; do
	serve "$name" tcp:8080 tcp:8081 udp:5300
done
service server 1 app=server tcp:80:8080
start_mesh

ask()
{
	in_pod "$1" peer ask tcp "$2" "${3:-8080}"
}

server4=${POD_IP4[server]}
server6=${POD_IP6[server]}
expect "without policy everything is open" server ask other "$server4"
expect "without policy everything is open, IPv6" server ask other "$server6"

# --- ingress ---
manifest ingress <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server-ingress, namespace: default}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [client]}]}}]
    ports: [{port: 8080}]
  - from: [{namespaceSelector: {matchLabels: {team: b}}, podSelector: {matchLabels: {app: guest}}}]
    ports: [{port: 8080, endPort: 8090}]
YAML
becomes "who is not named is refused by a reset" 5 "connect ECONNREFUSED" ask other "$server4"
for address in "$server4" "$server6"; do
	expect "who is named gets in" server ask client "$address"
	expect "but on that port only" "connect ECONNREFUSED" ask client "$address" 8081
	expect "a range of ports, from another namespace" server ask guest "$address" 8081
	expect "who is not named is refused" "connect ECONNREFUSED" ask other "$address"
	expect "also from the other node" "connect ECONNREFUSED" ask far "$address"
	expect "UDP is dropped" "talk ETIMEDOUT" in_pod client peer ask udp "$address" 5300
	expect_failure "ICMP is dropped" in_pod client ping -c 1 -W $SLOWER "$address"
	expect "the pod's own node is let in (probes)" server in_node 1 peer ask tcp "$address" 8081
	expect "the other node is not" "connect ECONNREFUSED" in_node 2 peer ask tcp "$address" 8080
done
expect "through the service as well" server ask client 10.96.0.1 80
expect "refused through the service as well" "connect ECONNREFUSED" ask other 10.96.0.1 80
expect "replies pass: the isolated pod opens connections itself" far ask server "${POD_IP4[far]}"
expect "replies pass, IPv6" far ask server "${POD_IP6[far]}"
expect_ok "replies to its ping pass" in_pod server ping -c 1 -W $((2 * SLOWER)) "${POD_IP4[far]}"
expect_ok "replies to its ping pass, IPv6" in_pod server ping -c 1 -W $((2 * SLOWER)) "${POD_IP6[far]}"
expect "a pod reaches itself" server ask server "$server4" 8081

# --- what people see ---
dropped()
{
	flows 1 --verdict DROPPED --to-pod default/server --from-pod default/other | head -n 1
}
becomes "a flow record says who was refused, why and by what" 5 '.*POLICY_DENIED.*' dropped
expect "explain agrees, and names the pod's isolation" "denied: .*NetworkPolicy default/server-ingress isolates the pod.*" \
	meshctl1 explain --from default/other --to default/server --port 8080
expect "explain names the rule that allows" ".*server-ingress.*" \
	meshctl1 explain --from default/client --to default/server --port 8080

# --- established connections follow a change ---
hold long client peer hold tcp "$server4" 8080
expect "a connection stands" "open server" heard long
sed -i 's/values: \[client\]/values: [nobody]/' "$MANIFESTS/ingress.yaml"
becomes "the policy changed" 5 "connect ECONNREFUSED" ask client "$server4"
tell long still
expect "the established connection is cut" "broken ECONNRESET" heard long
delete_manifest ingress
becomes "a deleted policy opens again" 5 server ask other "$server4"

# --- egress: refused in connect() itself ---
manifest egress <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: client-egress, namespace: default}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {matchLabels: {app: server}}}]
    ports: [{protocol: TCP, port: 8080}]
  - to: [{ipBlock: {cidr: 10.244.2.0/24, except: [${POD_IP4[far]}/32]}}]
YAML
becomes "egress is refused in connect()" 5 "connect EPERM" ask client "${POD_IP4[other]}"
expect "egress is refused in connect(), IPv6" "connect EPERM" ask client "${POD_IP6[other]}"
expect "what is allowed goes" server ask client "$server4"
expect "what is allowed goes, IPv6" server ask client "$server6"
expect "what is allowed goes through the service" server ask client 10.96.0.1 80
expect "another port is refused" "connect EPERM" ask client "$server4" 8081
expect "an exception of a block is refused" "connect EPERM" ask client "${POD_IP4[far]}"
expect "UDP is refused in sendto()" "sendto EPERM" in_pod client peer sendto "$server4" 5300
expect "connected UDP is refused" "connect EPERM" in_pod client peer ask udp "$server6" 5300
before=$(metric 1 weft_drops_total 'reason="POLICY_DENIED"')
# with a source address of its own ping does not try connect() first
expect_failure "a raw socket does not slip by" in_pod client ping -c 1 -W $SLOWER -I "${POD_IP4[client]}" "${POD_IP4[other]}"
echo payload | in_pod client socat -u - "IP4-SENDTO:${POD_IP4[other]}:253"
becomes "nor does another protocol; both are counted" 5 "$((before + 2))" metric 1 weft_drops_total 'reason="POLICY_DENIED"'
expect "who answers a connection is not held back" client ask other "${POD_IP4[client]}"
expect "nor who answers a datagram" client in_pod other peer ask udp "${POD_IP4[client]}" 5300
expect "nor who answers a datagram, IPv6" client in_pod other peer ask udp "${POD_IP6[client]}" 5300
delete_manifest egress
becomes "a deleted policy opens again" 5 other ask client "${POD_IP4[other]}"

# --- addresses that are not the pod's ---
in_pod client ip address add 10.244.1.250/32 dev eth0
before=$(metric 1 weft_drops_total 'reason="INVALID_SOURCE"')
expect_failure "a forged source address gets no answer" in_pod client ping -c 1 -W $SLOWER -I 10.244.1.250 "$server4"
becomes "and is counted" 5 "$((before + 1))" metric 1 weft_drops_total 'reason="INVALID_SOURCE"'
in_pod client ip address delete 10.244.1.250/32 dev eth0

# --- AuthorizationPolicy ---
manifest authorization <<YAML
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-visitors, namespace: default}
spec:
  selector: {matchLabels: {app: server}}
  action: DENY
  rules:
  - from: [{source: {principals: [cluster.local/ns/team-b/sa/visitor]}}]
---
apiVersion: mesh.weft.dev/v1
kind: AuthorizationPolicy
metadata: {name: port-8080, namespace: default}
spec:
  selector: {matchLabels: {app: server}}
  action: ALLOW
  rules:
  - from: [{source: {namespaces: [default, team-b]}}]
    to: [{operation: {ports: ["8080"]}}]
YAML
becomes "a principal is denied" 5 "connect ECONNREFUSED" ask guest "$server4"
for address in "$server4" "$server6"; do
	expect "DENY goes before ALLOW" "connect ECONNREFUSED" ask guest "$address"
	expect "ALLOW lets in what it names" server ask client "$address"
	expect "and nothing else" "connect ECONNREFUSED" ask client "$address" 8081
done
expect "explain names the policy that denies" ".*no-visitors.*" \
	meshctl1 explain --from team-b/guest --to default/server --port 8080
sed -i 's/^metadata: {name: no-visitors, namespace: default}/metadata: {name: no-visitors, namespace: default, annotations: {istio.io\/dry-run: "true"}}/' \
	"$MANIFESTS/authorization.yaml"
becomes "in dry run it changes nothing" 5 server ask guest "$server4"
delete_manifest authorization

# --- the answer to what is denied can be silence ---
stop_weftd 1
start_weftd 1 --deny=drop
manifest isolate <<YAML
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: isolate, namespace: default},
 spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}}
YAML
becomes "--deny=drop: no reset" 15 "connect ETIMEDOUT" ask client "$server4"
finish
