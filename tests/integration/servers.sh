# SPDX-License-Identifier: Apache-2.0
# Real programs as clients and servers: nginx with curl, redis, dnsmasq with dig, socat.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-servers.sh"

topology routed 2
pod client 1 app=client
pod nginx 1 app=nginx
pod redis 2 app=redis
pod dns 1 app=dns
pod echo 2 app=echo
start_nginx nginx
start_redis redis
start_dns dns
start_echo echo
service nginx 1 app=nginx tcp:80:80
service redis 2 app=redis tcp:6379:6379
service dns 3 app=dns udp:53:53 tcp:53:53
service echo 4 app=echo udp:7:7000
start_mesh

for address in 10.96.0. fd00:10:96::; do
	host=$address
	[[ $address != *:* ]] || host="[$address"
	close=${host//[!\[]/}
	close=${close:+]}
	expect "curl gets a page from nginx at ${address}1" "served by nginx" \
		in_pod client curl -sS --max-time $((5 * SLOWER)) "http://${host}1$close/"
	expect "20 requests over one connection" "(served by nginx ?){20}" \
		in_pod client curl -sS --max-time $((10 * SLOWER)) "http://${host}1$close/[1-20]"
	expect "redis sets and gets" "OK" in_pod client redis-cli -h "${address}2" set "key$address" value
	expect "redis sets and gets" "value" in_pod client redis-cli -h "${address}2" get "key$address"
	expect "dig over UDP" "10.96.0.1" in_pod client dig +short +tries=1 +time=$((2 * SLOWER)) "@${address}3" web.test A
	expect "dig over TCP" "10.96.0.1" in_pod client dig +short +tcp +tries=1 +time=$((2 * SLOWER)) "@${address}3" web.test A
	expect "a UDP echo" "hello" eval "echo hello | in_pod client socat -t $((1 * SLOWER)) - UDP:${host}4$close:7"
done
finish
