--
-- Distances on bit
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set errors :abs_srcdir '/sql/errors.psql'
\i :errors

SELECT hamming_distance('111', '111'), hamming_distance('111', '110'), hamming_distance('111', '000'), B'1010' <~> B'0101', hamming_distance('', '');
SELECT jaccard_distance('1111', '1111'), jaccard_distance('1111', '1110'), jaccard_distance('1111', '0000'), B'1100' <%> B'1000', B'101' <%> B'111';
SELECT jaccard_distance('0000', '0000'), jaccard_distance('', ''), hamming_distance(NULL, '1'), B'1' <%> NULL;
SELECT f, pg_temp.error(format($$SELECT %s('111', '00')$$, f)) FROM unnest(ARRAY['hamming_distance', 'jaccard_distance']) f;

-- Lengths around a byte, a word and a SIMD register; the last is toasted
CREATE TEMP TABLE stored AS
SELECT n, repeat('1', n)::varbit::bit(40000) AS a, left('0' || repeat('10', n), n)::varbit::bit(40000) AS b
FROM unnest(ARRAY[1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 511, 513, 1100, 40000]) n;
SELECT n, a <~> b, a <~> a, a <%> b, a <%> a FROM stored ORDER BY n;
SELECT n, substring(a FOR n) <~> substring(b FOR n), substring(a FOR n) <%> substring(b FOR n) FROM stored ORDER BY n;

-- bit varying comes in without a cast
SELECT '101'::varbit <~> '100'::varbit, binary_quantize('[1,-1,1]'::vector) <~> binary_quantize('[1,1,1]'::halfvec);
