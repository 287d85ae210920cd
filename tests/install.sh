#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh CMAKE BUILD: what `cmake --install` leaves is a tree that can be used.
set -eu
cmake=$1
build=$2
root=$(mktemp -d "${TMPDIR:-/tmp}/weft-install.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 1' HUP INT TERM

"$cmake" --install "$build" --prefix "$root/usr" >"$root/log" || { cat "$root/log"; exit 1; }

fail()
{
	echo "install: $*"
	exit 1
}

for file in sbin/weftd bin/meshctl share/man/man8/weftd.8 share/man/man8/meshctl.8 lib/systemd/system/weftd.service \
	share/bash-completion/completions/meshctl share/zsh/site-functions/_meshctl share/fish/vendor_completions.d/meshctl.fish \
	share/doc/weft/LICENSE share/doc/weft/README.md etc/weft/weftd.conf; do
	[ -s "$root/usr/$file" ] || fail "$file is missing or empty"
done
[ -d "$root/usr/etc/weft/manifests" ] || fail "etc/weft/manifests is missing"

"$root/usr/bin/meshctl" version --socket "$root/none" | grep -q '^meshctl [0-9]' || fail "the installed meshctl does not run"
"$root/usr/sbin/weftd" --version | grep -q '^weftd [0-9]' || fail "the installed weftd does not run"
bash -n "$root/usr/share/bash-completion/completions/meshctl" || fail "the completion script does not parse"
grep -q '^ExecStart=.*/weftd ' "$root/usr/lib/systemd/system/weftd.service" || fail "the unit starts nothing"
! grep -q '@[A-Z]' "$root/usr/lib/systemd/system/weftd.service" || fail "the unit has an unfilled place"
for page in weftd meshctl; do
	grep -q '^\.SH NAME' "$root/usr/share/man/man8/$page.8" || fail "$page.8 is not a man page"
done
# every option of weftd is in its man page
"$root/usr/sbin/weftd" --help | sed -n 's/^  --\([a-z0-9-]*\).*/\1/p' | while read -r option; do
	sed 's/\\-/-/g' "$root/usr/share/man/man8/weftd.8" | grep -q -e "--$option" || fail "weftd.8 does not tell of --$option"
done
