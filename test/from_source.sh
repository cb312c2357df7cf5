# shellcheck shell=bash
#
# from_source.sh
#	  What sanitize.sh and valgrind.sh share: a PostgreSQL built from the source
#	  of Debian's package, and tests on it that also fail if a process has left a
#	  report.  To be sourced.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/server.sh
. "$top/test/server.sh"

passed=0
failed=0
log=$(mktemp)
# Reports, one file per process; what is not empty is one.
reports=$(mktemp -d /tmp/ann-reports-XXXXXX)
give_to_server "$reports"
trap 'rm -rf "$log" "$reports"' EXIT

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

# build_server DIR ARGUMENT...: with such arguments to configure, unless it is there.
build_server()
{
	local server=$1 work=$1.new

	[ ! -d "$server" ] || return 0
	rm -rf "$work"
	mkdir -p "$work"
	need_packages bzip2 bison flex perl libipc-run-perl gcc libc6-dev make "postgresql-$PG_MAJOR-pgtap"
	say "Building $server ..."
	{
		get_source "$work" && cd "$work"/postgresql-*/ &&
			./configure --quiet --prefix="$server" --enable-debug --enable-tap-tests \
				--without-readline --without-zlib --without-icu "${@:2}" &&
			make -s -j2 && make -s install && make -s -C contrib/pageinspect install &&
			cp src/tools/valgrind.supp "$server" && cd / &&
			cp "$("$PG_CONFIG" --sharedir)"/extension/pgtap* "$("$server/bin/pg_config" --sharedir)/extension/"
	} >"$server.log" 2>&1 || { tail -n 20 "$server.log"; die "The server could not be built."; }
	rm -rf "$work"
}

# run SERVER [SUITE ...]
run()
{
	local p f
	PG_CONFIG=$1/bin/pg_config bash "$top/test/run.sh" "${@:2}" | tee "$log"
	read -r p f < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log")
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
}

# A report fails, even if it was of a server that the test was to kill.
summary()
{
	local report
	while read -r report; do
		say "" "##### $report"
		head -n 100 "$report"
		failed=$((failed + 1))
	done < <(find "$reports" -type f -size +0)
	say "" "$passed passed, $failed failed"
	[ $failed = 0 ] && [ $passed -gt 0 ]
}
