--
-- What a scan remembers is bounded by work_mem, however many rows it returns;
-- and it returns each once.
--
SET enable_seqscan = off;
SET enable_sort = off;
SET jit = off;
SET work_mem = '64kB';

CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 64 + j) / 2147483648.0 FROM generate_series(1, 64) j)::vector(64)$$;
CREATE TABLE t (id int, val vector(64));
INSERT INTO t SELECT i, vec(i % 19000) FROM generate_series(1, 20000) i;

-- The most that a scan had of memory after so many rows at a time, and what it
-- returned: rows, different ones, and whether they were near to ordered
CREATE FUNCTION scan(query vector) RETURNS TABLE (little_memory bool, rows int, distinct_rows int, ordered bool)
LANGUAGE plpgsql AS $$
DECLARE
	c refcursor;
	seen int[] := '{}';
	bytes bigint := 0;
	disorder int := 0;
	last float8 := 0;
	r record;
BEGIN
	OPEN c FOR SELECT id, coalesce(val <-> (SELECT query), 0) AS d FROM t ORDER BY val <-> (SELECT query);
	LOOP
		FETCH c INTO r;
		EXIT WHEN NOT FOUND;
		seen := seen || r.id;
		disorder := disorder + (r.d < last)::int;
		last := r.d;
		IF cardinality(seen) % 1000 = 0 THEN
			bytes := greatest(bytes, (SELECT total_bytes FROM pg_backend_memory_contexts WHERE name = 'ann scan'));
		END IF;
	END LOOP;
	RETURN QUERY SELECT bytes < 600000, cardinality(seen), (SELECT count(DISTINCT i)::int FROM unnest(seen) i), disorder < 100;
END $$;

CREATE INDEX idx ON t USING hnsw (val vector_l2_ops) WITH (m = 4, ef_construction = 8);
SELECT * FROM scan(vec(0));
SET hnsw.ef_search = 1000;
SET hnsw.max_scan_tuples = 1000000;
SET hnsw.iterative_scan = relaxed_order;
SELECT * FROM scan(vec(0));
DROP INDEX idx;
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (lists = 20, quantizer = rabitq);
SELECT * FROM scan(vec(0));
SET ivfflat.probes = 20;
SELECT * FROM scan(vec(0));
DROP INDEX idx;
CREATE INDEX idx ON t USING lsh (val vector_l2_ops);
SELECT * FROM scan(vec(0));
-- all rows are equally far from nothing
SELECT * FROM scan(NULL);
DROP TABLE t;
DROP FUNCTION scan, vec;
