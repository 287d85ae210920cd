# SPDX-License-Identifier: Apache-2.0
# What is missing is said in one clear message each, with the way out.
. "$(dirname "$0")/lib.sh"

topology bridge 1

# refused DESCRIPTION PATTERN COMMAND…: weftd fails, with one error, and that matches
refused()
{
	local description=$1 pattern=$2 output status errors

	shift 2
	output=$("$@" 2>&1 </dev/null)
	status=$?
	errors=$(grep -E '^[^ ]+ error |^weftd: ' <<<"$output")
	if [ $status -ne 0 ] && [ $status -lt 124 ] && [ "$(wc -l <<<"$errors")" -eq 1 ] && grep -qiE "$pattern" <<<"$errors"; then
		ok "$description"
	else
		not_ok "$description" "$(printf 'status %d, wanted one message like: %s\n%s' $status "$pattern" "$output")"
	fi
}

mkdir "$RUN/plain"
refused "no bpffs" "bpffs.*mount|mount.*bpf" run_weftd 1 --bpffs="$RUN/plain/weft"
refused "no cgroup2" "cgroup2?" run_weftd 1 --cgroup="$RUN/plain"
refused "no such cgroup" "$RUN/nowhere" run_weftd 1 --cgroup="$RUN/nowhere"
refused "no such directory of manifests" "$RUN/nowhere" run_weftd 1 --source="dir:$RUN/nowhere"
refused "a source that is not known" "dir:PATH" run_weftd 1 --source=http://example.com
refused "an unknown option" "no-such-option" run_weftd 1 --no-such-option
refused "a value out of range" "max-services" run_weftd 1 --max-services=-1
refused "an address that is not there for metrics" "metrics|192\.0\.2\.1" run_weftd 1 --metrics-address=192.0.2.1:15020
expect_failure "a start that failed leaves nothing pinned" test -e "$RUN/bpffs/node1"
refused "no privilege" "CAP_BPF|CAP_NET_ADMIN|CAP_SYS_ADMIN|root|privilege" \
	setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all \
	"$BUILD/weftd" --source="dir:$MANIFESTS" --bpffs="$RUN/bpffs/node1" --run-directory="$RUN/plain" --metrics-address=
expect "meshctl without an agent: status 69" 69 eval 'meshctl --socket "$RUN/nobody.sock" status >/dev/null 2>&1; echo $?'
expect "and it says what to do" ".*nobody\.sock.*" meshctl --socket "$RUN/nobody.sock" status
expect "meshctl with a wrong word: status 64" 64 eval 'meshctl no-such-command >/dev/null 2>&1; echo $?'
finish
