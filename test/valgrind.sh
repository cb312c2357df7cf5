#!/usr/bin/env bash
#
# valgrind.sh
#	  A part of "regress" on a PostgreSQL of its own that tells valgrind what it
#	  allocates: what is used before it is set, which sanitizers do not see, is
#	  reported, and fails.
#
#	  test/valgrind.sh [DIRECTORY [SUITE ...]]
#
# DIRECTORY, or ANN_VALGRIND_DIR, holds the server; if it is missing it is built
# from the source of Debian's package.  The last line of output is "N passed, N
# failed".

set -uo pipefail

# shellcheck source=test/from_source.sh
. "$(dirname "${BASH_SOURCE[0]}")/from_source.sh"

server=${1:-${ANN_VALGRIND_DIR:-}}
suites=("${@:2}")
[ -n "$server" ] || die "Usage: $0 DIRECTORY [SUITE ...]"
[ ${#suites[@]} -gt 0 ] || suites=(regress)

# In place of "postgres", for pg_ctl: initdb and others call it in other ways.
put_under_valgrind()
{
	[ ! -e "$1/bin/postgres.real" ] || return 0
	mv "$1/bin/postgres" "$1/bin/postgres.real"
	cat >"$1/bin/postgres" <<-END
		#!/bin/sh
		real=\$(dirname "\$0")/postgres.real
		[ "\$1" = -D ] || exec "\$real" "\$@"
		exec valgrind -q --trace-children=yes --track-origins=yes --read-var-info=no --leak-check=no \\
			--suppressions=$1/valgrind.supp --log-file="\$ANN_VALGRIND_REPORTS/%p" "\$real" "\$@"
	END
	chmod 755 "$1/bin/postgres"
}

export ANN_VALGRIND_REPORTS=$reports
: "${ANN_TEST_REGRESS:=methods}"
export ANN_TEST_REGRESS

need_postgres
need_packages valgrind
build_server "$server" CPPFLAGS=-DUSE_VALGRIND CFLAGS='-O1 -fno-omit-frame-pointer'
put_under_valgrind "$server"
run "$server" "${suites[@]}"
summary
