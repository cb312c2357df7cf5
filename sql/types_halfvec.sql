--
-- The type halfvec: text, binary output, functions, operators, errors
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set errors :abs_srcdir '/sql/errors.psql'
\i :errors

-- The catalog entry a driver sees
SELECT typtype, typcategory, typelem, typlen, typalign, typstorage, typdelim, typmodout, typanalyze
FROM pg_type WHERE typname = 'halfvec';

-- Text input: blanks anywhere, every form of number; rounded by way of a float
SELECT '[1,2,3]'::halfvec, ' [ 1 , 2e1 ,	-.5 ] '::halfvec, E'\n[\r1\f,\x0b2\n]'::halfvec;
SELECT '[+1,1.,.5,-0,0x10,1E2,1e-2,00012]'::halfvec, NULL::halfvec, '[1]'::text::halfvec;
SELECT '[65504,-65504,65519,1e-7,6e-8,5.9604645e-08,2e-8,0.1,2047,6.1e-5]'::halfvec;
SELECT '[1.0004883,1.00048828125,1.00048828126,1.00146484375,2049,2051,2051.1]'::halfvec;

-- Errors of text input
SELECT input, pg_temp.error(format('SELECT %L::halfvec', input)) FROM unnest(ARRAY[
	'', ' ', '[', '[]', '[ ]', '[]x', '[1', '[1,', '[1,]', '[,1]', '[1,,2]', '1,2', '{1,2}', '[1,2', '[1 2]',
	'[1]]', '[1]x', '[1],', '[x]', '[1x]', '[-]', '[.]', '[+.]', '[e1]', '[1e]', '[1e+]', '[0x]', '[1_0]', '[--1]', '[1.2.3]',
	'[NaN]', '[nan]', '[Infinity]', '[-inf]', '[NaN,x]', '[1e400]', '[ -1e400 ,x]', '[4e38]', '[65519.99]', '[65520]', '[-65520]'
]) input;

-- Dimensions and type modifier
SELECT vector_dims('[1,2,3]'::halfvec), vector_dims(array_fill(1, ARRAY[16000])::halfvec), '[1,2]'::halfvec(2);
SELECT format_type('halfvec'::regtype, 3), format_type('halfvec'::regtype, -1);
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT '[1,2]'::halfvec(3)$$,
	$$SELECT '[1,2]'::halfvec::halfvec(3)$$,
	$$SELECT '[1]'::halfvec(0)$$,
	$$SELECT '[1]'::halfvec(-1)$$,
	$$SELECT '[1]'::halfvec(16001)$$,
	$$SELECT '[1]'::halfvec(1, 1)$$,
	$$SELECT '[1]'::halfvec('a')$$
]) statement;
SELECT n, pg_temp.error(format('SELECT %L::halfvec', '[' || repeat('1,', n) || '1]')) FROM unnest(ARRAY[15999, 16000]) n;

-- Binary output; input is in types_copy
SELECT halfvec_send('[1,-2,0.5]'), halfvec_send('[-0]'), halfvec_send(NULL);

-- Distances: exact on small integers
SELECT l2_distance('[0,0]'::halfvec, '[3,4]'), '[0,0]'::halfvec <-> '[3,4]', halfvec_l2_squared_distance('[0,0]', '[3,4]');
SELECT l2_distance('[1,1,1]'::halfvec, '[2,2,2]') = sqrt(3), l2_distance('[3]'::halfvec, '[-2]');
SELECT inner_product('[1,2]'::halfvec, '[3,4]'), '[1,2]'::halfvec <#> '[3,4]', halfvec_negative_inner_product('[1]', '[0]');
SELECT cosine_distance('[1,2]'::halfvec, '[2,4]'), '[1,2]'::halfvec <=> '[0,0]', '[1,1]'::halfvec <=> '[1,-1]', '[1,0]'::halfvec <=> '[-2,0]';
SELECT '[1,1,1]'::halfvec <=> '[1,1,2]', '[0,0]'::halfvec <=> '[0,0]', '[1,1,1]'::halfvec <=> '[3,3,3]';
SELECT l1_distance('[0,0]'::halfvec, '[3,4]'), '[0,0]'::halfvec <+> '[3,-4]';
SELECT halfvec_spherical_distance('[1,0]', '[0,1]'), halfvec_spherical_distance('[1,0]', '[-1,0]'), halfvec_spherical_distance('[3,0]', '[3,0]');
SELECT '[65504,65504]'::halfvec <-> '[-65504,-65504]', '[65504]'::halfvec <#> '[65504]', '[6e-8]'::halfvec <=> '[6e-8]';
SELECT l2_distance(NULL::halfvec, '[1]'), '[1]'::halfvec <=> NULL, '[1]'::halfvec <#> NULL::halfvec, NULL <+> '[1]'::halfvec;
SELECT f, pg_temp.error(format($$SELECT %s('[1,2]'::halfvec, '[3]')$$, f)) FROM unnest(ARRAY[
	'l2_distance', 'inner_product', 'cosine_distance', 'l1_distance', 'halfvec_l2_squared_distance',
	'halfvec_negative_inner_product', 'halfvec_spherical_distance', 'halfvec_add', 'halfvec_sub', 'halfvec_mul'
]) f;

