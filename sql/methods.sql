--
-- Each method with each way it has of keeping values, in the life of an index:
-- built, written to, vacuumed, written to again, searched.  It is small, for
-- test/valgrind.sh runs it as well.
--
CREATE TABLE kinds (name text, method text, type text, class text, operator text, options text);
INSERT INTO kinds VALUES
	('h1', 'hnsw', 'vector(64)', 'vector_l2_ops', '<->', 'm = 4'),
	('h2', 'hnsw', 'halfvec(64)', 'halfvec_cosine_ops', '<=>', 'm = 4, layout = compact'),
	('h3', 'hnsw', 'vector(64)', 'vector_ip_ops', '<#>', 'm = 4, rerank = index'),
	('h4', 'hnsw', 'vector(64)', 'vector_l1_ops', '<+>', 'm = 4'),
	('h5', 'hnsw', 'sparsevec(64)', 'sparsevec_l2_ops', '<->', 'm = 4'),
	('h6', 'hnsw', 'bit(64)', 'bit_jaccard_ops', '<%>', 'm = 4'),
	('i1', 'ivfflat', 'vector(64)', 'vector_l2_ops', '<->', 'lists = 4, quantizer = rabitq'),
	('i2', 'ivfflat', 'vector(64)', 'vector_ip_ops', '<#>', 'lists = 4, quantizer = rabitq, rerank = index'),
	('i3', 'ivfflat', 'halfvec(64)', 'halfvec_cosine_ops', '<=>', 'lists = 4, quantizer = sq8'),
	('i4', 'ivfflat', 'vector(64)', 'vector_l2_ops', '<->', 'lists = 4, quantizer = none'),
	('i5', 'ivfflat', 'bit(64)', 'bit_hamming_ops', '<~>', 'lists = 4'),
	('l1', 'lsh', 'vector(64)', 'vector_l2_ops', '<->', 'tables = 2'),
	('l2', 'lsh', 'halfvec(64)', 'halfvec_cosine_ops', '<=>', 'tables = 2'),
	('l3', 'lsh', 'vector(64)', 'vector_ip_ops', '<#>', 'tables = 2'),
	('l4', 'lsh', 'bit(64)', 'bit_jaccard_ops', '<%>', 'tables = 2');

CREATE TABLE data AS
	SELECT i, array_agg(hashint4(i * 64 + j) / 2.0 ^ 31)::vector(64) AS v
	FROM generate_series(1, 400) i, generate_series(1, 64) j GROUP BY i ORDER BY i;
CREATE FUNCTION value_of(kind kinds, v text) RETURNS text LANGUAGE sql RETURN
	CASE WHEN kind.type LIKE 'bit%' THEN format('binary_quantize(%s)::%s', v, kind.type) ELSE format('%s::%s', v, kind.type) END;

SET enable_seqscan = off;
SET maintenance_work_mem = '16MB';
SET ann.seed = 1;
-- what is executed is as above
\set ECHO none
\pset format unaligned
\t on
SELECT format('CREATE TABLE %I (i int, v %s)', name, type) FROM kinds ORDER BY name \gexec
SELECT format('INSERT INTO %I SELECT i, %s FROM data WHERE i <= 200', name, value_of(kinds, 'v')) FROM kinds ORDER BY name \gexec
SELECT format('CREATE INDEX %I ON %I USING %I (v %I) WITH (%s)', name || '_v', name, method, class, options) FROM kinds ORDER BY name \gexec
SELECT format('INSERT INTO %I SELECT i, %s FROM data WHERE i BETWEEN 201 AND 300', name, value_of(kinds, 'v')) FROM kinds ORDER BY name \gexec
SELECT format('DELETE FROM %I WHERE i %% 3 = 0', name) FROM kinds ORDER BY name \gexec
SELECT format('VACUUM %I', name) FROM kinds ORDER BY name \gexec
SELECT format('INSERT INTO %I SELECT i, %s FROM data WHERE i > 300', name, value_of(kinds, 'v')) FROM kinds ORDER BY name \gexec

\echo All rows, and the nearest:
SELECT format('SELECT %L, count(*), min(i) FILTER (WHERE n = 1) FROM (SELECT i, row_number() OVER () AS n FROM
	(SELECT i FROM %I ORDER BY v %s (SELECT %s FROM data WHERE i = 350)) s) s', name, name, operator, value_of(kinds, 'v'))
	FROM kinds ORDER BY name \gexec
\echo Damage:
SELECT format('SELECT %L, c.* FROM ann_check(%L, heapallindexed => true) c', name, name || '_v') FROM kinds ORDER BY name \gexec
SELECT format('DROP TABLE %I', name) FROM kinds ORDER BY name \gexec
\t off
\pset format aligned
\set ECHO all
DROP FUNCTION value_of;
DROP TABLE kinds, data;
