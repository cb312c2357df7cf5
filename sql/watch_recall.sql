--
-- ann_recall and ann_tune: compared with what a user would count.
--
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET client_min_messages = warning;

CREATE FUNCTION element(i int, j int) RETURNS float8 LANGUAGE sql IMMUTABLE
	RETURN hashint8extended(i * 100 + j, 7) / 9223372036854775808.0 + (i % 7) / 4.0;
CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE
	RETURN ARRAY(SELECT element(i, j) FROM generate_series(1, 12) j)::vector(12);

CREATE TABLE t (id int PRIMARY KEY, c int, v vector(12), b bit(64));
INSERT INTO t SELECT i, i % 3, vec(i), hashint8(i)::bit(64) FROM generate_series(1, 2000) i;
INSERT INTO t VALUES (2001, 0, NULL, NULL);
ANALYZE t;
CREATE TABLE queries AS SELECT vec(100000 + i) AS v FROM generate_series(1, 40) i;

-- The recall of the one index there is, by two searches for each query
CREATE FUNCTION by_hand(value text, operator text, queries regclass, filter text DEFAULT 'true', k int DEFAULT 10)
	RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	query text;
	search text;
	found float8[];
	exact float8[];
	hits int := 0;
	n int := 0;
BEGIN
	FOR query IN EXECUTE format('SELECT v::text FROM %s', queries) LOOP
		search := format('SELECT array_agg(d) FROM (SELECT %1$s %2$s %3$L AS d FROM t WHERE %4$s AND %1$s IS NOT NULL ORDER BY %1$s %2$s %3$L LIMIT %5$s) s',
			value, operator, query, filter, k);
		PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true);
		EXECUTE search INTO exact;
		PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true);
		EXECUTE search INTO found;
		hits := hits + (SELECT count(*) FROM unnest(found) d WHERE d <= exact[k]);
		n := n + k;
	END LOOP;
	RETURN round(hits / n::numeric, 4);
END $$;

-- Each method, with little effort
BEGIN;
SET LOCAL hnsw.ef_search = 2;
CREATE INDEX i ON t USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
SELECT queries, recall < 0.99 AS misses_some, recall = by_hand('v', '<->', 'queries') AS as_by_hand,
	low <= recall AND recall <= high AND low < high AS interval, index_distance > exact_distance AS farther,
	index_pages > 0 AND exact_pages >= pg_relation_size('t') / current_setting('block_size')::int AS pages,
	index_ms > 0 AND exact_ms > 0 AS times
FROM ann_recall('i', query_table => 'queries');
SELECT recall = by_hand('v', '<->', 'queries', k => 3) AS as_by_hand FROM ann_recall('i', 3, 100, 'queries');
-- what is not asked for does not count
SELECT queries FROM ann_recall('i', 3, 7, 'queries');
ROLLBACK;
BEGIN;
SET LOCAL ivfflat.probes = 2;
CREATE INDEX i ON t USING ivfflat (v vector_cosine_ops) WITH (lists = 20);
SELECT recall < 0.99 AS misses_some, recall = by_hand('v', '<=>', 'queries') AS as_by_hand FROM ann_recall('i', query_table => 'queries');
ROLLBACK;
BEGIN;
SET LOCAL lsh.target_recall = 0.3;
CREATE INDEX i ON t USING lsh (v vector_ip_ops) WITH (tables = 2);
SELECT recall < 0.99 AS misses_some, recall = by_hand('v', '<#>', 'queries') AS as_by_hand FROM ann_recall('i', query_table => 'queries');
ROLLBACK;

