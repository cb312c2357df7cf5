#!/usr/bin/env bash
#
# sanitize.sh
#	  The tests on a PostgreSQL of its own, built with assertions and with
#	  AddressSanitizer and UndefinedBehaviorSanitizer, as the extension then is
#	  too: whatever they report ends the server, and fails.
#
#	  test/sanitize.sh [DIRECTORY [SUITE ...]]
#
# DIRECTORY, or ANN_SANITIZE_DIR, holds the server; if it is missing it is built
# from the source of Debian's package, which takes a quarter of an hour and 1 GB.
# Without SUITE, "regress", "isolation", "tap" and "pgtap" run, and a part of
# "regress" once more with caches discarded whenever that is allowed.  The last
# line of output is "N passed, N failed".

set -uo pipefail

# shellcheck source=test/from_source.sh
. "$(dirname "${BASH_SOURCE[0]}")/from_source.sh"

server=${1:-${ANN_SANITIZE_DIR:-}}
suites=("${@:2}")
[ -n "$server" ] || die "Usage: $0 DIRECTORY [SUITE ...]"

# PostgreSQL does not free what the end of a process frees; its stack must be
# one, for it to see how deep it is.  UndefinedBehaviorSanitizer, which gcc has
# write to stderr wherever it is told to, traps, for AddressSanitizer to report.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:handle_sigill=1:abort_on_error=1:disable_coredump=0:log_path=$reports/asan

need_postgres
build_server "$server" --enable-cassert LDFLAGS='-fsanitize=address,undefined' \
	CFLAGS='-Og -fno-omit-frame-pointer -fsanitize=address,undefined -fsanitize-undefined-trap-on-error'
if [ ${#suites[@]} -gt 0 ]; then
	run "$server" "${suites[@]}"
else
	run "$server" regress isolation tap pgtap
	say "" "##### debug_discard_caches"
	ANN_TEST_REGRESS='hnsw_ddl hnsw_scan ivfflat_bit lsh_ddl types_cast' \
		ANN_TEST_SETTING=debug_discard_caches=1 run "$server" regress
fi
summary
