--
-- Leaves that are emptied are unlinked and used again, in the ranges that
-- need them.
--
SET enable_seqscan = off;
SET jit = off;
CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 16 + j) / 2147483648.0 FROM generate_series(1, 16) j)::vector(16)$$;
CREATE TABLE t (id int, val vector(16));
CREATE INDEX idx ON t USING lsh (val vector_l2_ops) WITH (tables = 3);
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 20000) i;
SELECT * FROM ann_check('idx');
SELECT pg_relation_size('idx') AS size \gset

DELETE FROM t WHERE id % 1000 <> 0;
VACUUM t;
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(1)) s;
SELECT id FROM t ORDER BY val <-> vec(7000) LIMIT 1;

-- Other values, as many
INSERT INTO t SELECT i, vec(i) FROM generate_series(20001, 39000) i;
SELECT * FROM ann_check('idx');
SELECT pg_relation_size('idx') <= :size * 1.1 AS reused;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(1)) s;
SELECT id FROM t ORDER BY val <-> vec(30000) LIMIT 1;

-- Everything dies
DELETE FROM t;
VACUUM t;
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(1)) s;
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 10000) i;
SELECT * FROM ann_check('idx');
SELECT pg_relation_size('idx') <= :size * 1.1 AS reused;
SELECT id FROM t ORDER BY val <-> vec(7000) LIMIT 1;
DROP TABLE t;

-- What overflows is there
CREATE TABLE t (id int, val vector(2));
CREATE INDEX idx ON t USING lsh (val vector_ip_ops);
INSERT INTO t VALUES (1, '[3e38,3e38]'), (2, '[1,1]'), (3, '[3e38,3e38]');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <#> '[3e38,-3e38]') s;
REINDEX INDEX idx;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <#> '[3e38,-3e38]') s;
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- Sets without elements are as far from each other as from all others
CREATE TABLE t (id int, val bit(64));
CREATE INDEX idx ON t USING lsh (val bit_jaccard_ops);
INSERT INTO t SELECT i, (i / 2)::bit(64) FROM generate_series(0, 9) i;
SELECT id FROM t ORDER BY val <%> 4::bit(64) LIMIT 2;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <%> 0::bit(64)) s;
SELECT * FROM ann_check('idx');
DROP TABLE t;
DROP FUNCTION vec;

-- VACUUM with workers, whom one of the indexes is left to, measures an index that began empty
SET min_parallel_index_scan_size = 0;
SET max_parallel_maintenance_workers = 1;
CREATE TABLE t (id int PRIMARY KEY, val vector(24));
CREATE INDEX idx ON t USING lsh (val vector_l2_ops) WITH (tables = 2);
INSERT INTO t SELECT i, ARRAY(SELECT hashint4(i * 24 + j) / 2147483648.0 FROM generate_series(1, 24) j)::vector(24)
FROM generate_series(1, 5000) i;
VACUUM (PARALLEL 1) t;
SELECT value::float8 <> 100 AS measured FROM ann_index_info('idx') WHERE name = 'patience_0.95';
SELECT * FROM ann_check('idx');
DROP TABLE t;
RESET min_parallel_index_scan_size;
RESET max_parallel_maintenance_workers;
