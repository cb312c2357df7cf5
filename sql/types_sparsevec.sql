--
-- The type sparsevec: text, binary output, functions, operators, errors
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set errors :abs_srcdir '/sql/errors.psql'
\i :errors

-- The catalog entry a driver sees
SELECT typtype, typcategory, typelem, typlen, typalign, typstorage, typdelim, typmodout, typanalyze
FROM pg_type WHERE typname = 'sparsevec';

-- Text input: blanks anywhere, any order, zeros dropped
SELECT '{1:1.5,3:2}/5'::sparsevec, '{}/5'::sparsevec, E' { 1 : 1.5 ,\t+3 :-2e1 } / 5\n'::sparsevec, '{ }/1'::sparsevec;
SELECT '{3:2,1:1.5}/5'::sparsevec, '{1:0,2:-0,3:1}/3'::sparsevec, '{0:0,7:0}/3'::sparsevec, '{1:1,1:0}/2'::sparsevec;
SELECT '{1000000000:1}/1000000000'::sparsevec, '{1:3.4028235e38,2:1e-45,3:0x10}/3'::sparsevec, '{01:1}/01'::sparsevec;
SELECT NULL::sparsevec, '{1:1}/1'::text::sparsevec;

-- Errors of text input
SELECT input, pg_temp.error(format('SELECT %L::sparsevec', input)) FROM unnest(ARRAY[
	'', '{', '{}', '{}/', '{}/x', '{}/1x', '{}/1/', '{} 1', '{1:1}', '{1:1', '{1:1/2', '{1:1,', '{1:1,}/1', '{,1:1}/1',
	'{1}/1', '{1:}/1', '{:1}/1', '{1:x}/1', '{x:1}/1', '{1.0:1}/1', '{1e1:1}/9', '{1 1:1}/9', '{1:1 2:2}/2', '{-:1}/1', '[1,2]', '1:1/1',
	'{1:NaN}/1', '{1:Infinity}/1', '{1:-Infinity}/1', '{1:4e38}/1', '{1:-4e38}/1', '{1:1e-46}/1', '{1: -1e-46 }/1',
	'{0:1}/1', '{2:1}/1', '{-1:1}/1', '{2147483648:1}/1', '{-9223372036854775809:1}/1', '{99999999999999999999:1}/1', '{1:1,1:2}/2',
	'{}/0', '{}/-1', '{}/1000000001', '{}/2147483648', '{}/-2147483649', '{}/99999999999999999999'
]) input;
SELECT n, pg_temp.error(format('SELECT %L::sparsevec', (SELECT '{' || string_agg(i || ':1', ',') || '}/16001' FROM generate_series(1, n) i)))
FROM unnest(ARRAY[16000, 16001]) n;

-- Dimensions and type modifier
SELECT vector_dims('{1:1}/7'::sparsevec), vector_dims('{}/1000000000'::sparsevec), '{}/5'::sparsevec(5);
SELECT format_type('sparsevec'::regtype, 3), format_type('sparsevec'::regtype, -1);
SELECT statement, pg_temp.error(statement) FROM unnest(ARRAY[
	$$SELECT '{}/5'::sparsevec(4)$$,
	$$SELECT '{}/5'::sparsevec::sparsevec(4)$$,
	$$SELECT '{}/5'::sparsevec(0)$$,
	$$SELECT '{}/5'::sparsevec(1000000001)$$,
	$$SELECT '{}/5'::sparsevec(5, 5)$$
]) statement;

-- Binary output; input is in types_copy
SELECT sparsevec_send('{1:1,3:2}/5'), sparsevec_send('{}/5'), sparsevec_send(NULL);

-- Distances: exact on small integers, whatever the overlap
SELECT a, b, a <-> b AS l2, sparsevec_l2_squared_distance(a, b) AS l2sq, a <#> b AS negative_ip, inner_product(a, b) AS ip, a <+> b AS l1, a <=> b AS cosine
FROM (VALUES
	('{}/2'::sparsevec, '{1:3,2:4}/2'::sparsevec),
	('{1:3,2:4}/2', '{}/2'),
	('{}/2', '{}/2'),
	('{1:1,2:2}/2', '{1:2,2:4}/2'),
	('{1:1,2:1,3:1}/3', '{1:1,2:1,3:2}/3'),
	('{1:1,2:1}/2', '{1:-1,2:-1}/2'),
	('{1:1,3:2}/5', '{2:3,4:4}/5'),
	('{1:1,3:2,5:3}/5', '{3:4}/5'),
	('{4:4,5:5}/5', '{1:1,2:2}/5'),
	('{1:3e38}/1', '{1:-3e38}/1'),
	('{1:1e-38}/1', '{1:1e-38}/1')
) t(a, b);
SELECT l2_distance('{1:1,2:1,3:1}/3'::sparsevec, '{1:2,2:2,3:2}/3') = sqrt(3), l1_distance('{}/1'::sparsevec, NULL), '{}/1'::sparsevec <=> NULL;
SELECT cosine_distance('{1:1}/2'::sparsevec, '{2:1}/2'), sparsevec_negative_inner_product('{1:2}/1', '{1:3}/1');
SELECT f, pg_temp.error(format($$SELECT %s('{}/2'::sparsevec, '{}/3')$$, f)) FROM unnest(ARRAY[
	'l2_distance', 'inner_product', 'cosine_distance', 'l1_distance', 'sparsevec_l2_squared_distance', 'sparsevec_negative_inner_product'
]) f;

-- Norms; elements that vanish are dropped
SELECT l2_norm('{1:3,2:4}/2'::sparsevec), l2_norm('{}/2'::sparsevec), l2_norm('{9:3e38}/9'::sparsevec) = '3e38'::real;
SELECT l2_normalize('{1:3,2:4}/9'::sparsevec), l2_normalize('{}/2'::sparsevec), l2_normalize('{1:3e38,2:1e-45}/2'::sparsevec), l2_normalize('{1:1e-45}/1'::sparsevec);

-- Values stored with a short header, with a long one, and toasted
CREATE TEMP TABLE stored (id int, v sparsevec);
INSERT INTO stored VALUES (1, '{1:1,2:2}/3'), (2, array_fill(2, ARRAY[100])), (3, array_fill(3, ARRAY[16000])), (4, NULL);
SELECT id, vector_dims(v), pg_column_size(v), v <-> v, inner_product(v, v), v = v FROM stored ORDER BY id;
