#!/usr/bin/env bash
#
# lint.sh
#	  The rules of the house that a grep can check, as TAP: src/README.md gives
#	  the reasons.  Seconds, not minutes: no server, no installation.
#
# A rule is a function that prints what breaks it, and nothing if all is well.
# A template is a header without an include guard, in the manner of simplehash.

set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
PG_CONFIG=${PG_CONFIG:-pg_config}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

mapfile -t sources < <(find src -name '*.[ch]' | sort)
mapfile -t c_files < <(find src -name '*.c' | sort)
mapfile -t headers < <(find src -name '*.h' -exec grep -lE '^#ifndef \w+_H$' {} + | sort)
mapfile -t templates < <(find src -name '*.h' -exec grep -LE '^#ifndef \w+_H$' {} + | sort)
mapfile -t texts < <(find . -type f ! -path './.git' ! -path './.git/*' ! -path '*/tmp_check/*' ! -path './results/*' \
	! -path './output_iso/*' ! -path '*/build/*' -exec grep -lI . {} + | sort)
[ ${#c_files[@]} -gt 0 ] && [ ${#headers[@]} -gt 0 ] || exit 2

version_tests_only_in_compat()
{
	grep -n PG_VERSION_NUM "${sources[@]}" | grep -v '^src/compat\.h:'
}

generic_xlog_only_in_edit()
{
	grep -nE 'GenericXLog|generic_xlog\.h' "${sources[@]}" | grep -v '^src/am/am_edit\.[ch]:'
}

intrinsics_only_in_kernels()
{
	grep -nE 'immintrin\.h|arm_neon\.h' "${sources[@]}" | grep -vE '^src/kernels/kern_\w+\.c:'
}

# kernels < types < space < am < the access methods < ann.c; the access
# methods do not know each other, and compat.h knows nobody.
includes_go_down()
{
	grep -nE '^#include "' "${sources[@]}" | awk -F '[:"]' '
		function layer(path,   part) {
			split(path, part, "/")
			if (path ~ /^kernels\//) return 1
			if (path ~ /^types\//) return 2
			if (path ~ /^space\//) return 3
			if (path ~ /^am\//) return 4
			if (path ~ /^(hnsw|ivfflat|lsh)\//) return 5
			return path == "compat.h" ? 0 : 6
		}
		function dir(path) { sub(/\/.*/, "", path); return path }
		{
			from = $1; sub(/^src\//, "", from)
			to = $4
			if (system("test -e src/" to) != 0) next		# PostgreSQL'"'"'s own
			if (layer(to) > layer(from) || from == "compat.h" ||
				(layer(to) == 5 && layer(from) == 5 && dir(to) != dir(from)))
				print
		}'
	# by path, so that the rule above sees them all
	for header in "${headers[@]}"; do
		[ "$header" = src/compat.h ] || grep -nE "^#include \"$(basename "$header")\"" "${sources[@]}"
	done
}

first_include_is_postgres()
{
	local file first
	for file in "${c_files[@]}"; do
		case $file in
			src/kernels/* | src/types/parse.c | src/space/rotate.c | src/space/rabitq.c | src/space/kmeans.c | src/lsh/lsh_hash.c) first='"c.h"' ;;
			*) first='"postgres.h"' ;;
		esac
		[ "$(grep -m 1 '^#include' "$file")" = "#include $first" ] || say "$file"
	done
	grep -nE '^#include "(postgres|c)\.h"' "${headers[@]}" "${templates[@]}"
}

headers_compile_alone()
{
	local header
	for header in "${headers[@]}"; do
		printf '#include "postgres.h"\n#include "%s"\n' "${header#src/}" |
			"${CC:-gcc}" -fsyntax-only -Wall -Isrc -I"$("$PG_CONFIG" --includedir-server)" -xc - 2>&1 |
			grep -E 'error|warning'
	done
}

# A .c file may define what a template takes as its parameters.
no_function_like_macros()
{
	local place name
	grep -noE '^#[[:space:]]*define \w+\(' "${c_files[@]}" "${headers[@]}" |
		while IFS='(' read -r place _; do
			name=${place##* }
			[[ $place = src/compat.h:* || $name = SH_* ]] ||
				grep -qsw "$name" "${templates[@]}" || say "$place"
		done
}

unique_base_names()
{
	find src -name '*.[ch]' -exec basename {} \; | sort | uniq -d
}

short_files()
{
	wc -l "${sources[@]}" | awk '$2 != "total" && $1 > 900'
}

errors_have_sqlstates()
{
	perl -0777 -ne '
		while (/\b(ereport|errsave|ereturn)\s*\((.*?)\)\s*;/sg) {
			my ($kind, $call, $line) = ($1, $2, 1 + (substr($`, 0) =~ tr/\n//));
			next if $call !~ /errmsg/ || $call =~ /errcode|DEBUG|LOG|INFO|NOTICE/;
			print "$ARGV:$line: $kind without errcode\n";
		}' "${sources[@]}" | grep -v '^src/compat\.h:'
}

no_unfinished_business()
{
	grep -nE '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' "${texts[@]}"
}

no_machine_paths()
{
	grep -nE '(^|[^[:alnum:]_.$}/-])/(work|root|home)/' "${texts[@]}"
}

# An expected output for every test, a test for every expected output, and
# nothing that the wildcards of Makefile and run.sh would pass over.
every_test_is_run()
{
	local file name
	for file in sql/*.sql; do
		name=$(basename "$file" .sql)
		[[ $name = ann--* || -e expected/$name.out ]] || say "$file has no expected/$name.out"
	done
	for file in expected/*; do
		name=$(basename "$file" .out)
		[[ -e sql/$name.sql || -e sql/${name%_[0-9]}.sql ]] || say "$file has no sql/$name.sql"
	done
	for file in test/specs/*; do
		name=$(basename "$file" .spec)
		[[ -e test/expected/$name.out && $file = *.spec ]] || say "$file has no test/expected/$name.out"
	done
	for file in test/expected/*; do
		name=$(basename "$file" .out)
		[[ -e test/specs/$name.spec || -e test/specs/${name%_[0-9]}.spec ]] ||
			say "$file has no test/specs/$name.spec"
	done
	find test/t test/long -type f ! -name '*.pl'
	find test/pgtap -type f ! -name '*.sql' ! -name '*.psql'
	find test/perl -type f ! -name '*.pm'
}

invariants_are_checked()
{
	local readme am number
	for readme in src/*/README.md; do
		am=$(basename "$(dirname "$readme")")
		grep -oE '^\* \*\*I[0-9]+\*\*' "$readme" | tr -d '* ' |
			while read -r number; do
				grep -qsw "$number" "src/$am/${am}_check.c" ||
					say "$readme: $number is not in ${am}_check.c"
			done
	done
}

# Tests stop a session after each step of the tables of WAL: am_point.h.  A point
# is called by the access method and the number, or what is common to all by the
# first words of the step.
wal_steps_have_points()
{
	local readme am step points
	points=$(sed -n 's/.*AnnPoint("\([^"]*\)".*/\1/p' src/am/*.c)
	for readme in src/*/README.md; do
		am=$(basename "$(dirname "$readme")")
		sed -n 's/^| \(W[0-9]* [^|]*\) |.*/\1/p' "$readme" |
			while read -r step; do
				grep -qs "AnnPoint(.*\"$am ${step%% *}\"" "src/$am"/*.c ||
					grep -qE "^(${points//$'\n'/|})" <<<"${step#* }" ||
					say "$readme: $step has no AnnPoint"
			done
	done
}

sql_symbols()
{
	cat sql/ann--*.sql | perl -0777 -ne '
		s/--.*//g;
		for my $command (split /;/) {
			my ($name) = $command =~ /\bCREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s+(\w+)\s*\(/i or next;
			my ($symbol) = $command =~ /\bAS\s+\x27MODULE_PATHNAME\x27(?:\s*,\s*\x27(\w+)\x27)?/i;
			next if $command !~ /MODULE_PATHNAME/;
			print $symbol // $name, "\n";
		}' | sort -u
}

# What leaves the shared object is what SQL names, what PostgreSQL looks for,
# and the entry points of parallel workers.
exports_are_wanted()
{
	mkdir "$work/tree"
	cp -R Makefile ann.control sql src "$work/tree"
	find "$work/tree" \( -name '*.o' -o -name '*.bc' \) -delete
	if ! make -s -j2 -C "$work/tree" PG_CONFIG="$PG_CONFIG" COPT=-O0 with_llvm=no ann.so \
		>"$work/build.log" 2>&1; then
		tail -n 5 "$work/build.log"
		say "ann.so does not build"
		return
	fi
	sql_symbols >"$work/sql"
	[ -s "$work/sql" ] || say "sql/ann--*.sql names no function of ann.so"
	nm -D --defined-only "$work/tree/ann.so" | awk '{ print $3 }' | sort >"$work/exported"
	sed 's/^pg_finfo_//' "$work/exported" | grep -vE '^(_PG_init|Pg_magic_func|\w+(_main|Main))$' |
		sort -u | comm -23 - "$work/sql" | sed 's/^/exported, but not in SQL: /'
	comm -23 "$work/sql" "$work/exported" | sed 's/^/in SQL, but not exported: /'
}

scripts_pass_shellcheck()
{
	local scripts
	mapfile -t scripts < <(find . -name '*.sh' ! -path './.git/*'; echo .ci/run)
	shellcheck -x "${scripts[@]}"
}

say() { printf '%s\n' "$@"; }

count=0
failures=0
rule()
{
	local broken
	count=$((count + 1))
	broken=$("$1" 2>&1)
	if [ -z "$broken" ]; then
		say "ok $count - ${1//_/ }"
	else
		failures=$((failures + 1))
		say "not ok $count - ${1//_/ }"
		say "$broken" | head -n 20 | sed 's/^/#   /'
	fi
}

shopt -s nullglob
rule version_tests_only_in_compat
rule generic_xlog_only_in_edit
rule intrinsics_only_in_kernels
rule includes_go_down
rule first_include_is_postgres
rule headers_compile_alone
rule no_function_like_macros
rule unique_base_names
rule short_files
rule errors_have_sqlstates
rule no_unfinished_business
rule no_machine_paths
rule every_test_is_run
rule invariants_are_checked
rule wal_steps_have_points
rule exports_are_wanted
if command -v shellcheck >/dev/null; then
	rule scripts_pass_shellcheck
fi
say "1..$count"
[ $failures = 0 ]
