#!/usr/bin/env bash
#
# run.sh
#	  Runs the tests: all of them, or the suites named as arguments.
#
#	  test/run.sh [SUITE ...]		suites: see the list below
#
# Tests the PostgreSQL of PG_CONFIG, or else the newest one installed, with
# private servers of its own; installs the Debian packages it needs and, as
# root or through sudo, the extension.  Works on a copy of the tree.  The last
# line of output is "N passed, N failed"; the status is 0 if N failed is 0 and
# something passed.
#
# ANN_TEST_REGRESS chooses tests of the suite "regress", and ANN_TEST_SETTING is
# a line for their server's configuration; ANN_TEST_TAP chooses files of "tap",
# and ANN_TEST_KILLS says how many kills there are in "long".

set -uo pipefail

all_suites=(lint build unit fuzz regress isolation tap pgtap readme bench quickstart migrate clients)

# Run only when named: the unit tests for 64-bit Arm, emulated; the tests with
# sanitizers and under valgrind, see sanitize.sh and valgrind.sh; and what takes long
more_suites=(arm64 sanitize valgrind long)

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/server.sh
. "$top/test/server.sh"

# Results of the suite being run, and of all
passed=0
failed=0
all_passed=0
all_failed=0

pass() { passed=$((passed + ${1:-1})); }
fail() { failed=$((failed + ${1:-1})); }

finish()
{
	local status=$?

	trap '' INT TERM HUP
	if [ -n "${PG_BIN:-}" ]; then
		stop_server "$work/pg"
		stop_server "$work/quickstart"
		stop_server "$work/vector"
		stop_server "$work/clients"
	fi
	! mountpoint -q "$work/disk" || as_root umount "$work/disk"
	rm -rf "$work"
	exit $status
}

# count_tap FILE: results on lines that start with "ok" or "not ok", as TAP has
# it and as pg_regress does from PostgreSQL 16 on.
count_tap()
{
	pass "$(grep -cE '^ok\b' "$1")"
	fail "$(grep -cE '^not ok\b' "$1")"
}

