#!/usr/bin/env bash
#
# matrix.sh
#	  The tests on the PostgreSQL of other Debian releases, each in a directory
#	  of its own: 17 (trixie) and 18 (forky).
#
#	  test/matrix.sh [DIRECTORY [SUITE ...]]
#
# DIRECTORY, or ANN_MATRIX_DIR, holds one root file system per release; those
# missing are made with debootstrap, which takes some minutes and 2 GB each.
# Without SUITE, "build" and "regress" run.  Needs root, and namespaces: what
# is started or mounted inside ends with the command.  The last line of output
# is "N passed, N failed".

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/server.sh
. "$top/test/server.sh"

releases=(trixie forky)
mirror=${ANN_MATRIX_MIRROR:-http://deb.debian.org/debian}
matrix=${1:-${ANN_MATRIX_DIR:-}}
suites=("${@:2}")
[ $# -gt 1 ] || suites=(build regress)
[ -n "$matrix" ] || die "Usage: $0 DIRECTORY [SUITE ...]"
[ "$(id -u)" = 0 ] || die "This needs root."

# inside ROOT COMMAND...; with a /dev/shm, or initdb would choose System V's
# shared memory.
inside()
{
	# shellcheck disable=SC2016 # the inner shell expands them
	unshare --mount --pid --fork --kill-child --mount-proc="$1/proc" \
		sh -c 'mount -t tmpfs -o mode=1777 shm "$1/dev/shm" && exec chroot "$@"' sh \
		"$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"
}

make_root()
{
	local release=$1 root=$2 script=/usr/share/debootstrap/scripts/$1

	need_packages debootstrap
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	say "Making $root ..."
	rm -rf "$root.new"
	mkdir -p "$matrix"
	debootstrap --variant=minbase "$release" "$root.new" "$mirror" "$script" >"$root.log" 2>&1 ||
		{ tail -n 20 "$root.log"; return 1; }
	mv "$root.new" "$root"
}

passed=0
failed=0
for release in "${releases[@]}"; do
	root=$matrix/$release
	say "" "##### $release"
	if [ ! -d "$root" ] && ! make_root "$release" "$root"; then
		failed=$((failed + 1))
		continue
	fi
	# no service is to start, and a mirror of the testing release may lag
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90matrix"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	rm -rf "$root/ann"
	copy_tree "$top" "$root/ann"
	inside "$root" bash /ann/test/run.sh "${suites[@]}" | tee "$root.log"
	read -r p f < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$root.log")
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
	p='' f=''
done

say "" "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
