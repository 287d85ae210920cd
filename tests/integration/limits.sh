# SPDX-License-Identifier: Apache-2.0
# A full map is a condition with a name: what is in it works on, and making room heals it.
. "$(dirname "$0")/lib.sh"

topology bridge 1
pod client 1 app=client
pod server 1 app=server
serve server tcp:8080
service first 1 app=server tcp:80:8080
start_mesh --max-services=8

expect "room for the first" server in_pod client peer ask tcp 10.96.0.1 80
for number in 11 12 13 14 15 16 17 18; do
	service "many$number" $number app=server tcp:80:8080
done
full()
{
	metrics 1 | awk '/^weft_map_full_total/ && /weft_services/ { print ($NF > 0) }'
}
becomes "a full map counts" 5 1 full
expect "status names it and the option that helps" ".*weft_services is full: 8 of 8 .*--max-.*" meshctl1 status
expect "the log names it" ".*weft_services.*" cat "$RUN/weftd-node1.log"
expect "what is in it works on" server in_pod client peer ask tcp 10.96.0.1 80
for number in 11 12 13 14 15 16 17 18; do
	delete_manifest "service-many$number"
done
service last 20 app=server tcp:80:8080
becomes "with room again new entries work" 5 server in_pod client peer ask tcp 10.96.0.20 80
expect "and the old" server in_pod client peer ask tcp 10.96.0.1 80

stop_weftd 1
start_weftd 1 --max-services=1024
for number in 11 12 13 14 15 16 17 18; do
	service "many$number" $number app=server tcp:80:8080
done
becomes "a restart with a larger capacity has room" 5 server in_pod client peer ask tcp 10.96.0.18 80
finish
