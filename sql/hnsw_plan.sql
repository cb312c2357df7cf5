--
-- When the planner uses an hnsw index, with no hint given.
--
CREATE FUNCTION uses_index(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Scan (using|on) idx' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql AS
	$$SELECT ARRAY(SELECT hashint4(i * 64 + j) / 2147483648.0 FROM generate_series(1, 64) j)::vector(64)$$;

-- Parallel plans would be right as well, but are not the matter here
SET max_parallel_workers_per_gather = 0;

-- A few rows: reading and sorting them is cheaper
CREATE TABLE tiny (id int, val vector(3));
INSERT INTO tiny SELECT i, ARRAY[i, 1, 2] FROM generate_series(1, 5) i;
CREATE INDEX tiny_idx ON tiny USING hnsw (val vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM tiny ORDER BY val <-> '[1,2,3]' LIMIT 3;
ANALYZE tiny;
EXPLAIN (COSTS OFF) SELECT id FROM tiny ORDER BY val <-> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM tiny ORDER BY val <-> '[1,2,3]';

-- A zero vector has no cosine distance and is not in the index, but in the
-- answer of such a plan, last
CREATE INDEX ON tiny USING hnsw (val vector_cosine_ops);
INSERT INTO tiny VALUES (0, '[0,0,0]');
SELECT id, round((val <=> '[1,1,2]')::numeric, 3) AS d FROM tiny ORDER BY val <=> '[1,1,2]';
SELECT * FROM ann_check('tiny_idx');
DROP TABLE tiny;

-- Some thousands: the index is
CREATE TABLE t (id int, val vector(64));
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 5000) i;
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops) WITH (m = 8, ef_construction = 32);
VACUUM ANALYZE t;
SELECT array_fill(0.1, ARRAY[64])::vector AS q \gset
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L LIMIT 1$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id, val <-> %L AS d FROM t ORDER BY d LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L ASC LIMIT 10 OFFSET 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t WHERE id > 10 ORDER BY val <-> %L LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY %L <-> val LIMIT 10$$, :'q'));
SELECT uses_index($$SELECT id FROM t ORDER BY val <-> (SELECT val FROM t LIMIT 1) LIMIT 10$$);
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L FETCH FIRST 10 ROWS ONLY$$, :'q'));

-- The whole table in order is better read and sorted
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L$$, :'q'));

-- Not for what the index does not order, even when all else is discouraged
SET enable_seqscan = off;
SET enable_sort = off;
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L$$, :'q'));
SELECT uses_index($$SELECT id FROM t$$);
SELECT uses_index($$SELECT count(*) FROM t$$);
SELECT uses_index($$SELECT id FROM t LIMIT 10$$);
SELECT uses_index($$SELECT id FROM t ORDER BY id LIMIT 10$$);
SELECT uses_index($$SELECT id FROM t ORDER BY val LIMIT 10$$);
SELECT uses_index(format($$SELECT id FROM t WHERE val = %L$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t WHERE val <-> %L < 1$$, :'q'));
SELECT uses_index($$SELECT id FROM t WHERE val IS NULL$$);
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L DESC LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <=> %L LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <#> %L LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY l2_distance(val, %L) LIMIT 10$$, :'q'));
SELECT uses_index(format($$SELECT id FROM t ORDER BY 1 - (val <-> %L) LIMIT 10$$, :'q'));
SELECT uses_index($$SELECT id FROM t ORDER BY val <-> val LIMIT 10$$);
RESET enable_sort;
RESET enable_seqscan;

-- Nor when index scans are not wanted, by way of a bitmap for instance
SET enable_indexscan = off;
SELECT uses_index(format($$SELECT id FROM t ORDER BY val <-> %L LIMIT 10$$, :'q'));
RESET enable_indexscan;

-- Answers with and without the index are the same
SET hnsw.ef_search = 400;
CREATE TABLE answer AS SELECT id FROM t ORDER BY val <-> :'q' LIMIT 10;
SET enable_indexscan = off;
SELECT count(*) FROM answer JOIN (SELECT id FROM t ORDER BY val <-> :'q' LIMIT 10) e USING (id);
SELECT * FROM ann_check('idx');

DROP TABLE t, answer;
DROP FUNCTION uses_index, vec;