# count_prove FILE STATUS: from the summary that prove and pg_prove print.
# A file that died without a failed assertion counts as one failure.
count_prove()
{
	local ran bad
	ran=$(sed -n 's/^Files=[0-9]*, Tests=\([0-9]*\),.*/\1/p' "$1")
	bad=$(sed -n 's/.*(Wstat: .* Tests: [0-9]* Failed: \([0-9]*\)).*/\1/p' "$1" |
		awk '{ n += $1 > 0 ? $1 : 1; assertions += $1 } END { print n + 0, assertions + 0 }')
	pass $((${ran:-0} - ${bad#* }))
	fail "${bad% *}"
	if [ "$2" != 0 ] && [ "${bad% *}" = 0 ]; then
		fail
	fi
}

# shown FILE: the output of a suite, bounded.
shown()
{
	local lines
	lines=$(wc -l <"$1")
	if [ "$lines" -le 200 ]; then
		cat "$1"
	else
		head -n 50 "$1"
		say "... $((lines - 200)) lines left out ..."
		tail -n 150 "$1"
	fi
}

in_tree() { (cd "$tree" && as_server env "PGHOST=$work/pg" PGPORT=5432 PGUSER=postgres "$@"); }
psql_to() { local db=$1; shift; in_tree "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -d "$db" "$@"; }

# The copy for the server's user to build in and to run from.
make_tree()
{
	[ ! -d "$tree" ] || return 0
	as_server mkdir "$tree"
	copy_tree "$top" "$tree"
	give_to_server "$tree"
}

# build_in DIR CC: from clean sources; any output is a warning too many.
build_in()
{
	local log=$1.log quiet=
	# clang does not know all that PostgreSQL's headers and flags say to gcc
	if [ "$2" = clang ]; then
		quiet='-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes'
	fi
	rm -rf "$1"
	copy_tree "$top" "$1"
	give_to_server "$1"
	(cd "$1" && as_server make -s -j2 PG_CONFIG="$PG_CONFIG" CC="$2" \
		COPT="-Werror $quiet") >"$log" 2>&1 &&
		[ ! -s "$log" ]
}

installed=no
need_install()
{
	[ $installed = no ] || return 0
	[ -d "$work/gcc" ] || build_in "$work/gcc" gcc || { shown "$work/gcc.log"; return 1; }
	(cd "$work/gcc" && as_root make -s PG_CONFIG="$PG_CONFIG" CC=gcc install) >"$work/gcc.log" 2>&1 ||
		{ shown "$work/gcc.log"; return 1; }
	installed=yes
}

# The extension installed and a server up, for the suites that want them.  What
# tests expect of VACUUM is not to depend on who else has been there.
need_server()
{
	make_tree
	need_install || return 1
	start_server "$work/pg" max_prepared_transactions=10 autovacuum_naptime=1d ${ANN_TEST_SETTING:+"$ANN_TEST_SETTING"}
}

# A copy of PostgreSQL that has the extension under both names.
need_vector()
{
	[ -z "${vector_bin:-}" ] || return 0
	need_install || return 1
	vector_bin=$(copy_postgres "$work/root")
	make -s -C "$work/gcc" PG_CONFIG="$PG_CONFIG" CC=gcc DESTDIR="$work/root" FORCE=1 install-vector \
		>"$work/gcc.log" 2>&1 || { shown "$work/gcc.log"; return 1; }
	give_to_server "$work/root"
}

# A copy of PostgreSQL that has the extension with points: src/am/am_point.h.
need_points()
{
	[ -z "${points_bin:-}" ] || return 0
	copy_tree "$top" "$work/with-points"
	points_bin=$(copy_postgres "$work/points")
	make -s -j2 -C "$work/with-points" PG_CONFIG="$PG_CONFIG" ANN_DEBUG_POINTS=1 COPT=-Werror with_llvm=no \
		DESTDIR="$work/points" install >"$work/points.log" 2>&1 || { shown "$work/points.log"; return 1; }
	give_to_server "$work/points"
}

# A server of it; suites connect to it as PGHOST=$work/vector.
need_vector_server()
{
	need_vector || return 1
	[ -d "$work/vector" ] || as_server mkdir "$work/vector"
	PG_BIN=$vector_bin start_server "$work/vector"
}

suite_lint()
{
	(cd "$top" && PG_CONFIG="$PG_CONFIG" bash test/lint.sh) >"$log" 2>&1
	shown "$log"
	count_tap "$log"
}

suite_build()
{
	local cc
	for cc in gcc clang; do
		if build_in "$work/$cc" $cc; then
			say "ok - $cc: no warnings"
			pass
		else
			shown "$work/$cc.log"
			say "not ok - $cc"
			fail
		fi
	done
	need_install || fail
}

suite_unit()
{
	local status
	make_tree
	in_tree make -s -C test/unit PG_CONFIG="$PG_CONFIG" check >"$log" 2>&1
	status=$?
	shown "$log"
	count_prove "$log" $status
}

suite_arm64()
{
	local status
	need_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
	make_tree
	in_tree make -s -C test/unit PG_CONFIG="$PG_CONFIG" check-arm64 >"$log" 2>&1
	status=$?
	shown "$log"
	count_prove "$log" $status
}

# Some seconds of each target; in the long run, as many inputs as it takes to
# believe that there is no other.
suite_fuzz()
{
	local runs=20000
	[ -z "${ANN_TEST_LONG:-}" ] || runs=10000000
	need_packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
	make_tree
	in_tree make -s -j2 -C test/fuzz PG_CONFIG="$PG_CONFIG" check RUNS=$runs >"$log" 2>&1
	shown "$log"
	count_tap "$log"
}

# run_script SCRIPT DIRECTORY: one that builds a server in DIRECTORY, for such suites.
run_script()
{
	bash "$top/test/$1" "$2" >"$log" 2>&1
	shown "$log"
	read -r passed failed < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log")
	[ "${passed:-0}" -gt 0 ] || fail
}

suite_sanitize() { run_script sanitize.sh "${ANN_SANITIZE_DIR:-$work/sanitize}"; }
suite_valgrind() { run_script valgrind.sh "${ANN_VALGRIND_DIR:-$work/valgrind}"; }

# run_regress VARIABLE=...: make installcheck, with other kinds of tests off.
run_regress()
{
	local status diffs
	need_server || { fail; return; }
	in_tree make -s PG_CONFIG="$PG_CONFIG" installcheck TAP_TESTS= "$@" >"$log" 2>&1
	status=$?
	shown "$log"
	# PostgreSQL 15 has its own format, 16 and later have TAP
	pass "$(grep -cE '^ok |^test .* ok +[0-9]+ ms$' "$log")"
	fail "$(grep -cE '^not ok |^test .* FAILED' "$log")"
	[ $status = 0 ] || [ $failed != 0 ] || fail
	for diffs in "$tree/regression.diffs" "$tree/output_iso/regression.diffs"; do
		if [ $failed != 0 ] && [ -s "$diffs" ]; then
			shown "$diffs"
		fi
	done
}

suite_regress() { run_regress ISOLATION= ${ANN_TEST_REGRESS:+"REGRESS=$ANN_TEST_REGRESS"}; }
suite_isolation() { run_regress REGRESS=; }

# A file system that is soon full, where one may be mounted; else the tests that
# want it say that they are skipped.  Prints a directory in it.
make_small_disk()
{
	mkdir -p "$work/disk"
	if mountpoint -q "$work/disk" ||
		as_root mount -t tmpfs -o size=160k,mode=777 small "$work/disk" 2>/dev/null; then
		as_server mkdir -p "$work/disk/space"
		say "$work/disk/space"
	fi
}

# run_prove FILE...: TAP tests in Perl.
run_prove()
{
	local perl status
	perl=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/perl
	make_tree
	need_vector || { fail; return; }
	need_points || { fail; return; }
	in_tree env "ANN_VECTOR_INSTALLATION=$(dirname "$vector_bin")" "ANN_POINTS_INSTALLATION=$(dirname "$points_bin")" \
		"ANN_TEST_SMALL_DISK=$(make_small_disk)" "PERL5LIB=$perl" "PATH=$PG_BIN:$PATH" \
		"TESTDIR=$tree" "TESTDATADIR=$tree/tmp_check" "TESTLOGDIR=$tree/tmp_check/log" \
		"PG_REGRESS=$perl/../regress/pg_regress" PG_TEST_TIMEOUT_DEFAULT=1200 \
		prove "$@" >"$log" 2>&1
	status=$?
	shown "$log"
	count_prove "$log" $status
	if [ $failed != 0 ]; then
		tail -n 40 "$tree"/tmp_check/log/*
		grep -h -A 15 'not ok' "$tree"/tmp_check/log/regress_log_* >>"$log"
	fi
}

# shellcheck disable=SC2086 # it may be several
suite_tap() { run_prove -j2 -I test/perl --ext .pl ${ANN_TEST_TAP:-test/t}; }

# What takes long: many kills, and VACUUM of large tables, with figures.
suite_long() { ANN_TEST_KILLS=${ANN_TEST_KILLS:-200} run_prove -v -I test/perl --ext .pl test/t/022_kill.pl test/long; }

suite_pgtap()
{
	local status
	need_server || { fail; return; }
	psql_to postgres -c 'CREATE DATABASE pgtap'
	in_tree pg_prove --psql-bin "$PG_BIN/psql" -d pgtap --ext .sql -r test/pgtap >"$log" 2>&1
	status=$?
	shown "$log"
	count_prove "$log" $status

	# the same under the name of pgvector
	need_vector_server || { fail; return; }
	in_tree env "PGHOST=$work/vector" pg_prove --psql-bin "$PG_BIN/psql" -d postgres --set extension=vector \
		--ext .sql -r test/pgtap >"$log" 2>&1
	status=$?
	shown "$log"
	count_prove "$log" $status
}

# Every ```sql block of the README, in order, in one database; likewise of each
# page of docs.
suite_readme()
{
	local page name
	need_server || { fail; return; }
	for page in "$tree"/README.md "$tree"/docs/*.md; do
		name=$(basename "$page" .md)
		as_server mkdir -p "$work/pages/$name"
		as_server awk -v dir="$work/pages/$name" '
			/^```sql$/ { file = sprintf("%s/%03d-line-%d.sql", dir, ++n, NR + 1); next }
			/^```$/ { file = "" }
			file { print >file }' "$page"
		run_blocks "$name.md" "$work/pages/$name" "page_$name"
	done
}

# run_blocks PAGE DIR DATABASE
run_blocks()
{
	local block
	psql_to postgres -c "CREATE DATABASE \"$3\""
	for block in "$2"/*.sql; do
		if psql_to "$3" -f "$block" >"$log" 2>&1; then
			say "ok - $1, $(basename "$block" .sql)"
			pass
		else
			say "not ok - $1, $(basename "$block" .sql)"
			shown "$log"
			fail
		fi
	done
}

# run_example COMMAND...: one that prints TAP.
run_example()
{
	local status
	"$@" >"$log" 2>&1
	status=$?
	shown "$log"
	count_tap "$log"
	[ $status = 0 ] || [ $failed != 0 ] || fail
}

suite_quickstart() { run_example env "ANN_QUICKSTART_DIR=$work/quickstart" "$top/examples/quickstart.sh" --check; }
suite_migrate() { run_example "$top/examples/migrate-from-pgvector.sh"; }

suite_bench()
{
	local python=python3
	need_server || { fail; return; }
	if ! as_server python3 -c 'import numpy, psycopg2' 2>/dev/null; then
		need_packages python3-numpy python3-psycopg2
		python=/usr/bin/python3
	fi
	as_server mkdir "$work/bench"
	run_example in_tree env "PATH=$PG_BIN:$PATH" "$python" test/bench/check.py "$work/bench"
}

# Over TCP, which all of them can, on a port nobody is likely to have.
suite_clients()
{
	local port=$((20000 + $$ % 10000))
	need_vector || { fail; return; }
	python3 -m ensurepip --version >/dev/null 2>&1 || need_packages python3-venv
	as_server mkdir "$work/clients"
	PG_BIN=$vector_bin start_server "$work/clients" "listen_addresses='127.0.0.1'" "port=$port" || { fail; return; }
	mkdir "$work/packages"
	env "PATH=$PG_BIN:$PATH" PGHOST=127.0.0.1 "PGPORT=$port" PGUSER=postgres PGPASSWORD=any \
		bash "$top/test/clients/run.sh" "$work/packages" >"$log" 2>&1
	grep -v '^ok' "$log" >"$log.rest"
	shown "$log.rest"
	count_tap "$log"
}

# What the log says of failures, to be read at the end of a long output.
reasons()
{
	say "" "=== failed in $suite"
	grep -E -A 15 '^(\[[^]]*\] *)?not ok|\.\. FAILED|Failed test|Dubious|Tests: .* Failed: ' "$log" | head -n 60
}

run_suite()
{
	local suite=$1 start=$SECONDS

	say "" "=== $suite"
	passed=0
	failed=0
	log=$work/$suite.log
	"suite_$suite"
	if [ $((passed + failed)) = 0 ]; then
		say "There are no tests in $suite."
		fail
	fi
	say "=== $suite: $passed passed, $failed failed ($((SECONDS - start)) s)"
	[ $failed = 0 ] || reasons >>"$work/failures"
	all_passed=$((all_passed + passed))
	all_failed=$((all_failed + failed))
}

suites=("$@")
[ $# -gt 0 ] || suites=("${all_suites[@]}")
for suite in "${suites[@]}"; do
	[[ " ${all_suites[*]} ${more_suites[*]} " = *" $suite "* ]] ||
		die "There is no suite \"$suite\"; there are: ${all_suites[*]} ${more_suites[*]}"
done

shopt -s nullglob
cd /
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE PGSSLMODE PGPASSWORD MAKEFLAGS MAKELEVEL
export LC_ALL=C

need_postgres
need_packages gcc libc6-dev clang make perl libipc-run-perl shellcheck \
	"postgresql-$PG_MAJOR-pgtap" libtap-parser-sourcehandler-pgtap-perl

work=$(mktemp -d /tmp/ann-test-XXXXXX)
tree=$work/tree
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
give_to_server "$work"
as_server mkdir "$work/pg"

for suite in "${suites[@]}"; do
	run_suite "$suite"
done

[ $all_failed = 0 ] || cat "$work/failures"
say "" "$all_passed passed, $all_failed failed"
[ $all_failed = 0 ] && [ $all_passed -gt 0 ]
