--
-- No setting makes an answer shorter than its LIMIT, as long as there are
-- rows; and what is said about order is kept.  Rows are kept as codes.
--
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;

CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 8 + j) / 2147483648.0 FROM generate_series(1, 8) j)::vector(8)$$;
CREATE TABLE t (id int, val vector(8));
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 2000) i;
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (lists = 40, quantizer = rabitq);
ANALYZE t;
SELECT vec(0) AS q \gset

-- How many rows a scan gives, whether each comes once, and how many come
-- before a nearer one: where the lists end and the rest begins, one may, and so may
-- a few whose codes err by more than their bound, which holds for all but one in 200
PREPARE nearest (int) AS
SELECT count(*) AS rows, count(DISTINCT id) AS distinct_rows, count(*) FILTER (WHERE d < previous) <= 8 AS ordered
FROM (SELECT id, d, lag(d) OVER () AS previous
	FROM (SELECT id, val <-> :'q' AS d FROM t ORDER BY val <-> :'q' LIMIT $1) s) s;
PREPARE every (int) AS
SELECT count(*) AS rows, count(DISTINCT id) AS distinct_rows
FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT $1) s;
PREPARE filtered (int) AS
SELECT count(*) AS rows, count(DISTINCT id) AS distinct_rows
FROM (SELECT id FROM t WHERE id % 100 = 0 ORDER BY val <-> :'q' LIMIT $1) s;
PREPARE right_ones (int) AS
SELECT count(*) AS of_the_true_nearest
FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT $1) i
	JOIN (SELECT id FROM t ORDER BY (val <-> :'q') + 0 LIMIT $1) e USING (id);

-- The lists looked into may have fewer rows than the answer
SET ivfflat.probes = 2;
EXECUTE nearest (300);
EXECUTE filtered (20);
SET ivfflat.iterative_scan = strict_order;
EXECUTE nearest (300);
EXECUTE filtered (20);
SET ivfflat.iterative_scan = relaxed_order;
EXECUTE every (300);
EXECUTE filtered (20);

-- A limit to the effort
SET ivfflat.max_probes = 3;
EXECUTE every (300);
EXECUTE filtered (20);
EXECUTE every (NULL);
SET ivfflat.iterative_scan = strict_order;
EXECUTE nearest (300);
EXECUTE every (NULL);
SET ivfflat.max_probes = 1;
EXECUTE nearest (300);
RESET ivfflat.max_probes;

-- A LIMIT that the table cannot fill, and none: every row, once
EXECUTE every (1999);
EXECUTE every (2000);
EXECUTE every (5000);
EXECUTE every (NULL);
EXECUTE filtered (NULL);
RESET ivfflat.iterative_scan;
SET ivfflat.probes = 1000;
EXECUTE every (NULL);
EXECUTE filtered (NULL);
SET work_mem = '64kB';
EXECUTE every (NULL);
RESET work_mem;

-- More effort, better answers: all of them at this size
EXECUTE right_ones (10);
EXECUTE right_ones (100);
RESET ivfflat.probes;

-- Rows that are gone count for nothing
DELETE FROM t WHERE id % 2 = 0;
EXECUTE nearest (500);
EXECUTE every (NULL);
VACUUM t;
EXECUTE nearest (500);
EXECUTE every (NULL);
UPDATE t SET val = vec(id + 5000);
EXECUTE every (NULL);

-- Many rows of one value
INSERT INTO t SELECT i, :'q' FROM generate_series(10001, 11000) i;
EXECUTE nearest (1500);
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 1000) s WHERE id > 10000;
SELECT * FROM ann_check('idx');

-- A cursor goes on while lists are split and merged
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY val <-> :'q';
MOVE 100 IN c;
INSERT INTO t SELECT i, vec(i) FROM generate_series(20001, 24000) i;
MOVE ALL IN c;
COMMIT;
EXECUTE every (NULL);
SELECT * FROM ann_check('idx');
DEALLOCATE ALL;
DROP TABLE t;
DROP FUNCTION vec;

-- Where the lists end and the rest begins, codes do not tell on which side a row
-- is; but hardly any are left out
CREATE TABLE t (id int, val vector(64));
INSERT INTO t SELECT i, ARRAY(SELECT hashint4(i * 4) / 2147483648.0 * cos(j) + hashint4(i * 4 + 1) / 2147483648.0 * sin(j) +
	hashint4(i * 4 + 2) / 2147483648.0 * cos(2 * j) + hashint4(i * 4 + 3) / 2147483648.0 * sin(2 * j) FROM generate_series(1, 64) j)
FROM generate_series(1, 6000) i;
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (lists = 40, quantizer = rabitq);
SELECT val AS q FROM t WHERE id = 1 \gset
WITH answer AS (
	SELECT id, d, row_number() OVER () AS place
	FROM (SELECT id, val <-> :'q' AS d FROM t ORDER BY val <-> :'q' LIMIT 450) s)
SELECT count(*) < 8 AS few_left_out
FROM t, (SELECT min(d) AS low, max(d) AS high FROM answer WHERE place > 200) s
WHERE val <-> :'q' BETWEEN low AND high AND id NOT IN (SELECT id FROM answer);

-- Rows of lists that were read are no further round, however many are asked for
SET ivfflat.probes = 40;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 1000) s;
SELECT returned, rounds, full_reads FROM ann_last_scan();
DROP TABLE t;
