--
-- The type vector: text, binary output, functions, operators, errors
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set errors :abs_srcdir '/sql/errors.psql'
\i :errors

-- The catalog entry a driver sees
SELECT typtype, typcategory, typelem, typlen, typalign, typstorage, typdelim, typmodout, typanalyze
FROM pg_type WHERE typname = 'vector';

-- Text input: blanks anywhere, every form of number, correctly rounded
SELECT '[1,2,3]'::vector, ' [ 1 , 2e1 ,	-.5 ] '::vector, E'\n[\r1\f,\x0b2\n]'::vector;
SELECT '[+1,1.,.5,-0,0x10,1E2,1e-2,00012]'::vector, NULL::vector, '[1]'::text::vector;
SELECT '[3.4028235e38,-3.4028235e38,1.17549435e-38,1e-45,1e-46,0.1,123456789,9007199254740993,0.30000001192092896]'::vector;
SELECT '[16777217,16777218.9,16777219,0.1000000014901161193847656250,1e22,1e23,8589973504,8589973505,1.00000017881393421514957253748434595763683319091796875001]'::vector;

-- Errors of text input
SELECT input, pg_temp.error(format('SELECT %L::vector', input)) FROM unnest(ARRAY[
	'', ' ', '[', '[]', '[ ]', '[]x', '[1', '[1,', '[1,]', '[,1]', '[1,,2]', '1,2', '{1,2}', '[1,2', '[1 2]',
	'[1]]', '[1]x', '[1],', '[x]', '[1x]', '[-]', '[.]', '[+.]', '[e1]', '[1e]', '[1e+]', '[0x]', '[1_0]', '[--1]', '[1.2.3]',
	'[NaN]', '[nan]', '[Infinity]', '[-inf]', '[NaN,x]', '[1e400]', '[ -1e400 ,x]', '[4e38]', '[65519.99]', '[65520]', '[-65520]'
]) input;

-- Dimensions and type modifier
SELECT vector_dims('[1,2,3]'::vector), vector_dims(array_fill(1, ARRAY[16000])::vector), '[1,2]'::vector(2);
SELECT format_type('vector'::regtype, 3), format_type('vector'::regtype, -1);
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT '[1,2]'::vector(3)$$,
	$$SELECT '[1,2]'::vector::vector(3)$$,
	$$SELECT '[1]'::vector(0)$$,
	$$SELECT '[1]'::vector(-1)$$,
	$$SELECT '[1]'::vector(16001)$$,
	$$SELECT '[1]'::vector(1, 1)$$,
	$$SELECT '[1]'::vector('a')$$
]) statement;
SELECT n, pg_temp.error(format('SELECT %L::vector', '[' || repeat('1,', n) || '1]')) FROM unnest(ARRAY[15999, 16000]) n;

-- Binary output; input is in types_copy
SELECT vector_send('[1,-2,0.5]'), vector_send('[-0]'), vector_send(NULL);

-- Distances: exact on small integers
SELECT l2_distance('[0,0]'::vector, '[3,4]'), '[0,0]'::vector <-> '[3,4]', vector_l2_squared_distance('[0,0]', '[3,4]');
SELECT l2_distance('[1,1,1]'::vector, '[2,2,2]') = sqrt(3), l2_distance('[3]'::vector, '[-2]');
SELECT inner_product('[1,2]'::vector, '[3,4]'), '[1,2]'::vector <#> '[3,4]', vector_negative_inner_product('[1]', '[0]');
SELECT cosine_distance('[1,2]'::vector, '[2,4]'), '[1,2]'::vector <=> '[0,0]', '[1,1]'::vector <=> '[1,-1]', '[1,0]'::vector <=> '[-2,0]';
SELECT '[1,1,1]'::vector <=> '[1,1,2]', '[0,0]'::vector <=> '[0,0]', '[1,1,1]'::vector <=> '[3,3,3]';
SELECT l1_distance('[0,0]'::vector, '[3,4]'), '[0,0]'::vector <+> '[3,-4]';
SELECT vector_spherical_distance('[1,0]', '[0,1]'), vector_spherical_distance('[1,0]', '[-1,0]'), vector_spherical_distance('[3,0]', '[3,0]');
SELECT '[3e38]'::vector <-> '[-3e38]', '[3e38]'::vector <#> '[3e38]', '[1e-38]'::vector <#> '[1e-38]', '[1e-38]'::vector <=> '[1e-38]';
SELECT l2_distance(NULL::vector, '[1]'), '[1]'::vector <=> NULL, '[1]'::vector <#> NULL::vector, NULL <+> '[1]'::vector;
SELECT f, pg_temp.error(format($$SELECT %s('[1,2]'::vector, '[3]')$$, f)) FROM unnest(ARRAY[
	'l2_distance', 'inner_product', 'cosine_distance', 'l1_distance', 'vector_l2_squared_distance',
	'vector_negative_inner_product', 'vector_spherical_distance', 'vector_add', 'vector_sub', 'vector_mul'
]) f;

