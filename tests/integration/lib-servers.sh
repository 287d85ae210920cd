# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real servers in pods, for servers.sh, tools/demo and tools/bench. After lib.sh.

start_nginx()
{
	local name=$1 home=$RUN/nginx-$1

	mkdir "$home"
	cat >"$home/nginx.conf" <<-CONF
	daemon off;
	worker_processes 1;
	user root;
	pid $home/pid;
	error_log stderr;
	events {}
	http {
		access_log off;
		client_body_temp_path $home;
		proxy_temp_path $home;
		fastcgi_temp_path $home;
		uwsgi_temp_path $home;
		scgi_temp_path $home;
		server {
			listen 80;
			listen [::]:80;
			return 200 "served by $name\n";
		}
	}
	CONF
	start_server "$name" "curl -sS --max-time 5 http://127.0.0.1/" -- nginx -e stderr -p "$home" -c "$home/nginx.conf"
}

start_redis()
{
	start_server "$1" "redis-cli ping" -- redis-server --port 6379 --bind '*' '-::*' --protected-mode no --save '' --dir "$RUN"
}

# Answers web.test with the first service's address.
start_dns()
{
	start_server "$1" "dig +short +tries=1 +time=1 @127.0.0.1 web.test | grep -q ." -- dnsmasq --keep-in-foreground --no-hosts \
		--no-resolv --conf-file=/dev/null --pid-file= --user=root --address=/web.test/10.96.0.1 --address=/web.test/fd00:10:96::1
}

start_echo()
{
	start_server "$1" "ss -Hlun sport = :7000 | grep -q ." -- socat UDP6-LISTEN:7000,ipv6only=0,fork,reuseaddr PIPE
}
