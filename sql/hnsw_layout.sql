--
-- The layouts of hnsw: codes with and without those of neighbours beside them,
-- and none.  Whatever the index holds of a vector, rows come in the order of
-- their true distances.
--
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;

-- The values; from 301 on they are for queries
CREATE TABLE source AS
SELECT i AS id, ARRAY(SELECT ((hashint8extended(i::bigint * 4096 + j, 42) >> 11) / 2.0 ^ 52)::real
	FROM generate_series(1, 300) j) AS v
FROM generate_series(1, 360) i;
CREATE FUNCTION value(i int, dim int) RETURNS real[] STABLE LANGUAGE sql
RETURN (SELECT (array_agg(x ORDER BY id))[1:dim] FROM source, unnest(v) x WHERE id BETWEEN i AND i + (dim - 1) / 300);

CREATE TABLE layouts AS
SELECT format('%s_%s_%s_%s', type, dim, metric, layout) AS name, type, dim, op,
	format('%s_%s_ops', type, metric) AS class, options
FROM (VALUES ('vector', 64, 'l2', '<->'), ('vector', 64, 'ip', '<#>'), ('vector', 64, 'cosine', '<=>'),
		('halfvec', 100, 'l2', '<->'), ('halfvec', 100, 'cosine', '<=>'),
		('vector', 300, 'ip', '<#>'), ('vector', 300, 'cosine', '<=>')) t (type, dim, metric, op),
	(VALUES ('fast', 'layout = fast'), ('compact', 'layout = compact'), ('none', 'quantizer = none')) l (layout, options)
WHERE layout <> 'none' OR dim = 64;

-- What is wrong with an index: with all effort every row comes in the order of
-- a sort that the index has no part in, null and what has no distance aside;
-- with little effort as many come as are wanted, each once, and in order but
-- for one step back, where what the graph led to ends and the rest begins.
CREATE FUNCTION wrong(l layouts) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	search text := format('SELECT ctid AS row, v %s $1::%s AS d FROM %I ORDER BY v %1$s $1::%2$s', l.op, l.type, l.name);
	plan text;
	query real[];
	found float8[];
	expected float8[];
	wanted int;
	rows bigint;
	disorder bigint;
BEGIN
	FOR query IN SELECT value(i, l.dim) FROM generate_series(301, 302) i LOOP
		EXECUTE 'EXPLAIN (COSTS OFF) ' || search INTO plan USING query;
		IF plan !~ '^Index Scan' THEN
			RETURN NEXT 'no index scan';
		END IF;

		PERFORM set_config('hnsw.ef_search', '1000', true);
		EXECUTE format('SELECT ARRAY(SELECT d FROM (%s) s)', search) INTO found USING query;
		EXECUTE format('SELECT ARRAY(SELECT d FROM (SELECT v %s $1::%s AS d FROM %I) s WHERE d <> ''NaN'' ORDER BY d)',
			l.op, l.type, l.name) INTO expected USING query;
		IF found[1:cardinality(expected)] <> expected THEN
			RETURN NEXT 'not the exact order';
		END IF;

		wanted := least(30, cardinality(expected) / 3);
		PERFORM set_config('hnsw.ef_search', (1 + wanted / 3)::text, true);
		EXECUTE format('SELECT count(DISTINCT row), count(*) FILTER (WHERE d < previous) FROM (
				SELECT row, d, lag(d) OVER () AS previous FROM (%s LIMIT %s) s) s', search, wanted)
			INTO rows, disorder USING query;
		IF rows <> wanted OR disorder > 1 THEN
			RETURN NEXT format('%s rows, %s before a nearer one', rows, disorder);
		END IF;
	END LOOP;
	RETURN QUERY SELECT format('%s at %s: %s', invariant, block, detail) FROM ann_check((l.name || '_idx')::regclass);
END $$;
CREATE VIEW all_wrong AS SELECT name, wrong FROM layouts l, wrong(l);

-- Empty, filled by inserts, built
SELECT format('CREATE TABLE %I (id int, v %s(%s))', name, type, dim) FROM layouts \gexec
SELECT format('CREATE INDEX %s_idx ON %1$I USING hnsw (v %s) WITH (m = 8, ef_construction = 20, %s)', name, class, options) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('INSERT INTO %I SELECT id, v[1:%s] FROM source WHERE id <= 80', name, dim) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('REINDEX INDEX %s_idx', name) FROM layouts \gexec
SELECT * FROM all_wrong;

