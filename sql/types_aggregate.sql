--
-- avg() and sum()
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set errors :abs_srcdir '/sql/errors.psql'
\i :errors

SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v;
SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM unnest(ARRAY['[1,2,3]'::vector, NULL, '[3,5,7]']) v;
SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v), sum(v), avg(v::halfvec), sum(v::halfvec) FROM unnest(ARRAY[NULL, NULL]::vector[]) v;
SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT avg(v), avg(v::halfvec) FROM unnest(ARRAY['[1]'::vector, '[2]', '[2]']) v;
SELECT g, avg(v), sum(v) FROM (VALUES (1, '[1,2]'::vector), (2, '[1]'), (1, '[3,4]'), (2, '[2]')) t(g, v) GROUP BY g ORDER BY g;

-- As window functions: no state is changed behind the executor's back
SELECT i, avg(v) OVER w, sum(v) OVER w FROM (SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 4) i) t(i, v)
WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
SELECT i, avg(v) OVER (ORDER BY i), avg(v::halfvec) OVER (ORDER BY i) FROM (SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 4) i) t(i, v);

-- In parallel, also where there is nothing to combine
CREATE TABLE agg (v vector(3), h halfvec(3));
INSERT INTO agg SELECT v, v FROM (SELECT ARRAY[i, 2 * i, 1]::vector FROM generate_series(1, 1000) i) t(v);
ALTER TABLE agg SET (parallel_workers = 2);
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v), avg(h) FROM agg;
SELECT avg(v), sum(v), avg(h) FROM agg;
SELECT avg(v), sum(v), avg(h), sum(h) FROM agg WHERE v <-> '[1,2,1]' < 0;
COMMIT;
DROP TABLE agg;

-- Errors
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v$$,
	$$SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v$$,
	$$SELECT avg(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v$$,
	$$SELECT sum(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v$$,
	$$SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v$$,
	$$SELECT sum(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v$$
]) statement;

-- The functions behind them, called directly
SELECT vector_accum('{0}', '[1,2]'), vector_accum('{1,1,2}', '[1,2]'), halfvec_accum('{0}', '[1,2]'), halfvec_accum('{1,1,2}', '[1,2]');
SELECT vector_combine('{0}', '{2,3,4}'), vector_combine('{2,3,4}', '{0}'), vector_combine('{2,3,4}', '{1,1,1}'), halfvec_combine('{2,3,4}', '{1,1,1}');
SELECT vector_avg('{0}'), vector_avg('{2,3,4}'), halfvec_avg('{0}'), halfvec_avg('{2,3,4}');
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT vector_accum('{}', '[1]')$$,
	$$SELECT vector_accum('{1,NULL}', '[1]')$$,
	$$SELECT vector_accum('{{1,2},{3,4}}', '[1]')$$,
	$$SELECT vector_accum('{1,1}', '[1,2]')$$,
	$$SELECT vector_accum('{1,Infinity}', '[1]')$$,
	$$SELECT halfvec_accum('{}', '[1]')$$,
	$$SELECT halfvec_accum('{1,1}', '[1,2]')$$,
	$$SELECT vector_combine('{}', '{0}')$$,
	$$SELECT vector_combine('{0}', '{0}')$$,
	$$SELECT vector_combine('{1,1}', '{1,1,1}')$$,
	$$SELECT vector_combine('{1,1e308}', '{1,1e308}')$$,
	$$SELECT vector_avg('{}')$$,
	$$SELECT vector_avg('{1}')$$,
	$$SELECT vector_avg('{1,NaN}')$$,
	$$SELECT vector_avg('{1,1e300}')$$,
	$$SELECT vector_avg(array_fill(1.0, ARRAY[16002])::float8[])$$,
	$$SELECT halfvec_avg('{1}')$$,
	$$SELECT halfvec_avg('{1,65520}')$$,
	$$SELECT halfvec_avg('{1,1e300}')$$,
	$$SELECT halfvec_avg(array_fill(1.0, ARRAY[16002])::float8[])$$
]) statement;
