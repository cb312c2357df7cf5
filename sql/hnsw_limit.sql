--
-- No setting makes an answer shorter than its LIMIT, as long as there are
-- rows; and what is said about order is kept.
--
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;

CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 8 + j) / 2147483648.0 FROM generate_series(1, 8) j)::vector(8)$$;
CREATE TABLE t (id int, val vector(8));
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 2000) i;
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops) WITH (m = 8, ef_construction = 32);
ANALYZE t;
SELECT vec(0) AS q \gset

-- How many rows a scan gives, whether each comes once, and how many come
-- before a nearer one; then the same but for the order, of which a scan that
-- has to give every row it can find says nothing
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

-- The candidate list may be shorter than the answer
SET hnsw.ef_search = 10;
SET hnsw.iterative_scan = off;
EXECUTE nearest (100);
EXECUTE filtered (20);
SET hnsw.iterative_scan = strict_order;
EXECUTE nearest (100);
EXECUTE filtered (20);
SET hnsw.iterative_scan = relaxed_order;
EXECUTE every (100);
EXECUTE filtered (20);

-- By default, and with a list of one
RESET hnsw.iterative_scan;
RESET hnsw.ef_search;
EXECUTE nearest (100);
EXECUTE filtered (20);
SET hnsw.ef_search = 1;
EXECUTE nearest (100);
EXECUTE filtered (20);
EXECUTE nearest (1);
EXECUTE nearest (0);

-- Budgets bound the effort, not the answer
SET hnsw.max_scan_tuples = 1;
EXECUTE nearest (100);
EXECUTE filtered (20);
RESET hnsw.max_scan_tuples;
SET work_mem = '64kB';
SET hnsw.scan_mem_multiplier = 1;
EXECUTE nearest (100);
EXECUTE filtered (20);
EXECUTE nearest (1000);
SET hnsw.max_scan_tuples = 1;
SET hnsw.iterative_scan = off;
EXECUTE nearest (100);
EXECUTE filtered (20);
RESET hnsw.max_scan_tuples;
RESET hnsw.scan_mem_multiplier;
RESET hnsw.iterative_scan;
RESET work_mem;

-- A LIMIT that the table cannot fill, and none: every row, once
EXECUTE every (1999);
EXECUTE every (2000);
EXECUTE every (5000);
EXECUTE every (NULL);
EXECUTE filtered (100);
EXECUTE filtered (NULL);
SET hnsw.ef_search = 1000;
EXECUTE every (NULL);
EXECUTE filtered (NULL);
SET hnsw.iterative_scan = off;
EXECUTE every (NULL);
EXECUTE filtered (NULL);
RESET hnsw.iterative_scan;

-- More effort, better answers: all of them at this size
EXECUTE right_ones (10);
EXECUTE right_ones (100);
RESET hnsw.ef_search;

-- OFFSET is part of the LIMIT
SELECT count(*) FROM (SELECT FROM t ORDER BY val <-> :'q' LIMIT 10 OFFSET 500) s;

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
INSERT INTO t SELECT i, :'q' FROM generate_series(10001, 10200) i;
EXECUTE nearest (300);
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 200) s WHERE id > 10000;
SELECT * FROM ann_check('idx');
DEALLOCATE ALL;
DROP TABLE t;
DROP FUNCTION vec;
