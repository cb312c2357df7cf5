--
-- What an index consists of, what scans of it do, what a build takes.
--
SET jit = off;
SET max_parallel_maintenance_workers = 0;
SET enable_seqscan = off;

CREATE FUNCTION watched(i int) RETURNS vector LANGUAGE sql IMMUTABLE
	RETURN ARRAY(SELECT hashint8extended(i * 100 + j, 7) / 9223372036854775808.0 + i % 5 FROM generate_series(1, 64) j)::vector(64);
CREATE TABLE t (id int, v vector(64)) WITH (autovacuum_enabled = false);
INSERT INTO t SELECT i, watched(i % 2900) FROM generate_series(1, 3000) i;
INSERT INTO t VALUES (3001, NULL);
ANALYZE t;

-- Info as one row of jsonb
CREATE FUNCTION info(index regclass) RETURNS jsonb LANGUAGE sql AS
	$$SELECT jsonb_object_agg(name, value) FROM ann_index_info(index)$$;
CREATE FUNCTION total(list text) RETURNS numeric LANGUAGE sql AS
	$$SELECT sum(n) FROM unnest(list::bigint[]) n$$;
CREATE FUNCTION page_count(index regclass) RETURNS bigint LANGUAGE sql AS
	$$SELECT pg_relation_size(index) / current_setting('block_size')::int$$;

CREATE INDEX h ON t USING hnsw (v vector_cosine_ops) WITH (m = 8, ef_construction = 40);
CREATE INDEX f ON t USING ivfflat (v vector_l2_ops) WITH (lists = 30);
CREATE INDEX l ON t USING lsh (v vector_ip_ops) WITH (tables = 3);
SELECT name, CASE WHEN name IN ('method', 'operator_class', 'operator', 'dimensions', 'options', 'quantizer', 'rows', 'layout', 'm',
	'ef_construction', 'nodes', 'dead_nodes', 'lists', 'tables') THEN value END AS value
FROM unnest(ARRAY['h', 'f', 'l']) i, ann_index_info(i::regclass);
SELECT total(i->>'nodes_by_level') = (i->>'nodes')::int AS levels, (i->>'links_per_node')::numeric BETWEEN 8 AND 16 AS links,
	i->>'unreachable_nodes' AS unreachable, i->>'entry_point' ~ '^\(\d+,\d+\)$' AS entry_point,
	(i->>'pages')::bigint = page_count('h') AS pages, (i->>'item_pages')::int + (i->>'value_pages')::int + (i->>'unused_pages')::int + 1 = (i->>'pages')::int AS kinds,
	(i->>'bytes_per_row')::int = round(pg_relation_size('h') / 3000.0) AS bytes
FROM info('h') i;
SELECT (i->>'list_rows_quartiles')::int[] = ARRAY(SELECT unnest((i->>'list_rows_quartiles')::int[]) ORDER BY 1) AS ordered,
	(i->>'pages')::bigint = page_count('f') AS pages,
	(SELECT sum(value::int) + 1 FROM jsonb_each_text(i) WHERE key LIKE '%\_pages') = (i->>'pages')::int AS kinds,
	i->>'leftover_rows' AS leftover, i->>'fill' AS fill, (i->>'rows_per_list')::int = 3000 / (i->>'lists')::int AS per_list
FROM info('f') i;
SELECT (i->>'pages')::bigint = page_count('l') AS pages,
	(i->>'leaf_pages')::int + (i->>'inner_pages')::int + (i->>'unused_pages')::int + 1 = (i->>'pages')::int AS kinds,
	total(i->>'leaves_by_fill') = (i->>'leaf_pages')::int AS leaves, (i->>'leaf_fill')::numeric BETWEEN 0.8 AND 1 AS fill,
	i->>'depth' AS depth, (i->>'patience_0.99')::float8 >= (i->>'patience_0.5')::float8 AS patience
FROM info('l') i;

-- VACUUM shows
DELETE FROM t WHERE id % 3 = 0;
SELECT pg_stat_force_next_flush();
SELECT info('h')->>'rows' AS rows, info('h')->>'dead_rows' AS dead_rows;
VACUUM t;
SELECT i AS index, info(i::regclass)->>'rows' AS rows, info(i::regclass)->>'dead_rows' AS dead_rows
FROM unnest(ARRAY['h', 'f', 'l']) i;
SELECT (i->>'nodes')::int < (i->>'rows')::int AS nodes_are_fewer, i->>'dead_nodes' AS dead_nodes FROM info('h') i;