-- A partial index, and one of an expression, beside others that could be used
CREATE INDEX other ON t USING hnsw (v vector_l2_ops);
CREATE INDEX whole ON t USING hnsw ((v::halfvec(12)) halfvec_l1_ops);
CREATE INDEX part ON t USING hnsw ((v::halfvec(12)) halfvec_l1_ops) WITH (m = 2, ef_construction = 4) WHERE c = 1;
CREATE VIEW half_queries AS SELECT v::halfvec(12) FROM queries;
SET hnsw.ef_search = 1;
SELECT recall AS recall FROM ann_recall('part', query_table => 'half_queries') \gset
DROP INDEX other, whole;
SELECT :recall < 0.99 AS misses_some, :recall = by_hand('v::halfvec(12)', '<+>', 'half_queries', 'c = 1') AS as_by_hand;
DROP INDEX part;
RESET hnsw.ef_search;

-- Bits; and sets, of which many are equally far
CREATE VIEW bit_queries AS SELECT hashint8(-i)::bit(64) AS v FROM generate_series(1, 20) i;
BEGIN;
SET LOCAL hnsw.ef_search = 1;
CREATE INDEX i ON t USING hnsw (b bit_hamming_ops) WITH (m = 2, ef_construction = 4);
SELECT recall = by_hand('b', '<~>', 'bit_queries') AS as_by_hand FROM ann_recall('i', query_table => 'bit_queries');
ROLLBACK;
BEGIN;
CREATE INDEX i ON t USING hnsw ((v::sparsevec(12)) sparsevec_cosine_ops) WITH (m = 2, ef_construction = 4);
SELECT recall > 0 AS some, queries FROM ann_recall('i');
ROLLBACK;

-- Rows of the table: none is its own neighbour, and all can be found
CREATE INDEX h ON t USING hnsw (v vector_l2_ops);
CREATE INDEX f ON t USING ivfflat (v vector_l2_ops);
CREATE INDEX l ON t USING lsh (v vector_l2_ops);
BEGIN;
SET LOCAL hnsw.ef_search = 1000;
SET LOCAL ivfflat.probes = 1000;
SET LOCAL lsh.target_recall = 1;
SELECT i AS index, recall, low > 0.9 AS low, high, queries, abs(index_distance - exact_distance) < 1e-6 AS same, exact_distance > 0 AS not_itself
FROM unnest(ARRAY['h', 'f', 'l']) i, ann_recall(i::regclass, 10, 60);
COMMIT;
SELECT queries FROM ann_recall('h', 10, 100000);

-- The settings that reach a target
CREATE FUNCTION tuned(index regclass, wanted real) RETURNS TABLE (recommended bigint, right_one bool, a_command bool)
	LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE recommended),
		min(n) FILTER (WHERE recommended) = min(n) FILTER (WHERE recall >= wanted - 0.0001),
		bool_and(setting ~ '^SET (hnsw.ef_search|ivfflat.probes|lsh.target_recall) = [0-9.]+$')
	FROM (SELECT *, row_number() OVER () AS n FROM ann_tune(index, wanted)) s $$;
SELECT * FROM tuned('h', 0.9);
SELECT * FROM tuned('f', 0.9);
SELECT * FROM tuned('l', 0.9);
SHOW hnsw.ef_search;
SHOW ivfflat.probes;
SHOW lsh.target_recall;
SELECT setting FROM ann_tune('f', 1) WHERE recommended \gset
BEGIN;
SELECT set_config('ivfflat.probes', split_part(:'setting', ' = ', 2), true) <> '' AS set;
SELECT recall FROM ann_recall('f');
COMMIT;

-- No rows, no queries; nor with one row, which is not its own neighbour
CREATE TABLE far (v vector(2));
CREATE INDEX far_idx ON far USING hnsw (v vector_l2_ops);
SELECT * FROM ann_recall('far_idx');
SELECT * FROM ann_tune('far_idx');
INSERT INTO far VALUES ('[1,1]');
SELECT * FROM ann_recall('far_idx');

