--
-- Casts between the vector types, and from and to arrays
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set errors :abs_srcdir '/sql/errors.psql'
\i :errors

-- Every cast, with its context
SELECT castsource::regtype, casttarget::regtype, castcontext
FROM pg_cast
WHERE 'vector'::regtype IN (castsource, casttarget)
	OR 'halfvec'::regtype IN (castsource, casttarget)
	OR 'sparsevec'::regtype IN (castsource, casttarget)
ORDER BY casttarget::regtype::text COLLATE "C", castsource::regtype::text COLLATE "C";

-- From arrays of every type of number
SELECT '{1,-2,0}'::smallint[]::vector, '{1,-2,0}'::integer[]::vector, '{1,-2,0}'::bigint[]::vector,
	'{1.5,-2,0}'::real[]::vector, '{1.5,-2,0}'::double precision[]::vector, '{1.5,-2,0}'::numeric[]::vector;
SELECT '{1,-2,0}'::smallint[]::halfvec, '{1,-2,0}'::integer[]::halfvec, '{1,-2,0}'::bigint[]::halfvec,
	'{1.5,-2,0}'::real[]::halfvec, '{1.5,-2,0}'::double precision[]::halfvec, '{1.5,-2,0}'::numeric[]::halfvec;
SELECT '{1,-2,0}'::smallint[]::sparsevec, '{1,-2,0}'::integer[]::sparsevec, '{1,-2,0}'::bigint[]::sparsevec,
	'{1.5,-2,0}'::real[]::sparsevec, '{1.5,-2,0}'::double precision[]::sparsevec, '{1.5,-2,0}'::numeric[]::sparsevec;
SELECT '{16777217,9007199254740993,-9223372036854775808}'::bigint[]::vector, '{2147483647}'::int[]::vector, '{0.1,1e-40,1e-50}'::double precision[]::vector;
SELECT '[0:2]={1,2,3}'::int[]::vector, (ARRAY[NULL, 1, 2])[2:3]::int[]::vector;

-- In assignments the cast comes by itself
CREATE TEMP TABLE assigned (v vector(3), h halfvec(3), s sparsevec(3));
INSERT INTO assigned VALUES (ARRAY[1, 2, 3], ARRAY[1, 2, 3], ARRAY[1, 2, 3]);
INSERT INTO assigned VALUES (ARRAY[0.1, 0.2, 0.3], ARRAY[0.1, 0.2, 0.3], ARRAY[0.1, 0.2, 0.3]);
INSERT INTO assigned VALUES ('{1,2,3}'::smallint[], '{1,2,3}'::smallint[], '{1,2,3}'::smallint[]);
INSERT INTO assigned VALUES ('{1,2,3}'::bigint[], '{1,2,3}'::bigint[], '{1,2,3}'::bigint[]);
INSERT INTO assigned SELECT h, v, h FROM assigned LIMIT 1;
INSERT INTO assigned SELECT s, s, v FROM assigned LIMIT 1;
SELECT * FROM assigned;

-- Errors
SELECT t, a, pg_temp.error(format('SELECT %s::%s', a, t))
FROM unnest(ARRAY['vector', 'halfvec', 'sparsevec']) t, unnest(ARRAY[
	$$'{}'::int[]$$, $$'{}'::numeric[]$$, $$'{{1,2},{3,4}}'::int[]$$, $$'{1,NULL}'::int[]$$, $$'{NULL}'::numeric[]$$,
	$$'{NaN}'::real[]$$, $$'{NaN}'::numeric[]$$, $$'{Infinity}'::real[]$$, $$'{1e300}'::double precision[]$$,
	$$'{1e40}'::numeric[]$$, $$'{-Infinity}'::double precision[]$$,
	$$'{65519}'::int[]$$, $$'{65520}'::int[]$$, $$'{-1e6}'::real[]$$, $$'{1e-50}'::numeric[]$$, $$'{t}'::bool[]$$
]) a;
SELECT t, a, pg_temp.error(format($$SELECT '{1,2,3}'::%s[]::%s(2)$$, a, t))
FROM unnest(ARRAY['vector', 'halfvec', 'sparsevec']) t, unnest(ARRAY['int', 'numeric']) a;
SELECT t, n, pg_temp.error(format('SELECT array_fill(1, ARRAY[%s])::%s', n, t))
FROM unnest(ARRAY['vector', 'halfvec', 'sparsevec']) t, unnest(ARRAY[16000, 16001]) n;
SELECT array_fill(0, ARRAY[100000])::sparsevec;

-- To real[]
SELECT '[1.5,2,3]'::vector::real[], '[1.5,2,3]'::halfvec::real[], array_dims('[1,2]'::vector::real[]);
SELECT '[1,2]'::vector::real[]::vector, array_append('[1,2]'::vector::real[], 3), array_cat('[1,2]'::vector::real[], NULL);

-- Between the types
SELECT '[1,0,0.1]'::vector::halfvec, '[1,0,0.1]'::vector::sparsevec, '[1,0,0.1]'::halfvec::vector, '[1,0,0.1]'::halfvec::sparsevec;
SELECT '{1:1,3:0.1}/4'::sparsevec::vector, '{1:1,3:0.1}/4'::sparsevec::halfvec, '{}/2'::sparsevec::vector, '[0,-0]'::vector::sparsevec;
SELECT '[1e-8]'::vector::halfvec, '{1:1e-8}/1'::sparsevec::halfvec, '[6e-8]'::halfvec::sparsevec, NULL::vector::halfvec;
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT '[65520]'::vector::halfvec$$,
	$$SELECT '[-1e38]'::vector::halfvec$$,
	$$SELECT '{2:1e5}/2'::sparsevec::halfvec$$,
	$$SELECT '{1:1}/16001'::sparsevec::vector$$,
	$$SELECT '{1:1}/16001'::sparsevec::halfvec$$,
	$$SELECT '{1:1}/1000000000'::sparsevec::vector$$,
	$$SELECT '[1,2]'::vector::halfvec(3)$$,
	$$SELECT '[1,2]'::vector::sparsevec(3)$$,
	$$SELECT '[1,2]'::halfvec::vector(3)$$,
	$$SELECT '[1,2]'::halfvec::sparsevec(3)$$,
	$$SELECT '{}/2'::sparsevec::vector(3)$$,
	$$SELECT '{}/2'::sparsevec::halfvec(3)$$
]) statement;

-- Literals, and arguments of other types, resolve as they do in pgvector
SELECT '[1,2]'::vector <-> '[3,4]', '[1,2]'::halfvec <-> '[3,4]'::vector, '{1:1}/2'::sparsevec <-> '[3,4]'::vector;
SELECT vector_norm('[3,4]'), vector_norm('[3,4]'::vector);
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT cosine_distance('[1]', '[1]')$$,
	$$SELECT vector_dims('[1]')$$,
	$$SELECT l2_norm('[1]')$$,
	$$SELECT ARRAY[1,2] <-> '[1,2]'::vector$$
]) statement;