-- Empty ones, and one that is none of ours
CREATE TABLE empty (v vector(64));
CREATE INDEX empty_h ON empty USING hnsw (v vector_l2_ops);
CREATE INDEX empty_f ON empty USING ivfflat (v vector_l2_ops);
CREATE INDEX empty_l ON empty USING lsh (v vector_l2_ops);
SELECT i AS index, info(i::regclass)->>'rows' AS rows,
	info(i::regclass)->>'nodes_by_level' AS levels, info(i::regclass)->>'list_rows_quartiles' AS quartiles
FROM unnest(ARRAY['empty_h', 'empty_f', 'empty_l']) i;
CREATE INDEX ordinary ON t (id);
\set VERBOSITY sqlstate
SELECT ann_index_info('ordinary');
SELECT ann_index_info('t');
\set VERBOSITY default

-- The last scan
DROP INDEX f, l;
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <=> watched(5) LIMIT 7) s;
SELECT index, scans, returned, scored > 100 AS scored, reranked > 0 AS reranked, pages > 5 AS pages,
	table_pages >= reranked AS table_pages, rounds, full_reads
FROM ann_last_scan();
-- what it counts is what PostgreSQL counts
CREATE FUNCTION pages_of(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT json) ' || query INTO plan;
	RETURN (SELECT sum(n::bigint) FROM jsonb_path_query(plan, '$[0].Plan.**{0 to 1} ? (@."Node Type" == "Index Scan")') node,
		LATERAL (VALUES (node->>'Shared Hit Blocks'), (node->>'Shared Read Blocks')) v (n));
END $$;
SELECT pages_of('SELECT id FROM t ORDER BY v <=> watched(5) LIMIT 7') AS pages \gset
SELECT :pages BETWEEN pages + table_pages AND pages + table_pages + returned + 5 AS as_explained FROM ann_last_scan();
-- more rounds for more rows, and in the end all that there is
SET hnsw.ef_search = 10;
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <=> watched(5) LIMIT 100) s;
SELECT returned, rounds > 2 AS rounds FROM ann_last_scan();
SET hnsw.iterative_scan = off;
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <=> watched(5) LIMIT 100) s;
SELECT returned, rounds, full_reads, scored > 2000 AS scored FROM ann_last_scan();
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;
-- a search for each row of another table is one scan, with restarts
SELECT count(*) FROM generate_series(1, 4) i, LATERAL (SELECT id FROM t ORDER BY v <=> watched(i) LIMIT 3) s;
SELECT scans, returned FROM ann_last_scan();

-- All of them, of this session and of all
SELECT pg_stat_force_next_flush();
SELECT method, scans >= 7 AS scans, returned >= session_returned AS returned, pages >= session_pages AS pages,
	session_scans, session_full_reads > 0 AS session_full_reads, session_inserts, session_splits, last_vacuum IS NOT NULL AS vacuumed, inserts >= 3001 AS inserts
FROM ann_stat_indexes WHERE indexrelname = 'h';
CREATE INDEX f ON empty USING ivfflat (v vector_l2_ops) WITH (quantizer = none);
INSERT INTO empty SELECT watched(i) FROM generate_series(1, 600) i;
SELECT indexrelname, session_inserts, session_splits > 0 AS session_splits FROM ann_stat_indexes
WHERE relname = 'empty' ORDER BY indexrelname;

-- What a build takes: the size within a quarter, and memory neither too much nor
-- far too little
CREATE TABLE m (v vector(64), h halfvec(100), b bit(256), s sparsevec(1000), w vector, d vector(16));
INSERT INTO m SELECT watched(i), NULL, hashint8(i)::bit(256),
	format('{%s:1,%s:2,%s:3}/1000', 1 + i % 100, 101 + i % 333, 501 + i % 498)::sparsevec,
	NULL, ARRAY(SELECT hashint8(i * 100 + j) FROM generate_series(1, 16) j)::vector(16) FROM generate_series(1, 8000) i;
