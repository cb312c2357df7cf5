--
-- What lsh takes for an option, a column and a setting, and what it says to
-- everything else.
--
CREATE TABLE t (id int, val vector(3), h halfvec(3), s sparsevec(3), b bit(3), nodim vector);
INSERT INTO t SELECT i, ARRAY[i, i, 1], ARRAY[i, i, 1], ARRAY[i, i, 1], i::bit(3) FROM generate_series(1, 20) i;

-- Storage parameters and their ranges
CREATE INDEX ON t USING lsh (val vector_l2_ops) WITH (tables = -1);
\echo :SQLSTATE
CREATE INDEX ON t USING lsh (val vector_l2_ops) WITH (tables = 33);
\echo :SQLSTATE
CREATE INDEX ON t USING lsh (val vector_l2_ops) WITH (lists = 100);
\echo :SQLSTATE
CREATE INDEX smallest ON t USING lsh (val vector_l2_ops) WITH (tables = 1);
CREATE INDEX largest ON t USING lsh (val vector_cosine_ops) WITH (tables = 32);
CREATE INDEX chosen ON t USING lsh (val vector_ip_ops) WITH (tables = 0);
SELECT relname, reloptions, pg_relation_size(oid) / 8192 AS pages
FROM pg_class WHERE relname IN ('smallest', 'largest', 'chosen') ORDER BY relname;
SET enable_seqscan = off;
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
SELECT id FROM t ORDER BY val <=> '[7,7,1]' LIMIT 1;
SELECT id FROM t ORDER BY val <#> '[7,7,1]' LIMIT 1;
SELECT i, c.* FROM unnest('{smallest,largest,chosen}'::regclass[]) i, ann_check(i) c;

-- Changed afterwards, they are used by the next build
ALTER INDEX smallest SET (tables = 2);
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
REINDEX INDEX smallest;
SELECT pg_relation_size('smallest') / 8192 AS pages;
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
DROP INDEX smallest, largest, chosen;

-- Operator classes there are, and are not
CREATE INDEX ON t USING lsh (val);
\echo :SQLSTATE
CREATE INDEX ON t USING lsh (val vector_l1_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING lsh (s sparsevec_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING lsh (h halfvec_l2_ops);
CREATE INDEX ON t USING lsh (b bit_jaccard_ops);
SELECT count(*) FILTER (WHERE amvalidate(c.oid)) AS valid, count(*)
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'lsh';

-- Columns
CREATE INDEX ON t USING lsh (nodim vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING lsh (val vector_l2_ops, h halfvec_l2_ops);
\echo :SQLSTATE
CREATE UNIQUE INDEX ON t USING lsh (val vector_l2_ops);
\echo :SQLSTATE
CREATE TABLE wide (v vector(16000), h halfvec(16000), b bit(64000), w bit(64001));
CREATE INDEX wide_v ON wide USING lsh (v vector_l2_ops) WITH (tables = 2);
CREATE INDEX wide_h ON wide USING lsh (h halfvec_cosine_ops) WITH (tables = 2);
CREATE INDEX wide_b ON wide USING lsh (b bit_hamming_ops) WITH (tables = 2);
CREATE INDEX wide_j ON wide USING lsh (b bit_jaccard_ops) WITH (tables = 2);
CREATE INDEX ON wide USING lsh (w bit_hamming_ops);
\echo :SQLSTATE
INSERT INTO wide SELECT v, v, b FROM (SELECT array_agg(sin(i * j))::vector AS v FROM generate_series(1, 12) i, generate_series(1, 16000) j GROUP BY i) x,
	LATERAL (SELECT (string_agg((j % 7 = (v <-> v)::int)::int::text, ''))::bit(64000) AS b FROM generate_series(1, 64000) j) y;
SELECT i, c.* FROM unnest('{wide_v,wide_h,wide_b,wide_j}'::regclass[]) i, ann_check(i) c;
SELECT count(*) FROM (SELECT FROM wide ORDER BY v <-> (SELECT v FROM wide LIMIT 1)) s;
SELECT count(*) FROM (SELECT FROM wide ORDER BY b <%> (SELECT b FROM wide LIMIT 1)) s;
REINDEX TABLE wide;
SELECT i, c.* FROM unnest('{wide_v,wide_h,wide_b,wide_j}'::regclass[]) i, ann_check(i) c;
SELECT count(*) FROM (SELECT FROM wide ORDER BY h <=> (SELECT h FROM wide LIMIT 1)) s;
SELECT count(*) FROM (SELECT FROM wide ORDER BY b <~> (SELECT b FROM wide LIMIT 1)) s;
DROP TABLE wide;

-- Settings
SHOW lsh.target_recall;
SHOW lsh.max_probes;
SET lsh.target_recall = 1.1;
\echo :SQLSTATE
SET lsh.target_recall = -0.1;
\echo :SQLSTATE
SET lsh.max_probes = -1;
\echo :SQLSTATE
SET lsh.probes = 1;
\echo :SQLSTATE
DROP TABLE t;

-- Left to it, an index has as many tables as a sample says are worth it
CREATE FUNCTION tables(index regclass) RETURNS text LANGUAGE sql
RETURN (SELECT value FROM ann_index_info(index) WHERE name = 'tables');
CREATE TABLE chosen AS SELECT i AS id, ARRAY[sin(i), cos(i * 0.37)]::vector(2) AS flat,
	ARRAY(SELECT sin(i * sqrt(j + 1.0) * 100) FROM generate_series(1, 24) j)::vector(24) AS deep,
	ARRAY(SELECT sin(i * (j + 1) * sqrt(j + 1.0)) + 4 * sin(i / 8 * sqrt(j + 3.0) * 90) FROM generate_series(1, 200) j)::vector(200) AS wide
FROM generate_series(1, 5000) i;
CREATE INDEX chosen_flat ON chosen USING lsh (flat vector_l2_ops);
CREATE INDEX chosen_wide ON chosen USING lsh (wide vector_l2_ops);
CREATE INDEX chosen_few ON chosen USING lsh (flat vector_l2_ops) WHERE id < 500;
SELECT tables('chosen_flat')::int < tables('chosen_wide')::int AS fewer, tables('chosen_few') AS few;

-- What an index that began empty has to wait for, VACUUM measures
CREATE TABLE grown (id int, v vector(24));
CREATE INDEX grown_idx ON grown USING lsh (v vector_l2_ops);
CREATE FUNCTION patience() RETURNS float8 LANGUAGE sql
RETURN (SELECT value::float8 FROM ann_index_info('grown_idx') WHERE name = 'patience_0.95');
SELECT patience() AS preset;
INSERT INTO grown SELECT id, deep FROM chosen WHERE id <= 2500;
VACUUM grown;
SELECT patience() AS first \gset
SELECT :first <> 100 AS measured;
INSERT INTO grown SELECT id, deep FROM chosen WHERE id <= 300;
VACUUM grown;
SELECT patience() = :first AS kept;
INSERT INTO grown SELECT id, deep FROM chosen WHERE id > 300;
VACUUM grown;
SELECT patience() = :first AS kept;
SELECT * FROM ann_check('grown_idx');
DROP FUNCTION tables, patience;
DROP TABLE chosen, grown;
