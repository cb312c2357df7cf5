--
-- The types and their array types, and how columns of them are described.
--
\ir begin.psql
SELECT no_plan();

-- typinput and its like are named after the type, and not repeated here
WITH expected (type, attributes) AS (VALUES
	('vector',    'base U len -1 align i storage e delim , array vector[]'),
	('halfvec',   'base U len -1 align i storage e delim , array halfvec[]'),
	('sparsevec', 'base U len -1 align i storage e delim , array sparsevec[]')
),
actual AS (
	SELECT typname::text AS type,
		concat_ws(' ',
			CASE typtype WHEN 'b' THEN 'base' ELSE typtype::text END,
			typcategory, 'len', typlen, 'align', typalign,
			'storage', typstorage, 'delim', typdelim,
			'array', typarray::regtype,
			CASE WHEN typispreferred THEN 'preferred' END,
			CASE WHEN NOT typisdefined THEN 'shell' END,
			CASE WHEN typbyval THEN 'by value' END,
			CASE WHEN typelem <> 0 THEN 'has elements' END,
			CASE WHEN typsubscript <> 0 THEN 'has subscripts' END,
			CASE WHEN typcollation <> 0 THEN 'has collation' END,
			CASE WHEN typanalyze <> 0 THEN 'has analyze function' END) AS attributes
	FROM pg_type JOIN member ON classid = 'pg_type'::regclass AND objid = oid
	-- from PostgreSQL 17 on, arrays and the rows of views are members, too
	WHERE typcategory NOT IN ('A', 'C')
)
SELECT is(a.attributes, e.attributes, format('type %s', type))
FROM expected e FULL JOIN actual a USING (type)
ORDER BY type;

WITH expected (type, functions) AS (VALUES
	('vector',    'vector_in vector_out vector_recv vector_send vector_typmod_in -'),
	('halfvec',   'halfvec_in halfvec_out halfvec_recv halfvec_send halfvec_typmod_in -'),
	('sparsevec', 'sparsevec_in sparsevec_out sparsevec_recv sparsevec_send sparsevec_typmod_in -')
)
SELECT is(concat_ws(' ', typinput, typoutput, typreceive, typsend, typmodin, typmodout),
		  functions, format('functions of type %s', type))
FROM expected LEFT JOIN pg_type ON oid = to_regtype(type)
ORDER BY type;

-- Drivers look array types up by their pg_type name
WITH expected (array_type, element) AS (VALUES
	('_vector',    'vector'),
	('_halfvec',   'halfvec'),
	('_sparsevec', 'sparsevec')
)
SELECT is(concat_ws(' ', typelem::regtype, typtype, typcategory, typlen, typalign,
					typstorage, typdelim, typmodin, typmodout),
		  format('%s b A -1 i x , %s_typmod_in -', element, element),
		  format('array type %s', array_type))
FROM expected LEFT JOIN pg_type ON oid = to_regtype(array_type)
ORDER BY array_type;

-- Drivers look types up by bare name: two rows would be an error to some
SELECT is(count(*)::int, 1, format('one type is named %s', name))
FROM (VALUES ('vector'), ('halfvec'), ('sparsevec')) v (name)
	LEFT JOIN pg_type ON typname = name
GROUP BY name
ORDER BY name;

-- The type modifier is the number of dimensions, and nothing else
CREATE TABLE described (
	v vector, v3 vector(3), upper3 VECTOR(3), v3s vector(3)[],
	h halfvec, h3 halfvec(3), h3s halfvec(3)[],
	s sparsevec, s3 sparsevec(3), s3s sparsevec(3)[],
	vmax vector(16000), hmax halfvec(16000), smax sparsevec(1000000000),
	vector vector(3)
);

WITH expected (attname, description) AS (VALUES
	('v',      '-1 vector USER-DEFINED vector'),
	('v3',     '3 vector(3) USER-DEFINED vector'),
	('upper3', '3 vector(3) USER-DEFINED vector'),
	('v3s',    '3 vector(3)[] ARRAY _vector'),
	('h',      '-1 halfvec USER-DEFINED halfvec'),
	('h3',     '3 halfvec(3) USER-DEFINED halfvec'),
	('h3s',    '3 halfvec(3)[] ARRAY _halfvec'),
	('s',      '-1 sparsevec USER-DEFINED sparsevec'),
	('s3',     '3 sparsevec(3) USER-DEFINED sparsevec'),
	('s3s',    '3 sparsevec(3)[] ARRAY _sparsevec'),
	('vmax',   '16000 vector(16000) USER-DEFINED vector'),
	('hmax',   '16000 halfvec(16000) USER-DEFINED halfvec'),
	('smax',   '1000000000 sparsevec(1000000000) USER-DEFINED sparsevec'),
	('vector', '3 vector(3) USER-DEFINED vector')
)
SELECT is(concat_ws(' ', atttypmod, format_type(atttypid, atttypmod), data_type, udt_name),
		  description, format('column %s', e.attname))
FROM expected e
	LEFT JOIN pg_attribute a ON attrelid = 'described'::regclass AND a.attname = e.attname
	LEFT JOIN information_schema.columns c ON table_name = 'described' AND column_name = e.attname;

-- Bounds of the type modifier
SELECT throws_ok(format('SELECT NULL::%s', type), state, message, type)
FROM (VALUES
	('vector(0)',             '22023', 'dimensions for type vector must be at least 1'),
	('vector(16001)',         '22023', 'dimensions for type vector cannot exceed 16000'),
	('vector(3,2)',           '22023', 'invalid type modifier'),
	('halfvec(0)',            '22023', 'dimensions for type halfvec must be at least 1'),
	('halfvec(16001)',        '22023', 'dimensions for type halfvec cannot exceed 16000'),
	('halfvec(3,2)',          '22023', 'invalid type modifier'),
	('sparsevec(0)',          '22023', 'dimensions for type sparsevec must be at least 1'),
	('sparsevec(1000000001)', '22023', 'dimensions for type sparsevec cannot exceed 1000000000'),
	('sparsevec(3,2)',        '22023', 'invalid type modifier')
) v (type, state, message);

SELECT lives_ok('ALTER TABLE described ALTER v3 SET STORAGE PLAIN', 'storage can be set to plain');

SELECT * FROM finish();
ROLLBACK;