CREATE FUNCTION estimated(what text, method text, options text, class text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	estimate record;
	actual bigint;
BEGIN
	SELECT * INTO estimate FROM ann_build_estimate('m', what, method, options, class);
	EXECUTE format('CREATE INDEX m_idx ON m USING %I (%I %I) %s', method, what, class, 'WITH (' || nullif(options, '') || ')');
	actual := pg_relation_size('m_idx');
	DROP INDEX m_idx;
	RETURN CASE WHEN estimate.rows NOT BETWEEN 7800 AND 8200 THEN format('%s rows', estimate.rows)
		WHEN estimate.index_size / actual::float8 NOT BETWEEN 0.75 AND 1.25 THEN format('%s instead of %s', estimate.index_size, actual)
		WHEN estimate.seconds > 0 AND estimate.workers = 0 AND estimate.memory > 0 THEN 'good' END;
END $$;
SELECT estimated('v', 'hnsw', '', 'vector_l2_ops') AS hnsw, estimated('v', 'hnsw', 'layout=compact , m = 8', 'vector_cosine_ops') AS compact,
	estimated('v', 'hnsw', 'rerank = index', 'vector_l2_ops') AS stored, estimated('v', 'hnsw', '', 'vector_l1_ops') AS full_precision, estimated('s', 'hnsw', '', 'sparsevec_l2_ops') AS sparse;
SELECT estimated('v', 'ivfflat', '', 'vector_l2_ops') AS ivfflat, estimated('v', 'ivfflat', 'lists = 100, quantizer = none', 'vector_ip_ops') AS whole,
	estimated('v', 'ivfflat', 'quantizer = sq8', 'vector_cosine_ops') AS scalar;
SELECT estimated('v', 'lsh', '', 'vector_l2_ops') AS lsh, estimated('b', 'lsh', 'tables = 2', 'bit_jaccard_ops') AS bits;
-- so many rows are worth more tables than those of the sample
SELECT estimated('d', 'lsh', '', 'vector_l2_ops') AS tables;
-- the class of L2 or Hamming distance, unless another is named
SELECT a.memory = b.memory AS same FROM ann_build_estimate('m', 'v', 'hnsw') a, ann_build_estimate('m', 'v', 'hnsw', '', 'vector_l2_ops') b;
SELECT rows FROM ann_build_estimate('m', 'b', 'hnsw', 'm = 4, ef_construction = 8');
SELECT rows FROM ann_build_estimate('m', 'h', 'hnsw');

\set VERBOSITY terse
SELECT memory / 1024 AS kb FROM ann_build_estimate('m', 'v', 'hnsw', 'm = 4, ef_construction = 8') \gset
SET maintenance_work_mem = :kb;
SELECT set_config('maintenance_work_mem', (:kb * 1.1)::int::text, false) IS NOT NULL AS enough;
CREATE INDEX m_idx ON m USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8);
DROP INDEX m_idx;
RESET maintenance_work_mem;

-- Nothing is left behind, and nothing gets in
SELECT count(*) FROM pg_class WHERE relname LIKE 'ann\_build\_sample%';
SELECT ann_build_estimate('m', 'v', 'hnsw', 'm');
SELECT ann_build_estimate('m', 'v', 'hnsw', 'm = 1');
SELECT ann_build_estimate('m', 'v', 'hnsw', 'unknown = 1');
SELECT ann_build_estimate('m', 'v', 'hnsw', 'm = 4); DROP TABLE m; --');
SELECT ann_build_estimate('m', 'v', 'hnsw (v); DROP TABLE m; --');
SELECT ann_build_estimate('m', 'v', 'hnsw', '', 'vector_l2_ops); DROP TABLE m; --');
SELECT ann_build_estimate('m', 'v', 'btree', '', 'vector_ops');
SELECT ann_build_estimate('m', 'w', 'hnsw');
SELECT ann_build_estimate('t', 'id', 'hnsw');
SELECT ann_build_estimate('t', 'id', 'hnsw', operator_class => 'vector_l2_ops');
SELECT ann_build_estimate('pg_class', 'relname', 'ivfflat');
SELECT ann_build_estimate('m', 'missing', 'hnsw');
SELECT ann_build_estimate('h', 'v', 'hnsw');
SELECT ann_build_estimate('m', NULL, 'hnsw');
SELECT count(*) FROM m;

DROP TABLE t, empty, m;
DROP FUNCTION info, total, page_count, pages_of, estimated, watched;
