--
-- Scans that start again, stop and go on: nested loops and cursors.
--
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;
CREATE TABLE t (id int, val vector(2));
INSERT INTO t SELECT i, ARRAY[i, 0] FROM generate_series(1, 200) i;
CREATE INDEX idx ON t USING hnsw (val vector_l2_ops);

-- One index scan, restarted with another query each time; null among them
EXPLAIN (COSTS OFF) SELECT q.id, s.id FROM (VALUES (1, '[0,0]'::vector), (2, NULL), (3, '[500,0]')) q (id, v)
	LEFT JOIN LATERAL (SELECT id FROM t ORDER BY val <-> q.v LIMIT 3) s ON true;
SELECT q.id, array_agg(s.id ORDER BY d) FROM (VALUES (1, '[0,0]'::vector), (3, '[500,0]'), (2, '[50.25,0]'), (4, '[0,0]')) q (id, v)
	LEFT JOIN LATERAL (SELECT id, val <-> q.v AS d FROM t ORDER BY val <-> q.v LIMIT 3) s ON true
	GROUP BY q.id ORDER BY q.id;
SELECT q.id, count(s.id) FROM (VALUES (1, '[0,0]'::vector), (2, NULL), (3, '[500,0]'), (4, NULL), (5, '[1,1]')) q (id, v)
	LEFT JOIN LATERAL (SELECT id FROM t ORDER BY val <-> q.v) s ON true
	GROUP BY q.id ORDER BY q.id;
-- Rescans of different depths
SELECT q.n, count(s.id), count(DISTINCT s.id), max(s.id) FROM (VALUES (1), (200), (3), (0), (150), (300)) q (n)
	LEFT JOIN LATERAL (SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT q.n) s ON true
	GROUP BY q.n ORDER BY q.n;
-- The nearest other row of each row
SELECT count(*), count(*) FILTER (WHERE abs(n.id - t.id) = 1) AS adjacent
	FROM t, LATERAL (SELECT id FROM t o WHERE o.id <> t.id ORDER BY o.val <-> t.val LIMIT 1) n;
-- Two scans of the index at once
SELECT a.id, b.id FROM (SELECT id, val FROM t ORDER BY val <-> '[0,0]' LIMIT 3) a,
	LATERAL (SELECT id FROM t ORDER BY val <-> (a.val + '[100.25,0]') LIMIT 2) b;
-- A query of other dimensions, in the middle as well
SELECT id FROM t ORDER BY val <-> '[1,2,3]';
\echo :SQLSTATE
SELECT q.id, count(s.id) FROM (VALUES (1, '[0,0]'::vector), (2, '[1,2,3]')) q (id, v)
	LEFT JOIN LATERAL (SELECT id FROM t ORDER BY val <-> q.v LIMIT 3) s ON true GROUP BY q.id;
\echo :SQLSTATE
SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT 1;

-- Cursors go forward
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY val <-> '[0,0]';
FETCH 2 FROM c;
FETCH 3 FROM c;
MOVE FORWARD 45 IN c;
FETCH c;
MOVE FORWARD ALL IN c;
FETCH c;
FETCH BACKWARD 1 FROM c;
\echo :SQLSTATE
ROLLBACK;

-- And backward over what was materialized
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM t ORDER BY val <-> '[0,0]';
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 10 FROM c;
FETCH FIRST FROM c;
COMMIT;

-- A cursor does not see what comes after it, and keeps what goes
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY val <-> '[0,0]';
FETCH 1 FROM c;
INSERT INTO t VALUES (201, '[1.5,0]');
DELETE FROM t WHERE id = 2;
FETCH 3 FROM c;
SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT 3;
ROLLBACK;

-- Two cursors over one index, taking turns; one outlives the transaction
BEGIN;
DECLARE c1 CURSOR FOR SELECT id FROM t ORDER BY val <-> '[0,0]';
DECLARE c2 CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY val <-> '[500,0]';
FETCH 2 FROM c1;
FETCH 2 FROM c2;
FETCH 2 FROM c1;
FETCH 2 FROM c2;
CLOSE c1;
COMMIT;
FETCH 2 FROM c2;
FETCH BACKWARD 1 FROM c2;
\echo :SQLSTATE
CLOSE c2;

-- Locked and updated rows
SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT 2 FOR UPDATE;
UPDATE t SET val = '[1000,0]' WHERE id IN (SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT 2) RETURNING id, val;
SELECT id FROM t ORDER BY val <-> '[0,0]' LIMIT 2;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> '[1000,0]' LIMIT 2) s WHERE id IN (1, 2);
SELECT * FROM ann_check('idx');
DROP TABLE t;
