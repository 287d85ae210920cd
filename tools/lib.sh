# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What tools/test, tools/lab, tools/demo and tools/bench share: messages, cleaning up, packages. Sourced, never run.

WEFT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say()
{
	printf '%s\n' "$*"
}

headline()
{
	local bold='' plain=''

	if [ -t 1 ]; then
		bold=$'\e[1m' plain=$'\e[0m'
	fi
	printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# A moment, for loops that wait for a condition which nothing announces.
pause()
{
	local directory

	if [ -z "${PAUSE_FD-}" ]; then
		directory=$(mktemp -d)
		mkfifo "$directory/pause"
		exec {PAUSE_FD}<>"$directory/pause"
		rm -r "$directory"
	fi
	read -r -t 0.03 -u "$PAUSE_FD" || :
}

# --- cleaning up: a stack of commands, run in reverse order at the end, however the end comes ---

CLEANUP_STACK=()

# at_end COMMAND ARGUMENT…
at_end()
{
	CLEANUP_STACK+=("$(printf '%q ' "$@")")
}

run_cleanup()
{
	local index

	trap '' INT TERM HUP PIPE
	set +e
	for ((index = ${#CLEANUP_STACK[@]} - 1; index >= 0; index--)); do
		eval "${CLEANUP_STACK[index]}"
	done
	CLEANUP_STACK=()
}

# Call once, before the first at_end. A signal ends the script with the shell's status for that signal.
cleanup_at_exit()
{
	trap 'status=$?; run_cleanup; exit $status' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	trap 'exit 141' PIPE # whoever read the output has gone
}

# A process group that was made with setsid is ended as one, and waited for: its members clean up after themselves.
end_process_group()
{
	local group=$1 pid

	kill -TERM -- "-$group" 2>/dev/null || return 0
	for pid in $(pgrep -g "$group"); do
		timeout 20 tail --pid="$pid" -f /dev/null
	done
	kill -KILL -- "-$group" 2>/dev/null
	wait "$group" 2>/dev/null
	return 0
}

# supervise COMMAND…: like COMMAND, but a signal to this script ends all that COMMAND started, too. A shell would otherwise
# handle the signal only after COMMAND is done.
supervise()
{
	local status

	[ -n "${SUPERVISED+set}" ] || at_end end_supervised
	setsid "$@" &
	SUPERVISED=$!
	wait "$SUPERVISED"
	status=$?
	SUPERVISED=
	return $status
}

end_supervised()
{
	[ -z "$SUPERVISED" ] || end_process_group "$SUPERVISED"
}

need_root()
{
	[ "$(id -u)" -eq 0 ] || die "must be root (network namespaces, BPF, packages): sudo $0"
}

# --- packages ---

# One table for all tools: what each purpose needs from Debian.
packages_of()
{
	case $1 in
	build)
		echo gcc libc6-dev cmake ninja-build pkg-config clang llvm bpftool libbpf-dev libelf-dev libevent-dev \
			libcjson-dev libyaml-dev libmnl-dev libssl-dev libcurl4-openssl-dev libcmocka-dev linux-libc-dev
		;;
	run) # what a mesh of network namespaces on one machine needs, and the servers that run in it
		echo iproute2 iputils-ping procps util-linux socat curl jq nginx-light redis-server redis-tools dnsmasq-base \
			bind9-dnsutils nftables
		;;
	test)
		echo libclang-rt-14-dev prometheus tcpdump
		;;
	lab)
		echo qemu-system-x86 busybox-static kmod cpio xz-utils
		;;
	bench)
		echo python3-venv
		;;
	*)
		die "no packages are known for \"$1\""
		;;
	esac
}

is_installed()
{
	# nginx-light is one of several packages that bring nginx
	if [ "$1" = nginx-light ] && command -v nginx >/dev/null; then
		return 0
	fi
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

restore_policy()
{
	rm -f /usr/sbin/policy-rc.d
	if [ -e /usr/sbin/policy-rc.d.weft-saved ] || [ -L /usr/sbin/policy-rc.d.weft-saved ]; then
		mv /usr/sbin/policy-rc.d.weft-saved /usr/sbin/policy-rc.d
	fi
}

# Server packages start their daemons when they are installed. Nobody asked for a web server on this machine, so
# invoke-rc.d is told no for the time being (exit 101: action forbidden by policy).
forbid_services()
{
	if [ -e /usr/sbin/policy-rc.d ] || [ -L /usr/sbin/policy-rc.d ]; then
		[ -e /usr/sbin/policy-rc.d.weft-saved ] || mv /usr/sbin/policy-rc.d /usr/sbin/policy-rc.d.weft-saved
	fi
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
}

# Daemons that an installation enabled must not come up at the next boot either.
disable_services()
{
	local unit

	command -v systemctl >/dev/null || return 0
	for unit in "$@"; do
		systemctl disable --quiet "$unit" 2>/dev/null
	done
	return 0
}

# install_packages PURPOSE…: what is missing, said before it is done. Needs cleanup_at_exit.
install_packages()
{
	local purpose package missing=() services=()

	for purpose in "$@"; do
		for package in $(packages_of "$purpose"); do
			is_installed "$package" || missing+=("$package")
		done
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "needs these packages, and there is no apt-get to install them: ${missing[*]}"

	say "installing with apt: ${missing[*]}"
	say "(their services are neither started nor enabled)"
	for package in "${missing[@]}"; do
		case $package in
		nginx-light) services+=(nginx.service) ;;
		redis-server) services+=(redis-server.service) ;;
		prometheus) services+=(prometheus.service prometheus-node-exporter.service) ;;
		esac
	done
	at_end restore_policy
	forbid_services
	export DEBIAN_FRONTEND=noninteractive
	if ! apt_install "${missing[@]}"; then
		say "apt's lists may be old: updating them"
		apt-get update -qq || die "apt-get update failed: is there a network?"
		apt_install "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
	fi
	disable_services "${services[@]}"
	restore_policy
}

apt_install()
{
	supervise apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >/dev/null
}

# --- building ---

# build_preset PRESET [TARGET…]
build_preset()
{
	local preset=$1

	shift
	cmake --preset "$preset" -S "$WEFT_ROOT" >/dev/null || return 1
	cmake --build "$WEFT_ROOT/build/$preset" -j "$(nproc)" ${1:+--target "$@"}
}
