--
-- Comparison and the btree operator classes
--
\pset null <NULL>

-- All seven functions on a chain of values, each smaller than the next
WITH chain AS (
	SELECT ord, v::vector FROM unnest(ARRAY['[-1]', '[-1,5]', '[0]', '[0,-1]', '[0,0]', '[0,0,0]', '[0,1e-45]', '[1]', '[1,0]', '[1,2]', '[1,2,3]', '[3e38]']) WITH ORDINALITY u(v, ord)
)
SELECT bool_and((a.v < b.v) = (a.ord < b.ord)) AS lt, bool_and((a.v <= b.v) = (a.ord <= b.ord)) AS le,
	bool_and((a.v = b.v) = (a.ord = b.ord)) AS eq, bool_and((a.v <> b.v) = (a.ord <> b.ord)) AS ne,
	bool_and((a.v >= b.v) = (a.ord >= b.ord)) AS ge, bool_and((a.v > b.v) = (a.ord > b.ord)) AS gt,
	bool_and(vector_cmp(a.v, b.v) = sign(a.ord - b.ord)) AS cmp, count(*)
FROM chain a, chain b;
WITH chain AS (
	SELECT ord, v::halfvec FROM unnest(ARRAY['[-1]', '[-1,5]', '[0]', '[0,-1]', '[0,0]', '[0,0,0]', '[0,6e-8]', '[1]', '[1,0]', '[1,2]', '[1,2,3]', '[65504]']) WITH ORDINALITY u(v, ord)
)
SELECT bool_and((a.v < b.v) = (a.ord < b.ord)) AS lt, bool_and((a.v <= b.v) = (a.ord <= b.ord)) AS le,
	bool_and((a.v = b.v) = (a.ord = b.ord)) AS eq, bool_and((a.v <> b.v) = (a.ord <> b.ord)) AS ne,
	bool_and((a.v >= b.v) = (a.ord >= b.ord)) AS ge, bool_and((a.v > b.v) = (a.ord > b.ord)) AS gt,
	bool_and(halfvec_cmp(a.v, b.v) = sign(a.ord - b.ord)) AS cmp, count(*)
FROM chain a, chain b;
WITH chain AS (
	SELECT ord, v::sparsevec FROM unnest(ARRAY['{1:-1}/1', '{1:-1,2:5}/2', '{}/1', '{2:-1}/2', '{2:-1}/3', '{}/2', '{3:-1}/3', '{}/3', '{3:2}/3', '{2:1e-45}/2', '{1:1}/1', '{1:1}/2', '{1:1,3:-1}/3', '{1:1}/3', '{1:1,3:1}/3', '{1:1,2:2}/2', '{1:1,2:2}/3', '{1:1,2:2,3:3}/3']) WITH ORDINALITY u(v, ord)
)
SELECT bool_and((a.v < b.v) = (a.ord < b.ord)) AS lt, bool_and((a.v <= b.v) = (a.ord <= b.ord)) AS le,
	bool_and((a.v = b.v) = (a.ord = b.ord)) AS eq, bool_and((a.v <> b.v) = (a.ord <> b.ord)) AS ne,
	bool_and((a.v >= b.v) = (a.ord >= b.ord)) AS ge, bool_and((a.v > b.v) = (a.ord > b.ord)) AS gt,
	bool_and(sparsevec_cmp(a.v, b.v) = sign(a.ord - b.ord)) AS cmp, count(*)
FROM chain a, chain b;

-- A sparse vector compares as the dense one it stands for
WITH dense AS (
	SELECT ARRAY[x]::vector AS v FROM generate_series(-1, 1) x
	UNION ALL SELECT ARRAY[x, y]::vector FROM generate_series(-1, 1) x, generate_series(-1, 1) y
	UNION ALL SELECT ARRAY[x, y, z]::vector FROM generate_series(-1, 1) x, generate_series(-1, 1) y, generate_series(-1, 1) z
)
SELECT bool_and(vector_cmp(a.v, b.v) = sparsevec_cmp(a.v, b.v)), bool_and(vector_cmp(a.v, b.v) = halfvec_cmp(a.v, b.v)), count(*)
FROM dense a, dense b;

-- Zero has no sign, and comparison is strict
SELECT '[-0]'::vector = '[0]', '[-0,1]'::halfvec < '[0,2]', '[1]'::vector = NULL, vector_cmp('[1]', NULL);

-- DISTINCT, GROUP BY, ORDER BY and indexes
CREATE TABLE bt (id int, v vector, h halfvec, s sparsevec);
INSERT INTO bt SELECT i, v, v, v FROM (SELECT i, ARRAY[i % 3, i % 2]::vector FROM generate_series(1, 12) i) t(i, v);
INSERT INTO bt VALUES (0, NULL, NULL, NULL);
SELECT v, count(*) FROM bt GROUP BY v ORDER BY v;
SELECT DISTINCT h FROM bt ORDER BY h DESC;
SELECT DISTINCT s FROM bt ORDER BY s;
CREATE INDEX ON bt (v);
CREATE INDEX ON bt (h);
CREATE INDEX ON bt (s);
CREATE UNIQUE INDEX ON bt (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM bt WHERE v = '[1,1]' ORDER BY id;
SELECT id FROM bt WHERE v = '[1,1]' ORDER BY id;
SELECT id FROM bt WHERE h >= '[2,0]' ORDER BY id;
SELECT id FROM bt WHERE s < '{2:1}/2' ORDER BY id;
SELECT v FROM bt ORDER BY v LIMIT 3;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE bt;

-- Joins and sorts of toasted values
CREATE TEMP TABLE big AS SELECT i % 5 AS k, array_fill(i % 5, ARRAY[4000])::vector AS v FROM generate_series(1, 20) i;
SELECT count(*) FROM big a JOIN big b USING (v);
SELECT count(DISTINCT v) FROM big;