-- Inserted into what was built; equal values, null, and zero, which has no cosine
SELECT format('INSERT INTO %I SELECT id, v[1:%s] FROM source WHERE id > 40 AND id <= 120', name, dim) FROM layouts \gexec
SELECT format('INSERT INTO %I VALUES (0, NULL), (0, array_fill(0, ARRAY[%s])), (0, array_fill(0, ARRAY[%2$s]))', name, dim) FROM layouts \gexec
SELECT * FROM all_wrong;

-- Deleted, vacuumed, and the room used again; the entry point is among them
SELECT format('DELETE FROM %I WHERE id %% 3 = 0', name) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('VACUUM %I', name) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('INSERT INTO %I SELECT id, v[1:%s] FROM source WHERE id > 120 AND id <= 180', name, dim) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('UPDATE %I t SET v = (SELECT v[1:%s] FROM source s WHERE s.id = t.id + 50) WHERE id > 150', name, dim) FROM layouts \gexec
SELECT * FROM all_wrong;

-- A null query and a zero one: every row, in any order
SELECT count(*) FROM (SELECT FROM vector_64_l2_fast ORDER BY v <-> (SELECT NULL::vector)) s;
SELECT count(*) FROM (SELECT FROM vector_64_cosine_fast ORDER BY v <=> array_fill(0, ARRAY[64])::vector) s;
SELECT count(*) FROM vector_64_cosine_fast WHERE v IS NOT NULL AND id <> 0;

-- Rows our snapshot does not see, or no longer does
BEGIN;
DELETE FROM vector_64_l2_fast WHERE id % 2 = 0;
UPDATE vector_64_l2_compact SET v = (SELECT s.v[1:64] FROM source s WHERE s.id = 1) WHERE id % 2 = 0;
INSERT INTO vector_64_ip_fast SELECT id, v[1:64] FROM source WHERE id > 300;
SELECT * FROM all_wrong WHERE name LIKE 'vector\_64%';
SAVEPOINT s;
DELETE FROM vector_64_l2_fast;
INSERT INTO vector_64_cosine_fast SELECT id, v[1:64] FROM source WHERE id > 300;
SELECT * FROM all_wrong WHERE name LIKE 'vector\_64%';
ROLLBACK TO s;
SELECT * FROM all_wrong WHERE name LIKE 'vector\_64%';
ROLLBACK;
SELECT * FROM all_wrong;

-- Little memory: what an insert keeps of the nodes it has seen it must forget again
SET work_mem = '64kB';
SELECT format('INSERT INTO %I SELECT id, v[1:%s] FROM source WHERE id <= 30', name, dim) FROM layouts WHERE dim = 300 \gexec
SELECT * FROM all_wrong WHERE name LIKE '%300%';
RESET work_mem;
SELECT format('DROP TABLE %I', name) FROM layouts \gexec

-- Thousands of copies, inserted and built, and most of them deleted again
SELECT format('CREATE TABLE copies_%s (id int, v vector(100))', layout) FROM unnest('{fast,compact}'::text[]) layout \gexec
TRUNCATE layouts;
INSERT INTO layouts SELECT 'copies_' || layout, 'vector', 100, '<->', 'vector_l2_ops', 'layout = ' || layout FROM unnest('{fast,compact}'::text[]) layout;
SELECT format('CREATE INDEX %s_idx ON %1$I USING hnsw (v %s) WITH (%s)', name, class, options) FROM layouts \gexec
SELECT format('INSERT INTO %I SELECT j, v[1:100] FROM source, generate_series(1, CASE WHEN id <= 3 THEN 1000 ELSE 1 END) j WHERE id <= 60', name) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT count(*), count(DISTINCT id), sum(d) FROM (SELECT id, v <-> (SELECT v[1:100]::vector FROM source WHERE id = 2) AS d
	FROM copies_fast ORDER BY v <-> (SELECT v[1:100]::vector FROM source WHERE id = 2) LIMIT 1000) s;
