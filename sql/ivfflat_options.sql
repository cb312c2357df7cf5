--
-- What ivfflat takes for an option, a column and a setting, and what it says
-- to everything else.
--
CREATE TABLE t (id int, val vector(3), h halfvec(3), s sparsevec(3), b bit(3), nodim vector, vb varbit(3), arr real[]);
INSERT INTO t SELECT i, ARRAY[i, i, 1], ARRAY[i, i, 1], ARRAY[i, i, 1], i::bit(3) FROM generate_series(1, 20) i;

-- Storage parameters and their ranges
CREATE INDEX ON t USING ivfflat (val vector_l2_ops) WITH (lists = 0);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l2_ops) WITH (lists = 1000001);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l2_ops) WITH (lists = x);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l2_ops) WITH (quantizer = x);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l2_ops) WITH (rerank = x);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l2_ops) WITH (m = 16);
\echo :SQLSTATE
CREATE INDEX smallest ON t USING ivfflat (val vector_l2_ops) WITH (lists = 1);
-- more than there are rows
CREATE INDEX more ON t USING ivfflat (val vector_cosine_ops) WITH (lists = 100, quantizer = rabitq);
CREATE INDEX ON t USING ivfflat (val vector_ip_ops) WITH (quantizer = none);
SELECT relname, reloptions FROM pg_class WHERE relkind = 'i' AND relname IN ('smallest', 'more', 't_val_idx') ORDER BY relname;
SET enable_seqscan = off;
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
SELECT id FROM t ORDER BY val <=> '[7,7,1]' LIMIT 1;
SELECT id FROM t ORDER BY val <#> '[7,7,1]' LIMIT 1;
SELECT * FROM ann_check('smallest');
SELECT * FROM ann_check('more');

-- Changed afterwards, they are checked and used by the next build
ALTER INDEX smallest SET (lists = 0);
\echo :SQLSTATE
ALTER INDEX smallest SET (lists = 3, quantizer = rabitq);
REINDEX INDEX smallest;
SELECT reloptions FROM pg_class WHERE relname = 'smallest';
SELECT id FROM t ORDER BY val <-> '[7,7,1]' LIMIT 1;
SELECT * FROM ann_check('smallest');
DROP INDEX smallest, more, t_val_idx;

-- Operator classes; that of vector and L2 is the default
CREATE INDEX ON t USING ivfflat (val);
DROP INDEX t_val_idx;
CREATE INDEX ON t USING ivfflat (h);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (b);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (s sparsevec_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l1_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (b bit_jaccard_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (vb bit_hamming_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (h vector_l2_ops);
\echo :SQLSTATE

-- What the access method cannot do
CREATE UNIQUE INDEX ON t USING ivfflat (val vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat (val vector_l2_ops, h halfvec_l2_ops);
\echo :SQLSTATE

-- Dimensions: codes take all that a vector can have
CREATE INDEX ON t USING ivfflat (nodim vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat ((arr::vector) vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat ((arr::vector(2001)) vector_l2_ops) WITH (quantizer = none);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat ((vb::bit(64001)) bit_hamming_ops);
\echo :SQLSTATE
CREATE INDEX ON t USING ivfflat ((vb::bit(64000)) bit_hamming_ops);
CREATE TABLE large (id int, val vector(16000), h halfvec(4001));
INSERT INTO large SELECT i, array_fill(i, ARRAY[16000]), array_fill(i, ARRAY[4001]) FROM generate_series(1, 3) i;
CREATE INDEX ON large USING ivfflat (val vector_l2_ops) WITH (quantizer = sq8);
\echo :SQLSTATE
CREATE INDEX large_val ON large USING ivfflat (val vector_l2_ops);
CREATE INDEX large_h ON large USING ivfflat (h halfvec_cosine_ops) WITH (lists = 2, quantizer = sq8);
INSERT INTO large SELECT i, array_fill(i, ARRAY[16000]), array_fill(i, ARRAY[4001]) FROM generate_series(4, 5) i;
SELECT id FROM large ORDER BY val <-> array_fill(4, ARRAY[16000])::vector LIMIT 2;
SELECT count(*) FROM (SELECT FROM large ORDER BY h <=> array_fill(4, ARRAY[4001])::halfvec) s;
SELECT * FROM ann_check('large_val');
SELECT * FROM ann_check('large_h');
DROP TABLE large;

-- Memory that centres and a sample do not fit into
CREATE TABLE large (val vector(2000));
SET maintenance_work_mem = '1MB';
CREATE INDEX ON large USING ivfflat (val vector_l2_ops) WITH (lists = 100);
\echo :SQLSTATE
RESET maintenance_work_mem;
DROP TABLE large;

-- Settings
SHOW ivfflat.probes;
SET ivfflat.probes = 0;
\echo :SQLSTATE
SET ivfflat.probes = 32769;
\echo :SQLSTATE
SET ivfflat.probes = 32768;
SHOW ivfflat.iterative_scan;
SET ivfflat.iterative_scan = on;
\echo :SQLSTATE
SET ivfflat.iterative_scan = relaxed_order;
SET ivfflat.iterative_scan = strict_order;
SHOW ivfflat.max_probes;
SET ivfflat.max_probes = 0;
\echo :SQLSTATE
SET ivfflat.max_probes = 32769;
\echo :SQLSTATE
SET ivfflat.foo = 1;
\echo :SQLSTATE
DROP TABLE t;
