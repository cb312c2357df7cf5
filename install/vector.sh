#!/bin/sh
#
# vector.sh
#	  Installs ann under the name of pgvector, and removes it again.
#
#	  install/vector.sh install DIRECTORY     where extensions are installed
#	  install/vector.sh uninstall DIRECTORY
#
# Where pgvector's own control file and scripts lie, FORCE=1 sets them aside
# until the removal.  pgvector's module is never touched: databases that were
# not migrated go on using it.

set -eu

dir=$(dirname "$0")
to=$2
aside=$to/vector.pgvector

# Which pgvector it equals, and which ones it can follow
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$dir/vector.control")
versions="0.5.0 0.5.1 0.6.0 0.6.1 0.6.2 0.7.0 0.7.1 0.7.2 0.7.3 0.7.4
	0.8.0 0.8.1 0.8.2 0.8.3 0.8.4 0.8.5 0.8.6 0.8.7"

is_ours() { grep -qF "'\$libdir/ann'" "$to/vector.control"; }
script() { sh "$dir/scripts.sh" "$@" <"$dir/../sql/ann--1.0.sql"; }

case $1 in
	install)
		if [ -e "$to/vector.control" ] && ! is_ours; then
			if [ "${FORCE:-}" != 1 ]; then
				echo "pgvector's own files are in $to: remove them, or set them aside with FORCE=1." >&2
				exit 1
			fi
			mkdir -p "$aside"
			mv "$to/vector.control" "$to"/vector--*.sql "$aside"
		fi
		mkdir -p "$to"
		rm -f "$to"/vector--*.sql
		script create vector >"$to/vector--$version.sql"
		script migrate >"$to/vector--pgvector--ann.sql"
		echo "-- Nothing is left to do." >"$to/vector--ann--$version.sql"
		for from in $versions; do
			echo "-- All versions of pgvector are migrated alike." >"$to/vector--$from--pgvector.sql"
		done
		cp "$dir/vector.control" "$to"
		;;
	uninstall)
		if [ ! -e "$to/vector.control" ] || ! is_ours; then
			echo "There is no extension vector of ann's in $to." >&2
			exit 1
		fi
		rm "$to/vector.control" "$to"/vector--*.sql
		if [ -d "$aside" ]; then
			mv "$aside"/* "$to"
			rmdir "$aside"
		fi
		;;
esac
