--
-- VACUUM with little memory, and rows and queries at the edge of what floats
-- can do.
--
SET enable_seqscan = off;
-- Exhaustive effort: every answer is exact
SET hnsw.ef_search = 1000;

-- More dead rows than memory for their numbers: several rounds
CREATE TABLE t (id int, val vector(2));
INSERT INTO t SELECT i, ARRAY[i % 150, i / 150]::vector FROM generate_series(1, 22500) i;
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops) WITH (m = 4, ef_construction = 8);
DELETE FROM t WHERE id % 10 <> 0;
SET maintenance_work_mem = '1MB';
SET statement_timeout = '10min';
VACUUM t;
RESET statement_timeout;
RESET maintenance_work_mem;
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> '[74,75]') s;
SELECT id FROM t ORDER BY val <-> '[74,75]' LIMIT 1;

-- The space is used again
SELECT pg_relation_size('idx') AS size \gset
INSERT INTO t SELECT i, ARRAY[i % 150 + 0.5, i / 150]::vector FROM generate_series(1, 15000) i;
SELECT pg_relation_size('idx') <= :size AS reused;
SELECT * FROM ann_check('idx');

-- Everything dies, and the index begins anew
DELETE FROM t;
VACUUM t;
SELECT * FROM ann_check('idx');
INSERT INTO t VALUES (1, '[1,2]'), (2, '[3,4]');
SELECT id FROM t ORDER BY val <-> '[3,3]';
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- VACUUM reads few pages for each list that it repairs, and a code once if
-- maintenance_work_mem has room for it, whatever work_mem says
CREATE TABLE t (id int, val vector(48));
INSERT INTO t SELECT i, ARRAY(SELECT sin(i * (j + 0.1) * sqrt(j + 1)) FROM generate_series(1, 48) j)::vector FROM generate_series(1, 2000) i;
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops);
CREATE FUNCTION pages() RETURNS bigint LANGUAGE sql AS
	$$SELECT idx_blks_read + idx_blks_hit FROM pg_statio_user_indexes WHERE indexrelname = 'idx'$$;
DELETE FROM t WHERE id % 10 = 0;
SELECT pg_stat_force_next_flush();
SELECT pages() AS pages \gset
SET work_mem = '64kB';
VACUUM t;
RESET work_mem;
SELECT pg_stat_force_next_flush();
SELECT CASE WHEN n < 20 * 1800 THEN 'few' ELSE n::text END AS pages FROM (SELECT pages() - :pages AS n) s;
DROP FUNCTION pages;
DROP TABLE t;

-- An inner product that overflows is not a number; the rows are there, equal
-- ones too
CREATE TABLE t (id int, val vector(2));
CREATE INDEX idx ON t USING hnsw (val vector_ip_ops);
INSERT INTO t VALUES (1, '[3e38,3e38]'), (2, '[1,1]'), (3, '[3e38,3e38]');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <#> '[3e38,-3e38]') s;
DROP TABLE t;

-- A query may have more elements than an index can store
CREATE TABLE t (id int, val sparsevec(2000));
CREATE INDEX idx ON t USING hnsw (val sparsevec_l2_ops);
INSERT INTO t VALUES (1, '{1:1}/2000'), (2, '{2:5}/2000');
SELECT id FROM t ORDER BY val <-> (SELECT array_agg(1)::sparsevec FROM generate_series(1, 2000));
INSERT INTO t SELECT 3, array_agg(1)::sparsevec FROM generate_series(1, 2000);
DROP TABLE t;

-- What is no index of ours cannot be checked
CREATE TABLE p (val vector(2)) PARTITION BY LIST (val);
CREATE INDEX p_idx ON p USING hnsw (val vector_l2_ops);
CREATE INDEX p_btree ON p (val);
CREATE TABLE o (val vector(2));
CREATE INDEX o_btree ON o (val);
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['p', 'p_idx', 'p_btree', 'o_btree'] LOOP
		BEGIN
			PERFORM ann_check(name::regclass);
		EXCEPTION WHEN wrong_object_type THEN
			RAISE NOTICE '% is the wrong kind', name;
		END;
	END LOOP;
END $$;
DROP TABLE p, o;
