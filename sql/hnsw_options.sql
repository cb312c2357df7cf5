--
-- What hnsw takes for an option, a column and a setting, and what it says
-- to everything else.
--
CREATE TABLE t (id int, val vector(3), h halfvec(3), s sparsevec(3), b bit(3), nodim vector, vb varbit(3), arr real[]);
INSERT INTO t SELECT i, ARRAY[i, i, 1], ARRAY[i, i, 1], ARRAY[i, i, 1], i::bit(3) FROM generate_series(1, 20) i;

-- Storage parameters and their ranges
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 1);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 101);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (ef_construction = 3);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (ef_construction = 1001);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = x);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (lists = 100);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (fillfactor = 70);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (rerank = x);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 16, ef_construction = 31);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 33);
\echo :SQLSTATE
CREATE INDEX smallest ON t USING hnsw (val vector_l2_ops) WITH (m = 2, ef_construction = 4);
CREATE INDEX largest ON t USING hnsw (val vector_cosine_ops) WITH (m = 100, ef_construction = 1000);
CREATE INDEX ON t USING hnsw (val vector_ip_ops) WITH (m = 16, ef_construction = 32);
CREATE INDEX ON t USING hnsw (val vector_l1_ops) WITH (m = 32);
SELECT relname, reloptions FROM pg_class WHERE relkind = 'i' AND relname IN ('smallest', 'largest', 't_val_idx', 't_val_idx1') ORDER BY relname;
SET enable_seqscan = off;
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
SELECT id FROM t ORDER BY val <=> '[7,7,1]' LIMIT 1;
SELECT * FROM ann_check('smallest');
SELECT * FROM ann_check('largest');

-- Changed afterwards, they are checked and used by the next build
ALTER INDEX smallest SET (m = 101);
\echo :SQLSTATE
ALTER INDEX smallest SET (lists = 100);
\echo :SQLSTATE
ALTER INDEX smallest SET (m = 40);
REINDEX INDEX smallest;
\echo :SQLSTATE
ALTER INDEX smallest SET (ef_construction = 80);
REINDEX INDEX smallest;
SELECT reloptions FROM pg_class WHERE relname = 'smallest';
ALTER INDEX smallest RESET (m, ef_construction);
REINDEX INDEX smallest;
SELECT reloptions FROM pg_class WHERE relname = 'smallest';
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
SELECT * FROM ann_check('smallest');
DROP INDEX smallest, largest, t_val_idx, t_val_idx1;

-- Operator classes
CREATE INDEX ON t USING hnsw (val);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (h);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (s);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (b);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (id);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val halfvec_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (h vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (arr vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (vb bit_hamming_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_hamming_ops);
\echo :SQLSTATE

-- What the access method cannot do
CREATE UNIQUE INDEX ON t USING hnsw (val vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops, h halfvec_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops) INCLUDE (id);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops DESC);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw (val vector_l2_ops NULLS FIRST);
\echo :SQLSTATE
\set VERBOSITY sqlstate
ALTER TABLE t ADD EXCLUDE USING hnsw (val vector_l2_ops WITH =);
\set VERBOSITY default
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops);
CLUSTER t USING idx;
\echo :SQLSTATE
ALTER TABLE t ALTER val TYPE halfvec(3);
\echo :SQLSTATE
DROP INDEX idx;

