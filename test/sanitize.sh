#!/usr/bin/env bash
#
# sanitize.sh
#	  The tests on a PostgreSQL of its own, built with assertions and with
#	  AddressSanitizer and UndefinedBehaviorSanitizer, as the extension then is
#	  too: whatever they report ends the server, and so fails a test.
#
#	  test/sanitize.sh [DIRECTORY [SUITE ...]]
#
# DIRECTORY, or ANN_SANITIZE_DIR, holds the server; if it is missing it is built
# from the source of Debian's package, which takes a quarter of an hour and 1 GB.
# Without SUITE, "regress", "isolation", "tap" and "pgtap" run, and a part of
# "regress" once more with caches discarded whenever that is allowed.  The last
# line of output is "N passed, N failed".

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/server.sh
. "$top/test/server.sh"

server=${1:-${ANN_SANITIZE_DIR:-}}
suites=("${@:2}")
[ -n "$server" ] || die "Usage: $0 DIRECTORY [SUITE ...]"

# PostgreSQL does not free what the end of a process frees; its stack must be
# one, for it to see how deep it is.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:disable_coredump=0
export UBSAN_OPTIONS=print_stacktrace=1

# The source of the package that the server installed is of, unpacked in DIR.
get_source()
{
	local apt=(-q -o "Dir::State::lists=$1/lists" -o "Dir::Etc::sourcelist=$1/sources.list"
		-o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root)

	mkdir -p "$1/lists/partial"
	# shellcheck source=/dev/null
	say "deb-src ${ANN_MATRIX_MIRROR:-http://deb.debian.org/debian} $(. /etc/os-release && say "$VERSION_CODENAME") main" \
		>"$1/sources.list"
	(cd "$1" && apt-get "${apt[@]}" update && apt-get "${apt[@]}" --download-only source "postgresql-$PG_MAJOR" &&
		tar -xf postgresql-*.orig.tar.*)
}

make_server()
{
	local work=$server.new
	rm -rf "$work"
	mkdir -p "$work"
	need_packages bzip2 bison flex perl libipc-run-perl gcc libc6-dev make
	say "Building $server ..."
	{
		get_source "$work" && cd "$work"/postgresql-*/ &&
			./configure --quiet --prefix="$server" --enable-cassert --enable-debug --enable-tap-tests \
				--without-readline --without-zlib --without-icu LDFLAGS='-fsanitize=address,undefined' \
				CFLAGS='-Og -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' &&
			make -s -j2 && make -s install && make -s -C contrib/pageinspect install && cd / &&
			cp "$("$PG_CONFIG" --sharedir)"/extension/pgtap* "$("$server/bin/pg_config" --sharedir)/extension/"
	} >"$server.log" 2>&1 || { tail -n 20 "$server.log"; return 1; }
	rm -rf "$work"
}

# run [SUITE ...]
run()
{
	PG_CONFIG=$server/bin/pg_config bash "$top/test/run.sh" "$@" | tee "$log"
	read -r p f < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log")
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
	p='' f=''
}

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

need_postgres
need_packages "postgresql-$PG_MAJOR-pgtap"
[ -d "$server" ] || make_server || die "The server could not be built."
if [ ${#suites[@]} -gt 0 ]; then
	run "${suites[@]}"
else
	run regress isolation tap pgtap
	say "" "##### debug_discard_caches"
	ANN_TEST_REGRESS='hnsw_ddl hnsw_scan ivfflat_bit lsh_ddl types_cast' \
		ANN_TEST_SETTING=debug_discard_caches=1 run regress
fi

say "" "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
