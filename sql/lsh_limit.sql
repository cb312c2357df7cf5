--
-- No setting makes an answer shorter than its LIMIT, as long as there are
-- rows; rows come in order, and each once, whatever the LIMIT.
--
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;

CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 8 + j) / 2147483648.0 FROM generate_series(1, 8) j)::vector(8)$$;
CREATE TABLE t (id int, val vector(8));
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 5000) i;
CREATE INDEX idx ON t USING lsh (val vector_l2_ops) WITH (tables = 4);
ANALYZE t;
SELECT vec(0) AS q \gset

PREPARE nearest (int) AS
SELECT count(*) AS rows, count(DISTINCT id) AS distinct_rows, count(*) FILTER (WHERE d < previous) AS disorder
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

EXECUTE nearest (10);
EXECUTE nearest (100);
EXECUTE filtered (20);
EXECUTE nearest (0);

-- The recall wanted bounds the effort, not the answer
SET lsh.target_recall = 0;
EXECUTE nearest (10);
EXECUTE nearest (100);
EXECUTE filtered (20);
EXECUTE every (NULL);

-- Nor do probes
RESET lsh.target_recall;
SET lsh.max_probes = 1;
EXECUTE nearest (10);
EXECUTE every (1000);
EXECUTE filtered (50);
EXECUTE every (NULL);
RESET lsh.max_probes;

-- Nor does memory
SET work_mem = '64kB';
EXECUTE nearest (10);
EXECUTE every (1000);
EXECUTE filtered (50);
EXECUTE every (NULL);
RESET work_mem;

-- A LIMIT that the table cannot fill
EXECUTE every (5000);
EXECUTE every (6000);
EXECUTE filtered (100);

-- Exhaustive effort: the right answer, however long
SET lsh.target_recall = 1;
EXECUTE right_ones (10);
EXECUTE right_ones (100);
EXECUTE right_ones (1000);
EXECUTE nearest (1000);
RESET lsh.target_recall;

-- The recall wanted holds for a long answer as for a short one
EXECUTE right_ones (500) \gset
SELECT :of_the_true_nearest >= 450 AS nine_tenths;

-- Rows that are gone count for nothing
DELETE FROM t WHERE id % 2 = 0;
EXECUTE every (500);
VACUUM t;
EXECUTE every (500);
EXECUTE every (NULL);

-- Many rows of one value: more than fit a leaf, all found, cut off by LIMIT
INSERT INTO t SELECT i, :'q' FROM generate_series(10001, 11000) i;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 100) s WHERE id > 10000;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 1000) s WHERE id > 10000;
SELECT * FROM ann_check('idx');
REINDEX INDEX idx;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 1000) s WHERE id > 10000;
SELECT * FROM ann_check('idx');
DEALLOCATE ALL;
DROP TABLE t;
DROP FUNCTION vec;

-- Two dimensions: the bounds of codes must hold there too
CREATE TABLE t (id int, val vector(2));
INSERT INTO t SELECT i, ARRAY[i, i % 5] FROM generate_series(1, 100) i;
CREATE INDEX ON t USING lsh (val vector_l2_ops) WITH (tables = 2);
INSERT INTO t VALUES (0, '[0,0]'), (1000, '[0.5,0]');
SET enable_seqscan = off;
SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT 5;
DROP TABLE t;
