--
-- The quantizers of ivfflat: the same answers by codes of any kind, and fewer rows
-- to read from the table where codes are finer.
--
SET enable_seqscan = off;
SET jit = off;
-- Exhaustive effort: what is missed, codes have missed
SET ivfflat.probes = 1000;

CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 100 + j) / 2147483648.0 + i % 5 FROM generate_series(1, 100) j)::vector(100)$$;
CREATE TABLE t (id int, v vector(100), h halfvec(100)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT i, x, x FROM generate_series(1, 2000) i, vec(i) x;
CREATE TABLE queries AS SELECT i AS id, vec(i) AS v, vec(i)::halfvec(100) AS h FROM generate_series(-1, -20, -1) i;

-- Of the 200 nearest rows, those an index finds, and how many values a search reads
CREATE FUNCTION search(quantizer text, col text, class text, operator text, OUT hits int, OUT reads float8)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE INDEX idx ON t USING ivfflat (%I %I) WITH (lists = 20, quantizer = %I)', col, class, quantizer);
	EXECUTE format('SELECT sum(cardinality(ARRAY(SELECT unnest(i.ids) INTERSECT SELECT unnest(e.ids)))) FROM queries q,
		LATERAL (SELECT ARRAY(SELECT id FROM t ORDER BY %1$I %2$s q.%1$I LIMIT 10) AS ids) i,
		LATERAL (SELECT ARRAY(SELECT id FROM t ORDER BY (%1$I %2$s q.%1$I) + 0 LIMIT 10) AS ids) e', col, operator) INTO hits;
	reads := (SELECT reranked / 20.0 FROM ann_last_scan());
	PERFORM FROM ann_check('idx');
	ASSERT NOT found, 'the index is sound';
	DROP INDEX idx;
END $$;
SELECT quantizer, class, hits >= 198 AS hits,
	CASE quantizer WHEN 'none' THEN reads = 0 WHEN 'sq8' THEN reads BETWEEN 10 AND 20 ELSE reads > 20 END AS reads
FROM (VALUES ('v', 'vector_l2_ops', '<->'), ('v', 'vector_cosine_ops', '<=>'), ('h', 'halfvec_ip_ops', '<#>')) o (col, class, operator),
	(VALUES ('none'), ('rabitq'), ('sq8')) q (quantizer), search(quantizer, col, class, operator);

-- Lists are split, merged and renewed in the same way
CREATE INDEX idx ON t USING ivfflat (v vector_l2_ops) WITH (quantizer = sq8, rerank = index);
SELECT name, value FROM ann_index_info('idx') WHERE name IN ('quantizer', 'bits');
INSERT INTO t SELECT i, x, x FROM generate_series(2001, 4000) i, vec(i) x;
SELECT value::int > 25 AS lists FROM ann_index_info('idx') WHERE name = 'lists';
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT FROM t ORDER BY v <-> vec(0)) s;
SELECT count(*) FROM generate_series(1, 4000, 250) i, LATERAL (SELECT id FROM t ORDER BY v <-> vec(i) LIMIT 1) s WHERE id = i;
DELETE FROM t WHERE id % 50 <> 0;
VACUUM t;
SELECT value::int < 15 AS lists FROM ann_index_info('idx') WHERE name = 'lists';
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT FROM t ORDER BY v <-> vec(0)) s;
SELECT count(*) FROM generate_series(50, 4000, 250) i, LATERAL (SELECT id FROM t ORDER BY v <-> vec(i) LIMIT 1) s WHERE id = i;

DROP TABLE t, queries;
DROP FUNCTION search, vec;