SELECT pg_relation_size('copies_fast_idx') < 60 * 8192 AS small;
SELECT format('REINDEX INDEX %s_idx', name) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT count(*), count(DISTINCT id), sum(d) FROM (SELECT id, v <-> (SELECT v[1:100]::vector FROM source WHERE id = 2) AS d
	FROM copies_fast ORDER BY v <-> (SELECT v[1:100]::vector FROM source WHERE id = 2) LIMIT 1000) s;
SELECT format('DELETE FROM %I WHERE id > 5', name) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('VACUUM %I', name) FROM layouts \gexec
SELECT * FROM all_wrong;
DROP TABLE copies_fast, copies_compact;

-- Long vectors.  The neighbours' codes of 1000 dimensions and m = 40 need
-- several items for a level; beyond, a page for each, and then there are none.
TRUNCATE layouts;
INSERT INTO layouts
SELECT format('%s_%s_%s', type, dim, layout), type, dim, '<=>', type || '_cosine_ops', options
FROM (VALUES ('vector', 1000, 'parts', 'm = 40, ef_construction = 80, neighbor_bits = 1'),
		('vector', 1000, 'many_bits', 'm = 10, bits = 8, neighbor_bits = 4'),
		('vector', 3000, 'default', 'm = 16'),
		('halfvec', 4000, 'compact', 'layout = compact'),
		('vector', 16000, 'default', 'm = 16'),
		('halfvec', 16000, 'few_bits', 'bits = 1')) l (type, dim, layout, options);
SELECT format('CREATE TABLE %I (id int, v %s(%s))', name, type, dim) FROM layouts \gexec
SELECT format('INSERT INTO %I SELECT i, value(i, %s) FROM generate_series(1, least(60, 300000 / %2$s)) i', name, dim) FROM layouts \gexec
SELECT format('CREATE INDEX %s_idx ON %1$I USING hnsw (v %s) WITH (%s)', name, class, options) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('DELETE FROM %I WHERE id %% 3 = 0', name) FROM layouts \gexec
SELECT format('VACUUM %I', name) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('INSERT INTO %I SELECT i, value(i, %s) FROM generate_series(3, least(80, 300000 / %2$s), 3) i', name, dim) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('DROP TABLE %I', name) FROM layouts \gexec

-- Values so large that squares overflow, and so small that they vanish
TRUNCATE layouts;
INSERT INTO layouts
SELECT format('extreme_%s_%s', metric, layout), 'vector', 64, op, format('vector_%s_ops', metric), options
FROM (VALUES ('l2', '<->'), ('ip', '<#>'), ('cosine', '<=>')) m (metric, op),
	(VALUES ('fast', 'layout = fast'), ('compact', 'layout = compact'), ('none', 'quantizer = none')) l (layout, options);
SELECT format('CREATE TABLE %I (id int, v vector(64))', name) FROM layouts \gexec
SELECT format('INSERT INTO %I SELECT i, ARRAY(SELECT x * e FROM unnest(value(i, 64)) x)::vector FROM generate_series(1, 8) i, unnest(''{1e-40, 1e-30, 1e-15, 1, 1e10, 1e17, 1e18, 1e25, 1e38}''::float8[]) e', name) FROM layouts \gexec
SELECT format('CREATE INDEX %s_idx ON %1$I USING hnsw (v %s) WITH (%s)', name, class, options) FROM layouts \gexec
SELECT * FROM all_wrong;
SELECT format('DROP TABLE %I', name) FROM layouts \gexec

-- Expressions, part of a table, and rows enough for any LIMIT
CREATE TABLE t (id int, a real[]);
INSERT INTO t SELECT id, v[1:64] FROM source;
CREATE INDEX expression ON t USING hnsw ((a::vector(64)) vector_l2_ops) WITH (m = 8, ef_construction = 20, layout = fast);
CREATE INDEX part ON t USING hnsw ((a::halfvec(64)) halfvec_ip_ops) WITH (m = 8, ef_construction = 20, layout = compact) WHERE id % 2 = 0;
INSERT INTO t SELECT 1000 + id, v[65:128] FROM source WHERE id <= 100;
SELECT value(301, 64)::vector AS q \gset
PREPARE by_expression (int) AS
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE d < previous) <= 1 AS ordered FROM (
	SELECT id, d, lag(d) OVER () AS previous FROM (
		SELECT id, a::vector(64) <-> :'q' AS d FROM t ORDER BY a::vector(64) <-> :'q' LIMIT $1) s) s;
