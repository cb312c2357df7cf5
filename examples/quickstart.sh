#!/usr/bin/env bash
#
# quickstart.sh
#	  From nothing to a search among real word vectors, on Debian or Ubuntu.
#
# Installs what is missing, builds and installs ann, and shows it at work on a
# private server, which touches no other database.
#
# All it keeps is in one directory, ANN_QUICKSTART_DIR or
# /tmp/ann-quickstart-<uid>.  Interrupted, it leaves nothing running.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
self=$0
# shellcheck source=test/server.sh
. "$top/test/server.sh"

usage()
{
	cat <<-EOF
		Usage: $self [--check | --stop | --clean]

		  (no option)  build, load, search; leave the server up to go on playing
		  --check      the same with nothing left running; tests the answers
		  --stop       stop the server
		  --clean      stop the server and remove all that was kept
	EOF
}

build=
leave_running=no

finish()
{
	local status=$?

	trap '' INT TERM HUP
	if [ -n "$build" ]; then
		kill "$build" 2>/dev/null || true
	fi
	if [ $leave_running = no ] && [ -n "${PG_BIN:-}" ]; then
		stop_server "$dir" || true
	fi
	exit $status
}

sql()
{
	"$PG_BIN/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$dir" -p 5432 -U postgres -d words "$@"
}

# What the result depends on, as one number.
fingerprint()
{
	(
		cd "$top"
		find Makefile ann.control install sql src examples/words -type f \
			! -name '*.o' ! -name '*.bc' -exec cksum {} + | sort
		"$PG_CONFIG" --version
	) | cksum
}

# The directory is ours alone: /tmp is everybody's.
claim_dir()
{
	local owner
	owner=$(as_server id -un)
	mkdir -p "$dir"
	case $(stat -c %U "$dir") in
		"$owner" | "$(id -un)") ;;
		*) die "$dir belongs to somebody else." ;;
	esac
	give_to_server "$dir"
}

build_extension()
{
	local lib
	lib=$("$PG_CONFIG" --pkglibdir)/ann.so
	if [ "$(cat "$dir/built" 2>/dev/null)" = "$want" ] && cmp -s "$dir/build/ann.so" "$lib"; then
		return
	fi
	say "Building ann for PostgreSQL $PG_MAJOR ..."
	rm -rf "$dir/build"
	copy_tree "$top" "$dir/build"
	if ! { make -s -j2 -C "$dir/build" PG_CONFIG="$PG_CONFIG" &&
		as_root make -s -C "$dir/build" PG_CONFIG="$PG_CONFIG" install; } >"$dir/build.log" 2>&1; then
		tail -n 30 "$dir/build.log" >&2
		die "The build failed."
	fi
	say "$want" >"$dir/built"
}

load_words()
{
	say "Loading the words ..."
	sql -d postgres -c 'DROP DATABASE IF EXISTS words' -c 'CREATE DATABASE words' 2>/dev/null
	sql -c 'CREATE EXTENSION ann' -f "$top/examples/words/words.sql"
	gzip -dc "$top/examples/words/words.tsv.gz" | sql -c 'COPY words (word, embedding) FROM STDIN'
	sql -c 'VACUUM ANALYZE words'
}

# Create the index in one session and watch it from another.
build_index()
{
	local now last='' start=$EPOCHREALTIME before='' after=$'\n'

	if [ -t 1 ]; then
		before=$'\r' after=''
	fi

	say "CREATE INDEX ON words USING hnsw (embedding vector_cosine_ops)"
	sql -c 'CREATE INDEX words_embedding ON words USING hnsw (embedding vector_cosine_ops)' &
	build=$!
	while kill -0 "$build" 2>/dev/null; do
		now=$(sql -c "
			SELECT format('  %s: %s%%', phase, CASE
				WHEN tuples_total > 0 THEN 100 * tuples_done / tuples_total
				WHEN blocks_total > 0 THEN 100 * blocks_done / blocks_total
				ELSE 0 END)
			FROM pg_stat_progress_create_index")
		if [ -n "$now" ] && [ "$now" != "$last" ]; then
			printf '%s%-60s%s' "$before" "$now" "$after"
			last=$now
		fi
		sleep 0.5
	done
	printf '%s' "$before"
	wait "$build"
	build=
	sql -c "SELECT format('  done: %s rows, %s, %s s', count(*),
				pg_size_pretty(pg_relation_size('words_embedding')),
				round($EPOCHREALTIME - $start, 1)) FROM words"
}

