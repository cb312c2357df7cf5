--
-- Equal values share a node: few and many of them, added by inserts and by a
-- build, removed again by VACUUM.
--
SET enable_seqscan = off;
CREATE TABLE t (id int, val vector(16));
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops);

CREATE FUNCTION value(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	'SELECT ARRAY(SELECT hashint4(i * 16 + j) % 1000 FROM generate_series(1, 16) j)::vector';
CREATE FUNCTION one() RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT array_fill(1, ARRAY[16])::vector';

-- Is every row found, once, through the index?
CREATE VIEW found AS
SELECT count(*) AS rows, count(DISTINCT id) AS distinct_rows, (SELECT count(*) FROM t) AS expected
FROM (SELECT id FROM t ORDER BY val <-> one()) s;

-- Many values, each a few times, so that a page is full of short lists
INSERT INTO t SELECT i * 10 + j, value(i) FROM generate_series(1, 3) j, generate_series(1, 500) i;
SELECT * FROM found;
SELECT * FROM ann_check('idx');

-- One value, many times
INSERT INTO t SELECT 10000 + i, one() FROM generate_series(1, 3000) i;
SELECT * FROM found;
SELECT count(*) FROM (SELECT val FROM t ORDER BY val <-> one() LIMIT 3000) s WHERE val = one();
SELECT * FROM ann_check('idx');

-- It takes little space, and hides nothing
SELECT pg_relation_size('idx') < 40 * 8192 AS small;
SELECT count(*) FROM generate_series(1, 500) i,
	LATERAL (SELECT val FROM t ORDER BY val <-> value(i) LIMIT 1) s WHERE s.val <> value(i);

-- Most go, then all; what is left is found
DELETE FROM t WHERE id % 10 = 1 OR id > 10050;
VACUUM t;
SELECT * FROM found;
SELECT * FROM ann_check('idx');
DELETE FROM t WHERE id > 10000;
VACUUM t;
SELECT * FROM found;
SELECT * FROM ann_check('idx');

-- As a build makes it
INSERT INTO t SELECT 20000 + i, one() FROM generate_series(1, 3000) i;
INSERT INTO t SELECT 40000 + i * 10, value(i) FROM generate_series(1, 500) i;
REINDEX INDEX idx;
SELECT * FROM found;
SELECT * FROM ann_check('idx');
INSERT INTO t SELECT 50000 + i * 10, value(i) FROM generate_series(1, 500) i;
SELECT * FROM found;
DELETE FROM t WHERE id < 50000;
VACUUM t;
SELECT * FROM found;
SELECT * FROM ann_check('idx');
DROP VIEW found;
DROP TABLE t;
DROP FUNCTION value, one;
