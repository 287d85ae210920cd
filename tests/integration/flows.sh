# SPDX-License-Identifier: Apache-2.0
# Flow records and metrics: right, exact, and in the forms that other tools expect.
. "$(dirname "$0")/lib.sh"

topology bridge 1
pod client 1 app=client
pod server 1 app=server
serve server tcp:8080 udp:5300
service server 1 app=server tcp:80:8080 udp:53:5300
start_mesh --access-log="$RUN/access.json" --report-interval=1

connections=25
size=4096
greeting="server ${POD_IP4[client]}?" # with its newline
expect "connections through the service" "(server ?){$connections}" in_pod client peer ask tcp 10.96.0.1 80 $connections $size

# labels of the traffic from client to server through the service, as one end counts it
series=('source_workload="client"' 'destination_workload="server"' 'destination_service_name="server"'
	'connection_security_policy="unknown"' 'response_flags="-"')
for reporter in source destination; do
	label="reporter=\"$reporter\""
	service=("${series[@]}")
	# the server's side sees the address that was connected to, not the service that the client asked for
	[ $reporter = source ] || unset 'service[2]'
	becomes "opened, as the $reporter counts" 5 $connections \
		metric 1 istio_tcp_connections_opened_total "$label" "${service[@]}"
	becomes "closed, as the $reporter counts" 5 $connections \
		metric 1 istio_tcp_connections_closed_total "$label" "${service[@]}"
done
label='reporter="source"'
becomes "bytes of requests, exact" 5 $((connections * size)) metric 1 istio_tcp_received_bytes_total "$label" "${series[@]}"
becomes "bytes of responses, exact" 5 $((connections * (size + ${#greeting}))) \
	metric 1 istio_tcp_sent_bytes_total "$label" "${series[@]}"
expect_ok "promtool finds nothing to say about the metrics" eval "metrics 1 | promtool check metrics"

records()
{
	flows 1 "$@" | jq -r '.flow | [.verdict, .source.pod_name, .destination.pod_name, .l4.TCP.destination_port] | join(" ")' | sort -u
}
expect "records name both pods" "FORWARDED client server 8080" \
	records --from-pod default/client --to-pod default/server --verdict FORWARDED --protocol tcp
expect "a filter that matches nothing prints nothing" "" records --from-pod default/nobody
expect "the compact form" "([^ ]+.* default/client.* -> default/server.* FORWARDED .*)+" \
	meshctl1 observe --last 5 --from-pod default/client --verdict FORWARDED
expect_ok "the access log is JSON, a line each" jq -e . "$RUN/access.json"

hold long client peer hold tcp 10.96.0.1 80
expect "a connection that stays" "open server" heard long
reports()
{
	flows 1 --from-pod default/client --type REPORT | grep -c .
}
tell long something
expect "goes on" something heard long
eventually 5 output_matches "[1-9][0-9]*" reports
expect "reports while it stands" "[1-9][0-9]*" reports

mkfifo "$RUN/followed"
meshctl1 observe --follow -o json --protocol udp >"$RUN/followed" &
follower=$!
at_end kill "$follower"
exec {followed}<"$RUN/followed"
# the follower says nothing when it begins to follow: talk until it has heard
followed()
{
	in_pod client peer ask udp 10.96.0.1 53
	line=
	read -r -t 1 -u "$followed" line
	[ -n "$line" ]
}
eventually 10 followed
expect "follow shows what happens" '.*"UDP".*' echo "$line"
expect "counters of lost records and failed helpers stand at 0" "0 0" \
	eval 'metric 1 weft_flow_records_lost_total; metric 1 weft_bpf_errors_total'
finish