show_words()
{
	sql -c "SELECT FROM compare('the')" -c "
		SELECT format(E'\n  %s\n    hnsw  %s ms  %s\n    exact %s ms  %s', w,
			to_char(approx_ms, '990.99'), array_to_string(approx, ' '),
			to_char(exact_ms, '990.99'), array_to_string(exact, ' '))
		FROM unnest(ARRAY['red', 'monday', 'seven', 'north', 'encrypt']) w,
			LATERAL compare(w, 8)" | grep .
}

plan()
{
	sql -c "
		EXPLAIN (COSTS OFF)
		SELECT word FROM words
		ORDER BY embedding <=> (SELECT embedding FROM words WHERE word = 'red') LIMIT 10"
}

show_recall()
{
	sql -c "
		SELECT format('Recall@10 over 200 words: %s. On average hnsw takes %s ms, exact search %s ms.',
			round(recall::numeric, 3), round(approx_ms::numeric, 2), round(exact_ms::numeric, 2))
		FROM recall(10)"
}

is_true()
{
	[ "$(sql -c "$1")" = t ]
}

plan_has_index()
{
	plan | grep -q 'Index Scan using words_embedding'
}

check_answers()
{
	check "all words are there" is_true "SELECT count(*) > 15000 FROM words"
	check "the index is used" plan_has_index
	check "recall@10 is at least 0.9" is_true "SELECT recall >= 0.9 FROM recall(10)"
	check "near red, the index finds what exact search finds" is_true "
		SELECT count(*) >= 8 FROM compare('red') c, unnest(c.approx) a WHERE a = ANY (c.exact)"
	check "near red are colours" is_true "
		SELECT count(*) >= 6 FROM nearest('red')
		WHERE word IN ('yellow', 'green', 'orange', 'purple', 'grey', 'gray', 'magenta', 'blue',
			'pink', 'brown', 'cyan', 'black', 'white')"
	stop_server "$dir"
	check "the server stopped" test ! -e "$dir/data/postmaster.pid"
	checked
}

mode=${1:-}
case $mode in
	'' | --check | --stop | --clean) ;;
	--help | -h) usage; exit ;;
	*) usage >&2; exit 2 ;;
esac

unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE PGSSLMODE PGPASSWORD
dir=$(realpath -m "${ANN_QUICKSTART_DIR:-/tmp/ann-quickstart-$(id -u)}")
cd /

if [ "$mode" = --stop ] || [ "$mode" = --clean ]; then
	if [ -d "$dir/data" ]; then
		need_postgres
		stop_server "$dir"
	fi
	[ "$mode" = --stop ] || rm -rf "$dir"
	exit
fi

trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

need_postgres
claim_dir
want=$(fingerprint)
build_extension
start_server "$dir"
if [ "$(cat "$dir/loaded" 2>/dev/null)" != "$want" ]; then
	load_words
	build_index
	say "$want" >"$dir/loaded"
fi

if [ "$mode" = --check ]; then
	check_answers
	exit
fi

show_words
say '' 'The plan:'
plan | sed 's/^/  /'
say ''
show_recall
leave_running=yes
cat <<EOF

Go on playing:   $PG_BIN/psql -h $dir -p 5432 -U postgres words
                 SELECT * FROM nearest('blue');
Stop the server: $self --stop        Remove everything: $self --clean
EOF