-- The same at every length around the width of a SIMD register
SELECT n, a <-> b = sqrt(n), a <#> b, a <+> b, a <=> a
FROM (
	SELECT n, array_fill(1, ARRAY[n])::halfvec, array_fill(2, ARRAY[n])::halfvec
	FROM unnest(ARRAY[1, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 1000]) n
) t(n, a, b);

-- Norms
SELECT l2_norm('[3,4]'::halfvec), l2_norm('[0,0]'::halfvec), l2_norm('[65504,0]'::halfvec) = '65504'::real;
SELECT l2_normalize('[3,4]'::halfvec), l2_normalize('[0,0]'::halfvec), l2_normalize('[6e-8,65504]'::halfvec), l2_normalize('[6e-8]'::halfvec);

-- Arithmetic
SELECT '[1,2]'::halfvec + '[3,4]', '[1,2]'::halfvec - '[3,4]', '[1,2]'::halfvec * '[3,4]', '[1,2]'::halfvec || '[3]', '[0,1]'::halfvec * '[1,0]', '[1]'::halfvec + NULL;
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT '[65504]'::halfvec + '[65504]'$$,
	$$SELECT '[-65504]'::halfvec - '[65504]'$$,
	$$SELECT '[65504]'::halfvec * '[-2]'$$,
	$$SELECT '[6e-8]'::halfvec * '[0.1]'$$,
	$$SELECT a || a FROM (SELECT array_fill(1, ARRAY[8000])::halfvec AS a) t$$,
	$$SELECT a || a FROM (SELECT array_fill(1, ARRAY[8001])::halfvec AS a) t$$
]) statement;

-- Parts and quantization
SELECT subvector('[1,2,3,4,5]'::halfvec, 1, 3), subvector('[1,2,3,4,5]'::halfvec, 3, 9), subvector('[1,2,3,4,5]'::halfvec, -1, 3),
	subvector('[1,2,3,4,5]'::halfvec, 5, 1), subvector('[1,2,3,4,5]'::halfvec, 3, 2147483647),
	subvector('[1,2,3,4,5]'::halfvec, -2147483640, 2147483647);
SELECT args, pg_temp.error(format($$SELECT subvector('[1,2,3,4,5]'::halfvec, %s)$$, args)) FROM unnest(ARRAY[
	'1, 0', '3, -1', '-1, 2', '6, 1', '2147483647, 10', '-2147483648, 1', '1, -2147483648'
]) args;
SELECT binary_quantize('[1,0,-1]'::halfvec), binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::halfvec),
	length(binary_quantize(array_fill(1, ARRAY[1001])::halfvec));

-- Values stored with a short header, with a long one, and toasted
CREATE TEMP TABLE stored (id int, v halfvec);
INSERT INTO stored VALUES (1, '[1,2,3]'), (2, array_fill(2, ARRAY[100])), (3, array_fill(3, ARRAY[16000])), (4, NULL);
SELECT id, vector_dims(v), pg_column_size(v), v <-> v, v <+> (v + v), v = v FROM stored ORDER BY id;