-- Mistakes
\set VERBOSITY sqlstate
SELECT ann_recall('h', 0);
SELECT ann_recall('h', 10, 0);
SELECT ann_recall('h', NULL);
SELECT ann_recall(NULL);
SELECT ann_recall('h', query_table => 'far');
SELECT ann_recall('h', query_table => 'pg_class');
SELECT ann_recall('t_pkey');
SELECT ann_recall('t');
SELECT ann_tune('h', 1.5);
SELECT ann_tune('h', 'NaN');
SET maintenance_work_mem = '1MB';
SELECT ann_recall('h', 10, 100000);
SELECT ann_recall('h', 10000, 100);
RESET maintenance_work_mem;
\set VERBOSITY default
CREATE TABLE two (a vector(12), b vector(12));
SELECT ann_recall('h', query_table => 'two');
SELECT ann_recall('h', query_table => 'pg_class');

-- Who may read the table; under row-level security its owner only
CREATE ROLE regress_ann_reader;
SET ROLE regress_ann_reader;
SELECT recall FROM ann_recall('h');
SELECT setting FROM ann_tune('h');
SELECT value FROM ann_index_info('h');
SELECT invariant FROM ann_check('h');
SELECT rows FROM ann_build_estimate('t', 'v', 'hnsw');
RESET ROLE;
GRANT SELECT ON t TO regress_ann_reader;
SET ROLE regress_ann_reader;
SELECT recall > 0.5 AS measured FROM ann_recall('h');
SELECT recall FROM ann_recall('h', query_table => 'queries');
RESET ROLE;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
SET ROLE regress_ann_reader;
SELECT recall FROM ann_recall('h');
RESET ROLE;
SELECT recall > 0.5 AS measured FROM ann_recall('h');

-- Expressions of an index are evaluated as the owner of the table, and find nothing
-- in schemas of the user's choice
CREATE FUNCTION tell_who(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN v; END$$;
CREATE TABLE owned (v vector(12));
INSERT INTO owned VALUES (vec(1)), (vec(2));
CREATE INDEX owned_idx ON owned USING hnsw ((tell_who(v)::vector(12)) vector_l2_ops);
GRANT CREATE ON SCHEMA public TO regress_ann_reader;
ALTER TABLE owned OWNER TO regress_ann_reader;
CREATE FUNCTION evaluated_by(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CREATE OR REPLACE FUNCTION tell_who(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
		'BEGIN RAISE EXCEPTION ''%'', current_user; END';
	EXECUTE command;
EXCEPTION WHEN raise_exception THEN
	RETURN SQLERRM;
END $$;
SELECT evaluated_by('SELECT ann_recall(''owned_idx'')'), evaluated_by('SELECT ann_check(''owned_idx'', heapallindexed => true)');

-- and then the search path is not that of a reader, who could be called by it
CREATE FUNCTION called(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN v; END$$;
CREATE FUNCTION calls(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN v; END$$;
CREATE TABLE calling AS SELECT vec(i) AS v FROM generate_series(1, 2) i;
CREATE INDEX calling_idx ON calling USING hnsw ((calls(v)::vector(12)) vector_l2_ops);
-- only now: from PostgreSQL 17 on, CREATE INDEX has such a path even for the owner
CREATE OR REPLACE FUNCTION calls(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN called(v); END$$;
SELECT recall FROM ann_recall('calling_idx');
GRANT SELECT ON calling TO regress_ann_reader;
CREATE SCHEMA regress_ann AUTHORIZATION regress_ann_reader;
SET ROLE regress_ann_reader;
CREATE FUNCTION regress_ann.called(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
	$$BEGIN RAISE EXCEPTION '%', current_user; END$$;
SET search_path = regress_ann, public;
\set VERBOSITY sqlstate
SELECT recall FROM ann_recall('calling_idx');
\set VERBOSITY default
RESET search_path;
RESET ROLE;

DROP SCHEMA regress_ann CASCADE;
DROP TABLE t, queries, far, two, owned, calling CASCADE;
DROP FUNCTION by_hand, tuned, evaluated_by, tell_who, called, calls, vec, element;
REVOKE CREATE ON SCHEMA public FROM regress_ann_reader;
DROP ROLE regress_ann_reader;