-- Dimensions
CREATE INDEX ON t USING hnsw (nodim vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((val::vector) vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((arr::vector) vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((arr::halfvec) halfvec_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((arr::sparsevec) sparsevec_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((vb::bit(3)) bit_hamming_ops);
CREATE INDEX ON t USING hnsw ((arr::vector(2001)) vector_l2_ops) WITH (quantizer = none);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((arr::vector(2001)) vector_cosine_ops) WITH (quantizer = none);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((arr::halfvec(4001)) halfvec_l2_ops) WITH (quantizer = none);
\echo :SQLSTATE
CREATE INDEX ON t USING hnsw ((vb::bit(64001)) bit_hamming_ops);
\echo :SQLSTATE
DROP TABLE t;

-- The largest values there can be, in a table with an index and in an index
-- of a table
CREATE TABLE big (v vector(2000), h halfvec(4000), b bit(64000), s sparsevec(1000000000));
CREATE INDEX big_v ON big USING hnsw (v vector_l2_ops);
CREATE INDEX big_h ON big USING hnsw (h halfvec_l2_ops);
CREATE INDEX big_b ON big USING hnsw (b bit_hamming_ops);
CREATE INDEX big_s ON big USING hnsw (s sparsevec_l2_ops);
CREATE FUNCTION big_sparsevec(i int, nnz int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS $$
	SELECT ('{' || string_agg(format('%s:%s', j * 1000, i), ',') || '}/1000000000')::sparsevec FROM generate_series(1, nnz) j
$$;
INSERT INTO big SELECT array_fill(i, ARRAY[2000])::vector, array_fill(i, ARRAY[4000])::halfvec,
	repeat(i::bit(8)::text, 8000)::bit(64000), big_sparsevec(i, 1000)
FROM generate_series(1, 3) i;
SELECT v::real[] = array_fill(2::real, ARRAY[2000]) FROM big ORDER BY v <-> array_fill(2, ARRAY[2000])::vector LIMIT 1;
SELECT h::real[] = array_fill(2::real, ARRAY[4000]) FROM big ORDER BY h <-> array_fill(2, ARRAY[4000])::halfvec LIMIT 1;
SELECT substring(b, 1, 8) FROM big ORDER BY b <~> repeat('00000010', 8000)::bit(64000) LIMIT 1;
SELECT s = big_sparsevec(2, 1000) FROM big ORDER BY s <-> big_sparsevec(2, 1000) LIMIT 1;
REINDEX TABLE big;
SELECT v::real[] = array_fill(2::real, ARRAY[2000]) FROM big ORDER BY v <-> array_fill(2, ARRAY[2000])::vector LIMIT 1;
SELECT h::real[] = array_fill(2::real, ARRAY[4000]) FROM big ORDER BY h <-> array_fill(2, ARRAY[4000])::halfvec LIMIT 1;
SELECT substring(b, 1, 8) FROM big ORDER BY b <~> repeat('00000010', 8000)::bit(64000) LIMIT 1;
SELECT s = big_sparsevec(2, 1000) FROM big ORDER BY s <-> big_sparsevec(2, 1000) LIMIT 1;
SELECT indexrelid::regclass, c.* FROM pg_index, ann_check(indexrelid::regclass) c WHERE indrelid = 'big'::regclass;

-- Non-zero elements
INSERT INTO big (s) VALUES (big_sparsevec(1, 1001));
\echo :SQLSTATE
DROP INDEX big_s;
INSERT INTO big (s) VALUES (big_sparsevec(1, 1001));
CREATE INDEX big_s ON big USING hnsw (s sparsevec_l2_ops);
\echo :SQLSTATE
DROP TABLE big;
DROP FUNCTION big_sparsevec;

-- Settings
SHOW hnsw.ef_search;
SET hnsw.ef_search = 0;
\echo :SQLSTATE
SET hnsw.ef_search = 1001;
\echo :SQLSTATE
SET hnsw.ef_search = x;
\echo :SQLSTATE
SET hnsw.ef_search = 1;
SET hnsw.ef_search = 1000;
SHOW hnsw.iterative_scan;
SET hnsw.iterative_scan = on;
\echo :SQLSTATE
SET hnsw.iterative_scan = off;
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.iterative_scan = strict_order;
SHOW hnsw.max_scan_tuples;
SET hnsw.max_scan_tuples = 0;
\echo :SQLSTATE
SET hnsw.max_scan_tuples = 2147483648;
\echo :SQLSTATE
SET hnsw.max_scan_tuples = 2147483647;
SHOW hnsw.scan_mem_multiplier;
SET hnsw.scan_mem_multiplier = 0;
\echo :SQLSTATE
SET hnsw.scan_mem_multiplier = 1001;
\echo :SQLSTATE
SET hnsw.scan_mem_multiplier = 1000;
SET hnsw.foo = 1;
\echo :SQLSTATE
SHOW hnsw.foo;
\echo :SQLSTATE
