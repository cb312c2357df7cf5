--
-- lsh indexes of every persistence, on every kind of table, and through the
-- commands that rebuild, rename, move and drop them.
--
SET enable_seqscan = off;
CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY[i, i % 7, i % 3]::vector(3)$$;

-- Unlogged, made logged and unlogged again
CREATE UNLOGGED TABLE t (id int, val vector(3));
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 50) i;
CREATE INDEX idx ON t USING lsh (val vector_l2_ops);
INSERT INTO t SELECT i, vec(i) FROM generate_series(51, 100) i;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
ALTER TABLE t SET LOGGED;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
ALTER TABLE t SET UNLOGGED;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- Temporary, emptied at commit
CREATE TEMP TABLE t (id int, val vector(3)) ON COMMIT DELETE ROWS;
CREATE INDEX idx ON t USING lsh (val vector_l2_ops);
BEGIN;
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 50) i;
SELECT id FROM t ORDER BY val <-> vec(7) LIMIT 1;
COMMIT;
SELECT id FROM t ORDER BY val <-> vec(7) LIMIT 1;
INSERT INTO t VALUES (1, vec(1));
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- One table for what follows
CREATE TABLE t (id int, kind text, val vector(3), arr real[]);
INSERT INTO t SELECT i, CASE i % 4 WHEN 0 THEN 'a' ELSE 'b' END, vec(i), ARRAY[i, i, 1] FROM generate_series(1, 100) i;
ANALYZE t;

-- Partial: found only by queries that imply its predicate
CREATE INDEX partial ON t USING lsh (val vector_l2_ops) WHERE (kind = 'a');
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE kind = 'a' ORDER BY val <-> '[10,1,1]' LIMIT 3;
SELECT id FROM t WHERE kind = 'a' ORDER BY val <-> '[10,1,1]' LIMIT 3;
UPDATE t SET kind = 'a' WHERE id = 10;
SELECT id FROM t WHERE kind = 'a' ORDER BY val <-> '[10,1,1]' LIMIT 3;
UPDATE t SET kind = 'b' WHERE id = 10;
SELECT id FROM t WHERE kind = 'a' ORDER BY val <-> '[10,1,1]' LIMIT 3;
SELECT count(*) FROM (SELECT FROM t WHERE kind = 'a' ORDER BY val <-> '[10,1,1]') s;
SELECT * FROM ann_check('partial');
DROP INDEX partial;

