#!/usr/bin/env bash
#
# run.sh
#	  Real clients, over their published packages, as TAP.
#
#	  test/clients/run.sh DIRECTORY [NAME ...]
#
# Each directory here is a set of packages: LANGUAGE/SET with the versions
# pinned in the manner of the language, and one program per client.  They are
# fetched to DIRECTORY; a program gets a database of its own on the server that
# the environment (PGHOST, PGPORT, PGUSER, PGPASSWORD) tells.  With NAMEs, only
# the sets called so are run.
#
# A set whose toolchain is missing is skipped, and says so; when CI is set, it
# fails.

set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(realpath "$1")
shift

say() { printf '%s\n' "$@"; }

# run SET PROGRAM COMMAND...: in the directory of the set.
run()
{
	local set=$1 program=$2 database
	database=$(tr -c 'a-z0-9\n' _ <<<"$set/$program")
	shift 2
	say "# $set: $program"
	psql -X -q -d postgres -c "CREATE DATABASE $database" || { say "not ok - $set: no database"; return; }
	PGDATABASE=$database "$@" 2>&1 || say "not ok - $set: $program ended with status $?"
}

# The last lines of what failed, for the log
fetch()
{
	"$@" >"$dir/fetch.log" 2>&1 || { tail -n 20 "$dir/fetch.log" | sed 's/^/# /'; return 1; }
}

set_python()
{
	local program
	fetch python3 -m venv venv && fetch venv/bin/pip install --quiet --no-compile -r requirements.txt || return
	for program in use_*.py; do
		PYTHONPATH=$dir/python PYTHONDONTWRITEBYTECODE=1 run "$1" "$program" venv/bin/python -W ignore "$program"
	done
}

set_node()
{
	local program
	fetch npm install --no-audit --no-fund --no-package-lock || return
	for program in use_*.mjs; do
		run "$1" "$program" node --no-deprecation "$program"
	done
}

set_go() { fetch go build -o client . && run "$1" main.go ./client; }
set_rust() { fetch cargo build --quiet && run "$1" main.rs target/debug/clients; }

set_java()
{
	fetch mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib &&
		run "$1" UseJdbc.java java -cp 'lib/*' UseJdbc.java
}

# sets LANGUAGE TOOL MANIFEST: all sets of a language, if it has its tool.
sets()
{
	local language=$1 tool=$2 manifest set
	shopt -s nullglob globstar
	for manifest in "$dir/$language"/**/"$3"; do
		set=${manifest#"$dir/"}
		set=${set%"/$3"}
		[ ${#names[@]} = 0 ] || [[ " ${names[*]} " = *" $set "* ]] || continue
		if ! command -v "$tool" >/dev/null; then
			say "# $set is skipped: there is no $tool"
			[ -z "${CI:-}" ] || say "not ok - $set: there is no $tool"
		elif ! cd "$(dirname "$manifest")" || ! "set_$language" "$set"; then
			say "not ok - $set: its packages could not be had"
		fi
	done
}

names=("$@")
cp -R "$top/." "$dir"
sets python python3 requirements.txt
sets node npm package.json
sets go go go.mod
sets rust cargo Cargo.toml
sets java mvn pom.xml
