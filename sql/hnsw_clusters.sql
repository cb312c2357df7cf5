--
-- Clusters that are far apart, of which all rows are replaced twice: what is
-- found stays what it was.
--
SET enable_seqscan = off;
SET hnsw.ef_search = 40;
SELECT setseed(0.5);
CREATE TABLE centres AS
	SELECT c, ARRAY(SELECT 40 * (random() + c * 0) FROM generate_series(1, 112)) AS v FROM generate_series(0, 19) c;
CREATE TABLE t (id int, val vector(112)) WITH (autovacuum_enabled = off);

-- Rows of all clusters, in turn
CREATE PROCEDURE add(first int, n int) LANGUAGE sql AS $$
	INSERT INTO t SELECT i, ARRAY(SELECT x + 4 * (random() + random() + random()) FROM unnest(v) x)::vector
		FROM generate_series(first, first + n - 1) i JOIN centres ON c = i % 20
$$;
CALL add(0, 3000);
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops);
SELECT recall > 0.98 AS built FROM ann_recall('idx', 10, 200);

-- A search reads the page of a node that it expands, and counts it once; lists have
-- 28 neighbours or 16
SELECT count(*) FROM (SELECT val FROM t WHERE id < 100) q, LATERAL (SELECT id FROM t ORDER BY val <-> q.val LIMIT 10) s;
SELECT pages BETWEEN scored / 29 AND scored / 17 + 2 * 100 AS pages FROM ann_last_scan();

-- An eighth at a time
SELECT format('DELETE FROM t WHERE id BETWEEN %s AND %s', i, i + 374), format('CALL add(%s, 375)', i + 3000), 'VACUUM t'
	FROM generate_series(0, 5999, 375) i \gexec
SELECT count(*), min(id) FROM t;
SELECT recall > 0.97 AS replaced FROM ann_recall('idx', 10, 200);
SELECT * FROM ann_check('idx');
DROP PROCEDURE add;
DROP TABLE t, centres;