-- Expression
CREATE INDEX expression ON t USING lsh ((arr::vector(3)) vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY arr::vector(3) <-> '[10,10,1]' LIMIT 3;
SELECT id FROM t ORDER BY arr::vector(3) <-> '[10,10,1]' LIMIT 1;
INSERT INTO t (id, arr) VALUES (101, ARRAY[10.5, 10.5, 1]);
SELECT id FROM t ORDER BY arr::vector(3) <-> '[10.5,10.5,1]' LIMIT 1;
INSERT INTO t (id, arr) VALUES (102, ARRAY[1, 2]);
\echo :SQLSTATE
INSERT INTO t (id, arr) VALUES (102, NULL);
SELECT count(*) FROM (SELECT FROM t ORDER BY arr::vector(3) <-> '[10,10,1]') s;
SELECT * FROM ann_check('expression');
DROP INDEX expression;
DELETE FROM t WHERE id > 100;
CREATE INDEX expression ON t USING lsh (subvector(val, 1, 2) vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX expression ON t USING lsh ((subvector(val, 1, 2)::vector(2)) vector_l2_ops);
SELECT id FROM t ORDER BY subvector(val, 1, 2)::vector(2) <-> '[10,3]' LIMIT 1;
DROP INDEX expression;

-- Names, IF NOT EXISTS, concurrently, and again
CREATE INDEX ON t USING lsh (val vector_l2_ops);
CREATE INDEX CONCURRENTLY ON t USING lsh (val vector_cosine_ops);
CREATE INDEX IF NOT EXISTS t_val_idx ON t USING lsh (val vector_l2_ops);
CREATE INDEX t_val_idx ON t USING lsh (val vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX CONCURRENTLY broken ON t USING lsh (val vector_ip_ops) WITH (tables = 64);
\echo :SQLSTATE
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1::text;
DROP INDEX IF EXISTS broken;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
REINDEX INDEX t_val_idx;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
REINDEX INDEX CONCURRENTLY t_val_idx;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
REINDEX TABLE CONCURRENTLY t;
SELECT id FROM t ORDER BY val <=> vec(61) LIMIT 1;
SELECT * FROM ann_check('t_val_idx');
SELECT * FROM ann_check('t_val_idx1');
DROP INDEX CONCURRENTLY t_val_idx1;

-- Commands that rewrite the table, or change it under the index
VACUUM FULL t;
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
ALTER TABLE t ADD COLUMN extra int DEFAULT (random() * 0);
SELECT id FROM t ORDER BY val <-> vec(60) LIMIT 1;
ALTER TABLE t RENAME COLUMN val TO embedding;
ALTER INDEX t_val_idx RENAME TO renamed;
SELECT id FROM t ORDER BY embedding <-> vec(60) LIMIT 1;
SELECT indexdef FROM pg_indexes WHERE indexname = 'renamed';
ALTER TABLE t ALTER embedding TYPE vector;
INSERT INTO t (id, embedding) VALUES (101, '[1,2]');
\echo :SQLSTATE
REINDEX INDEX renamed;
\echo :SQLSTATE
SELECT id FROM t ORDER BY embedding <-> vec(60) LIMIT 1;
ALTER TABLE t ALTER embedding TYPE vector(4);
\echo :SQLSTATE
ALTER TABLE t ALTER embedding TYPE vector(4) USING (embedding || '[1]')::vector(4);
SELECT id FROM t ORDER BY embedding <-> (vec(60) || '[1]') LIMIT 1;
CREATE TABLE copy (LIKE t INCLUDING ALL);
SELECT indexdef FROM pg_indexes WHERE tablename = 'copy';
DROP TABLE copy;
SELECT * FROM ann_check('renamed');
ALTER TABLE t DROP COLUMN embedding;
SELECT to_regclass('renamed');
DROP TABLE t;

-- Transactions that do not commit
CREATE TABLE t (id int, val vector(3));
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 100) i;
BEGIN;
CREATE INDEX idx ON t USING lsh (val vector_l2_ops);
INSERT INTO t VALUES (101, vec(101));
SELECT id FROM t ORDER BY val <-> vec(101) LIMIT 1;
ROLLBACK;
SELECT to_regclass('idx');
CREATE INDEX idx ON t USING lsh (val vector_l2_ops);
BEGIN;
INSERT INTO t VALUES (101, vec(101));
SAVEPOINT s;
INSERT INTO t VALUES (102, vec(102));
DELETE FROM t WHERE id = 100;
ROLLBACK TO s;
SELECT id FROM t ORDER BY val <-> vec(102) LIMIT 2;
ROLLBACK;
SELECT id FROM t ORDER BY val <-> vec(102) LIMIT 2;
BEGIN;
TRUNCATE t;
INSERT INTO t VALUES (1, vec(1));
SELECT id FROM t ORDER BY val <-> vec(50);
ROLLBACK;
SELECT id FROM t ORDER BY val <-> vec(50) LIMIT 1;
VACUUM t;
SELECT id FROM t ORDER BY val <-> vec(102) LIMIT 2;
SELECT count(*) FROM (SELECT FROM t ORDER BY val <-> vec(1)) s;
COPY t FROM stdin;
103	[103,5,1]
104	[104,6,2]
\.
SELECT id FROM t ORDER BY val <-> vec(104) LIMIT 2;
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- Partitions: an index of each, merged
CREATE TABLE t (id int, val vector(3)) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (51);
CREATE INDEX idx ON t USING lsh (val vector_l2_ops) WITH (tables = 3);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (51) TO (101);
CREATE TABLE t3 (id int, val vector(3));
ALTER TABLE t ATTACH PARTITION t3 DEFAULT;
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 150) i;
ANALYZE t;
SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('t', 't1', 't2', 't3') ORDER BY 1;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY val <-> '[51,2,0]' LIMIT 4;
SELECT id FROM t ORDER BY val <-> '[51,2,0]' LIMIT 4;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY val <-> '[51,2,0]') s;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id < 20 ORDER BY val <-> '[51,2,0]' LIMIT 2;
SELECT id FROM t WHERE id < 20 ORDER BY val <-> '[51,2,0]' LIMIT 2;
UPDATE t SET id = id + 50 WHERE id = 49;
SELECT id FROM t ORDER BY val <-> vec(49) LIMIT 1;
ALTER TABLE t DETACH PARTITION t2;
SELECT id FROM t ORDER BY val <-> '[51,2,0]' LIMIT 1;
SELECT id FROM t2 ORDER BY val <-> '[51,2,0]' LIMIT 1;
REINDEX TABLE t;
SELECT id FROM t ORDER BY val <-> '[51,2,0]' LIMIT 1;
SELECT i, c.* FROM unnest('{t1_val_idx,t2_val_idx,t3_val_idx}'::regclass[]) i, ann_check(i) c;
DROP TABLE t, t2;

-- A materialized view, refreshed: from 17 on with a search path in which vec()
-- would not find the type
CREATE MATERIALIZED VIEW mv AS SELECT i AS id, ARRAY[i, i % 7, i % 3]::vector AS val FROM generate_series(1, 20) i;
CREATE INDEX ON mv USING lsh ((val::vector(3)) vector_l2_ops);
REFRESH MATERIALIZED VIEW mv;
SELECT id FROM mv ORDER BY val::vector(3) <-> vec(5) LIMIT 1;
DROP MATERIALIZED VIEW mv;
DROP FUNCTION vec;