PREPARE by_part (int) AS
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id % 2 = 0) AS of_it FROM (
	SELECT id FROM t WHERE id % 2 = 0 ORDER BY a::halfvec(64) <#> :'q'::halfvec LIMIT $1) s;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY a::vector(64) <-> :'q' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id % 2 = 0 ORDER BY a::halfvec(64) <#> :'q'::halfvec LIMIT 10;
SET hnsw.ef_search = 10;
EXECUTE by_expression (100);
EXECUTE by_expression (NULL);
EXECUTE by_part (100);
EXECUTE by_part (NULL);
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY a::vector(64) <-> :'q' LIMIT 100) s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY a::vector(64) <-> :'q') s;
SET hnsw.iterative_scan = off;
EXECUTE by_expression (100);
EXECUTE by_part (NULL);
RESET hnsw.iterative_scan;
SET hnsw.max_scan_tuples = 1;
EXECUTE by_expression (100);
RESET hnsw.max_scan_tuples;
RESET hnsw.ef_search;
DELETE FROM t WHERE id % 3 = 0;
VACUUM t;
EXECUTE by_expression (NULL);
EXECUTE by_part (NULL);
SELECT * FROM ann_check('expression');
SELECT * FROM ann_check('part');
DEALLOCATE ALL;
DROP TABLE t;

-- Options
CREATE TABLE t (v vector(3), long vector(16000), longer vector, s sparsevec(100), b bit(100));
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (layout = small);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (quantizer = pq);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (bits = -1);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (bits = 9);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (neighbor_bits = -1);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (neighbor_bits = 5);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (long vector_l2_ops) WITH (bits = 5);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (long vector_l2_ops) WITH (layout = fast);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (long vector_l2_ops) WITH (quantizer = none);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((longer::vector(16001)) vector_l2_ops);
\echo :SQLSTATE
-- Each has its effect, or none where there are no codes
CREATE INDEX few ON t USING hnsw (v vector_l2_ops) WITH (quantizer = rabitq, bits = 1, neighbor_bits = 1);
CREATE INDEX many ON t USING hnsw (v vector_cosine_ops) WITH (quantizer = rabitq, bits = 8, neighbor_bits = 4);
CREATE INDEX ON t USING hnsw (v vector_l1_ops) WITH (quantizer = rabitq, layout = fast);
CREATE INDEX ON t USING hnsw (s sparsevec_l2_ops) WITH (quantizer = rabitq, layout = fast);
CREATE INDEX ON t USING hnsw (b bit_hamming_ops) WITH (bits = 8, layout = compact);
CREATE INDEX ON t USING hnsw (long vector_ip_ops);
INSERT INTO t (v, s, b) SELECT ARRAY[i, i % 7, 1], ARRAY(SELECT (i + j) % 5 FROM generate_series(1, 100) j), i::bit(100) FROM generate_series(1, 100) i;
SELECT v FROM t ORDER BY v <-> '[50,1,1]' LIMIT 1;
SELECT v FROM t ORDER BY v <=> '[50,1,1]' LIMIT 1;
SELECT v FROM t ORDER BY v <+> '[50,1,1]' LIMIT 1;
SELECT indexrelid::regclass, c.* FROM pg_index, ann_check(indexrelid::regclass) c WHERE indrelid = 't'::regclass;
ALTER INDEX few SET (layout = compact, bits = 8);
SELECT v FROM t ORDER BY v <-> '[50,1,1]' LIMIT 1;
REINDEX INDEX few;
SELECT v FROM t ORDER BY v <-> '[50,1,1]' LIMIT 1;
SELECT * FROM ann_check('few');
DROP TABLE t;
DROP VIEW all_wrong;
DROP FUNCTION wrong, value;
DROP TABLE source, layouts;

-- Nodes of several pages in a temporary table, where a page is never locked
CREATE TEMP TABLE t (v vector(1536));
CREATE INDEX idx ON t USING hnsw (v vector_l2_ops);
INSERT INTO t SELECT ARRAY(SELECT hashint4(i * 1536 + j) / 2147483648.0 FROM generate_series(1, 1536) j) FROM generate_series(1, 200) i;
SELECT * FROM ann_check('idx');
DROP TABLE t;
