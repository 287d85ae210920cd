# SPDX-License-Identifier: Apache-2.0
# Manifests in a directory: an edit, a rename and a deletion take effect at once; a broken file loses nothing.
. "$(dirname "$0")/lib.sh"

topology bridge 1
pod client 1 app=client
pod one 1 app=one
pod two 1 app=two
serve one tcp:8080
serve two tcp:8080
service web 1 app=one tcp:80:8080
start_mesh
expect "the first state" one in_pod client peer ask tcp 10.96.0.1 80

# until_answer PATTERN COMMAND…: runs COMMAND, then milliseconds until the service at $ASKED is asked for an answer that
# matches. Asking takes as long as the machine is busy, and is not the agent's time.
until_answer()
{
	local pattern=$1 start asked deadline

	shift
	start=${EPOCHREALTIME/./}
	deadline=$((start + 5000000 * SLOWER))
	"$@"
	asked=${EPOCHREALTIME/./}
	until output_matches "$pattern" in_pod client peer ask tcp "${ASKED:-10.96.0.1}" 80; do
		asked=${EPOCHREALTIME/./}
		[ "$asked" -lt $deadline ] || break
	done
	printf '%d' $(((asked - start) / 1000))
}

# 100 ms is the promise; an emulated machine is slower, and asking takes time there too.
in_time()
{
	local description=$1 milliseconds

	shift
	milliseconds=$(until_answer "$@")
	if [ "$milliseconds" -le $((100 * SLOWER)) ]; then
		ok "$description ($milliseconds ms)"
	else
		not_ok "$description" "took $milliseconds ms"
	fi
}

edit_in_place()
{
	sed "s/app: \"$1\"/app: \"$2\"/" "$MANIFESTS/service-web.yaml" >"$RUN/edited"
	cat "$RUN/edited" >"$MANIFESTS/service-web.yaml"
}

in_time "an edit in place" two edit_in_place one two
in_time "an atomic rename" one service web 1 app=one tcp:80:8080
# a slice beside the Service, so that connect() itself tells the difference
slice()
{
	manifest slice <<-YAML
	apiVersion: discovery.k8s.io/v1
	kind: EndpointSlice
	metadata: {name: by-hand, namespace: default, labels: {kubernetes.io/service-name: by-hand}}
	addressType: IPv4
	ports: [{name: "", port: 8080}]
	endpoints: [{addresses: [${POD_IP4[one]}]}]
	YAML
}
manifest by-hand <<YAML
{apiVersion: v1, kind: Service, metadata: {name: by-hand, namespace: default},
 spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}}
YAML
becomes "a service without endpoints" 5 "connect ECONNREFUSED" in_pod client peer ask tcp 10.96.0.9 80
ASKED=10.96.0.9 in_time "a new file" one slice
ASKED=10.96.0.9 in_time "a deleted file" "connect ECONNREFUSED" delete_manifest slice
mv "$MANIFESTS/service-web.yaml" "$MANIFESTS/web.yml"
in_time "an edit by way of a temporary file" two sed -i 's/app: "one"/app: "two"/' "$MANIFESTS/web.yml"

# --- broken ---
printf 'kind: Service\n  metadata: [\n' >"$MANIFESTS/web.yml"
problem()
{
	meshctl1 status
}
becomes "a file that does not parse is shown in status, with its line" 5 ".*web\.yml:?[^ ]* ?[0-9]+.*" problem
expect "and in the log" ".*web\.yml.*" cat "$RUN/weftd-node1.log"
expect "and in a metric" "1" metric 1 weft_source_problems
expect "its last good objects stay in force" two in_pod client peer ask tcp 10.96.0.1 80
service web 1 app=one tcp:80:8080
rm "$MANIFESTS/web.yml"
becomes "repaired" 5 one in_pod client peer ask tcp 10.96.0.1 80
becomes "and the problem is gone" 5 "0" metric 1 weft_source_problems

manifest wrong <<YAML
apiVersion: v1
kind: Service
metadata: {name: wrong, namespace: default}
spec: {clusterIPs: [10.96.0.2], selector: {app: one}, ports: [{port: 70000}]}
---
apiVersion: v1
kind: Service
metadata: {name: right, namespace: default}
spec: {clusterIPs: [10.96.0.3], selector: {app: one}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: example.com/v1
kind: Unknown
metadata: {name: whatever}
YAML
becomes "an invalid object costs only itself" 5 one in_pod client peer ask tcp 10.96.0.3 80
expect "it is named, with its field" ".*(wrong).*ports\[0\].*" problem
expect "an unknown kind is one line in the log" 1 eval 'grep -c "Unknown" "$RUN/weftd-node1.log"'
manifest json <<JSON
{"apiVersion": "v1", "kind": "List", "items": [
 {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "listed", "namespace": "default"},
  "spec": {"clusterIP": "10.96.0.4", "selector": {"app": "one"}, "ports": [{"port": 80, "targetPort": 8080}]}}]}
JSON
becomes "JSON and lists" 5 one in_pod client peer ask tcp 10.96.0.4 80
manifest unsupported <<YAML
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-path, namespace: default}
spec: {selector: {matchLabels: {app: one}}, action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}
YAML
becomes "an unsupported field is counted in status" 5 ".*1 parts of objects are not honoured.*" problem
expect "and named with its object in check" ".*by-path.*spec\.rules\[0\].*" meshctl1 check
finish