-- The same at every length around the width of a SIMD register
SELECT n, a <-> b = sqrt(n), a <#> b, a <+> b, a <=> a
FROM (
	SELECT n, array_fill(1, ARRAY[n])::vector, array_fill(2, ARRAY[n])::vector
	FROM unnest(ARRAY[1, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 1000]) n
) t(n, a, b);

-- Norms
SELECT vector_norm('[3,4]'), vector_norm('[0,1]'), vector_norm('[3e37,4e37]')::real;
SELECT l2_norm('[3,4]'::vector), l2_norm('[0,0]'::vector), l2_norm('[3e38,0]'::vector) = '3e38'::real;
SELECT l2_normalize('[3,4]'::vector), l2_normalize('[0,0]'::vector), l2_normalize('[1e-45,3e38]'::vector), l2_normalize('[1e-45]'::vector);

-- Arithmetic
SELECT '[1,2]'::vector + '[3,4]', '[1,2]'::vector - '[3,4]', '[1,2]'::vector * '[3,4]', '[1,2]'::vector || '[3]', '[0,1]'::vector * '[1,0]', '[1]'::vector + NULL;
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT '[3e38]'::vector + '[3e38]'$$,
	$$SELECT '[-3e38]'::vector - '[3e38]'$$,
	$$SELECT '[3e38]'::vector * '[-2]'$$,
	$$SELECT '[1e-45]'::vector * '[0.1]'$$,
	$$SELECT a || a FROM (SELECT array_fill(1, ARRAY[8000])::vector AS a) t$$,
	$$SELECT a || a FROM (SELECT array_fill(1, ARRAY[8001])::vector AS a) t$$
]) statement;

-- Parts and quantization
SELECT subvector('[1,2,3,4,5]'::vector, 1, 3), subvector('[1,2,3,4,5]'::vector, 3, 9), subvector('[1,2,3,4,5]'::vector, -1, 3),
	subvector('[1,2,3,4,5]'::vector, 5, 1), subvector('[1,2,3,4,5]'::vector, 3, 2147483647),
	subvector('[1,2,3,4,5]'::vector, -2147483640, 2147483647);
SELECT args, pg_temp.error(format($$SELECT subvector('[1,2,3,4,5]'::vector, %s)$$, args)) FROM unnest(ARRAY[
	'1, 0', '3, -1', '-1, 2', '6, 1', '2147483647, 10', '-2147483648, 1', '1, -2147483648'
]) args;
SELECT binary_quantize('[1,0,-1]'::vector), binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector),
	length(binary_quantize(array_fill(1, ARRAY[1001])::vector));

-- Values stored with a short header, with a long one, and toasted
CREATE TEMP TABLE stored (id int, v vector);
INSERT INTO stored VALUES (1, '[1,2,3]'), (2, array_fill(2, ARRAY[100])), (3, array_fill(3, ARRAY[16000])), (4, NULL);
SELECT id, vector_dims(v), pg_column_size(v), v <-> v, v <+> (v + v), v = v FROM stored ORDER BY id;
