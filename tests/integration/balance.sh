# SPDX-License-Identifier: Apache-2.0
# Services: every address reaches the right backends, the wrong ones refuse at once, and changes take effect.
. "$(dirname "$0")/lib.sh"

topology bridge 2
pod client 1 app=client
pod web1 1 app=web --port=http:tcp:8080
pod web2 1 app=web --port=http:tcp:8081
pod far 2 app=far
serve client tcp:8080
serve web1 tcp:8080 tcp:8081 udp:5300
serve web2 tcp:8080 tcp:8081 udp:5300
serve far tcp:8080 udp:5300

service web 1 app=web tcp:80:8080 udp:53:5300
service named 2 app=web tcp:80:http
service empty 3 app=nobody tcp:80:8080 udp:53:5300
SERVICE_SPEC="sessionAffinity: ClientIP" service sticky 4 app=web tcp:80:8080
service self 5 app=client tcp:80:8080
SERVICE_SPEC='externalIPs: [203.0.113.5, "2001:db8::5"]' service outside 6 app=web tcp:80:8080
service remote 7 app=far tcp:80:8080 udp:53:5300
SERVICE_SPEC="internalTrafficPolicy: Local" service local 8 app=far tcp:80:8080
SERVICE_SPEC="publishNotReadyAddresses: true" service unready 12 app=unready tcp:80:8080
service ready 13 app=unready tcp:80:8080
manifest headless <<YAML
{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: default},
 spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
YAML
manifest turns <<YAML
apiVersion: v1
kind: Service
metadata: {name: turns, namespace: default, annotations: {mesh.weft.dev/algorithm: round-robin}}
spec: {clusterIPs: [10.96.0.9], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: slices, namespace: default}
spec: {clusterIPs: [10.96.0.10, "fd00:10:96::10"], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: slices-a, namespace: default, labels: {kubernetes.io/service-name: slices}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints:
- {addresses: [${POD_IP4[web1]}], conditions: {ready: true}}
- {addresses: [${POD_IP4[web2]}], conditions: {ready: false}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: slices-b, namespace: default, labels: {kubernetes.io/service-name: slices}}
addressType: IPv6
ports: [{port: 8080, protocol: TCP}]
endpoints:
- {addresses: ["${POD_IP6[web2]}"], conditions: {ready: true}}
---
apiVersion: v1
kind: Service
metadata: {name: balancer, namespace: default}
spec: {type: LoadBalancer, clusterIPs: [10.96.0.11], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.11}]}}
YAML
start_mesh

# names POD PROTOCOL ADDRESS PORT: who answered 40 times, each once
names()
{
	in_pod "$1" peer ask "$2" "$3" "$4" 40 | sort -u
}

counts()
{
	in_pod client peer ask tcp "$1" "$2" "$3" | sort | uniq -c | sed 's/^ *//'
}

for address in 10.96.0. fd00:10:96::; do
	expect "TCP to ${address}1 reaches every backend" "web1 web2" names client tcp "${address}1" 80
	expect "UDP to ${address}1 reaches every backend" "web1 web2" names client udp "${address}1" 53
	expect "unconnected UDP: the reply comes from the service" "web[12] .*${address}1.*:53" \
		in_pod client peer sendto "${address}1" 53
	expect "getpeername() names the service" ".*${address}1.*:80" in_pod client peer name "${address}1" 80
	expect "a named port leads to each pod's own number" "web1 web2" names client tcp "${address}2" 80
	expect "a service without endpoints refuses TCP" "connect ECONNREFUSED" in_pod client peer ask tcp "${address}3" 80
	expect "a service without endpoints refuses UDP" "connect ECONNREFUSED" in_pod client peer ask udp "${address}3" 53
	expect "and unconnected UDP" "sendto ECONNREFUSED" in_pod client peer sendto "${address}3" 53
	expect "a port that the service has not refuses" "connect ECONNREFUSED" in_pod client peer ask tcp "${address}1" 81
	expect "affinity stays with one backend" "web1|web2" names client tcp "${address}4" 80
	expect "a pod reaches itself through its own service" client in_pod client peer ask tcp "${address}5" 80
	expect "a backend on the other node" far in_pod client peer ask tcp "${address}7" 80
	expect "and by UDP" far in_pod client peer ask udp "${address}7" 53
	expect "internalTrafficPolicy Local has no endpoint here" "connect ECONNREFUSED" in_pod client peer ask tcp "${address}8" 80
	expect "and has one on the other node" far in_pod far peer ask tcp "${address}8" 80
	expect "the node itself reaches services" "web1 web2" eval "in_node 1 peer ask tcp ${address}1 80 40 | sort -u"
done
expect "external IPv4 address" "web1 web2" names client tcp 203.0.113.5 80
expect "external IPv6 address" "web1 web2" names client tcp 2001:db8::5 80
expect "load balancer address" "web1 web2" names client tcp 203.0.113.11 80
expect "round robin takes turns" "10 web1 10 web2" counts 10.96.0.9 80 20
expect "an endpoint of a slice that is not ready is left out" "web1" names client tcp 10.96.0.10 80
expect "the slice of the other family" "web2" names client tcp fd00:10:96::10 80

# Change: who is not ready leaves, established TCP runs on, connected UDP is ended.
hold tcp client peer hold tcp 10.96.0.4 80
held=$(heard tcp)
held=${held#open }
service gone 14 app=gone tcp:80:8080 udp:53:5300
pod leaver 1 app=gone
serve leaver tcp:8080 udp:5300
becomes "a new pod becomes an endpoint" 5 leaver in_pod client peer ask udp 10.96.0.14 53
hold udp client peer hold udp 10.96.0.14 53
expect "a UDP socket connects to it" "open leaver" heard udp
delete_manifest pod-leaver
becomes "a deleted pod leaves its service" 5 "connect ECONNREFUSED" in_pod client peer ask tcp 10.96.0.14 80
expect "a UDP socket connected to it is ended" "broken ECONNABORTED" heard udp

sed -i 's/status: "True"/status: "False"/' "$MANIFESTS/pod-$held.yaml"
other=$([ "$held" = web1 ] && echo web2 || echo web1)
becomes "a pod that is not ready leaves" 5 "$other" names client tcp 10.96.0.1 80
tell tcp still
expect "an established connection to it runs on" still heard tcp
expect "affinity moves on" "$other" names client tcp 10.96.0.4 80
sed -i 's/status: "False"/status: "True"/' "$MANIFESTS/pod-$held.yaml"
becomes "and comes back" 5 "web1 web2" names client tcp 10.96.0.1 80

pod late 1 app=unready
serve late tcp:8080
sed -i 's/status: "True"/status: "False"/' "$MANIFESTS/pod-late.yaml"
becomes "publishNotReadyAddresses" 5 late in_pod client peer ask tcp 10.96.0.12 80
becomes "and without it" 5 "connect ECONNREFUSED" in_pod client peer ask tcp 10.96.0.13 80
finish
