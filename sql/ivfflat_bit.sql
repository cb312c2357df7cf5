--
-- ivfflat on bit: each operator class, exhaustively.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set life :abs_srcdir '/sql/opclass.psql'
\set method ivfflat
\set effort ivfflat.probes
\set type 'bit(32)'
\set zero '0::bit(32)'
\set value 'hashint4(i)::bit(32)'

\set class bit_hamming_ops
\set op '<~>'
\i :life

-- As many bits as pgvector takes: a row, and a centre, to a page
CREATE FUNCTION noise(seed text) RETURNS bit LANGUAGE sql IMMUTABLE AS
	$$SELECT ('x' || (SELECT string_agg(md5(seed || i), '' ORDER BY i) FROM generate_series(1, 500) i))::bit(64000)$$;
CREATE TABLE t (id int, val bit(64000));
INSERT INTO t SELECT i, noise('group ' || i % 4) # (noise('a' || i) & noise('b' || i)) FROM generate_series(1, 60) i;
SET max_parallel_maintenance_workers = 0;
CREATE INDEX idx ON t USING ivfflat (val bit_hamming_ops) WITH (lists = 8);
INSERT INTO t SELECT i, noise('group ' || i % 4) # (noise('a' || i) & noise('b' || i)) FROM generate_series(61, 80) i;
SELECT * FROM ann_check('idx');
SET enable_seqscan = off;
SET ivfflat.probes = 4;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <~> noise('group 2') LIMIT 20) s WHERE id % 4 = 2;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <~> noise('group 2')) s;
DROP TABLE t;
DROP FUNCTION noise;
