--
-- The access methods, their operator classes and the settings of both.
--
-- A new access method is added here: to the table of access methods, with its
-- operator classes and its settings.
--
\ir begin.psql
SELECT no_plan();

CREATE TEMP TABLE expected_method AS
SELECT * FROM (VALUES
	('hnsw', 'hnswhandler'),
	('ivfflat', 'ivfflathandler')
	('lsh', 'lshhandler')
) v (method, handler);

SELECT is(concat_ws(' ', amtype, amhandler), format('i %s', handler), format('access method %s', method))
FROM expected_method LEFT JOIN pg_am ON amname = method;

SELECT is(concat_ws(' ', prorettype::regtype, proargtypes::regtype[], provolatile, proisstrict, proparallel),
		  'index_am_handler [0:0]={internal} v f u', format('handler %s', handler))
FROM expected_method LEFT JOIN pg_proc ON proname = handler;

SELECT is(pg_indexam_has_property(am.oid, property), false, format('%s: %s', method, property))
FROM expected_method LEFT JOIN pg_am am ON amname = method
	CROSS JOIN unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_include']) property
ORDER BY method, property;

-- Vectors compare as a whole in btree; distances order the others, of which
-- ivfflat has a default operator class
CREATE TEMP TABLE expected_class AS
SELECT * FROM (VALUES
	('btree', 'vector_ops',           'vector',    true,  '1 <, 2 <=, 3 =, 4 >=, 5 >'),
	('btree', 'halfvec_ops',          'halfvec',   true,  '1 <, 2 <=, 3 =, 4 >=, 5 >'),
	('btree', 'sparsevec_ops',        'sparsevec', true,  '1 <, 2 <=, 3 =, 4 >=, 5 >'),
	('hnsw',  'vector_l2_ops',        'vector',    false, '1 <-> order by float_ops'),
	('hnsw',  'vector_ip_ops',        'vector',    false, '1 <#> order by float_ops'),
	('hnsw',  'vector_cosine_ops',    'vector',    false, '1 <=> order by float_ops'),
	('hnsw',  'vector_l1_ops',        'vector',    false, '1 <+> order by float_ops'),
	('hnsw',  'halfvec_l2_ops',       'halfvec',   false, '1 <-> order by float_ops'),
	('hnsw',  'halfvec_ip_ops',       'halfvec',   false, '1 <#> order by float_ops'),
	('hnsw',  'halfvec_cosine_ops',   'halfvec',   false, '1 <=> order by float_ops'),
	('hnsw',  'halfvec_l1_ops',       'halfvec',   false, '1 <+> order by float_ops'),
	('hnsw',  'sparsevec_l2_ops',     'sparsevec', false, '1 <-> order by float_ops'),
	('hnsw',  'sparsevec_ip_ops',     'sparsevec', false, '1 <#> order by float_ops'),
	('hnsw',  'sparsevec_cosine_ops', 'sparsevec', false, '1 <=> order by float_ops'),
	('hnsw',  'sparsevec_l1_ops',     'sparsevec', false, '1 <+> order by float_ops'),
	('hnsw',  'bit_hamming_ops',      'bit',       false, '1 <~> order by float_ops'),
	('hnsw',  'bit_jaccard_ops',      'bit',       false, '1 <%> order by float_ops'),
	('ivfflat', 'vector_l2_ops',      'vector',    true,  '1 <-> order by float_ops'),
	('ivfflat', 'vector_ip_ops',      'vector',    false, '1 <#> order by float_ops'),
	('ivfflat', 'vector_cosine_ops',  'vector',    false, '1 <=> order by float_ops'),
	('ivfflat', 'halfvec_l2_ops',     'halfvec',   false, '1 <-> order by float_ops'),
	('ivfflat', 'halfvec_ip_ops',     'halfvec',   false, '1 <#> order by float_ops'),
	('ivfflat', 'halfvec_cosine_ops', 'halfvec',   false, '1 <=> order by float_ops'),
	('ivfflat', 'bit_hamming_ops',    'bit',       false, '1 <~> order by float_ops'),
	('lsh',   'vector_l2_ops',        'vector',    false, '1 <-> order by float_ops'),
	('lsh',   'vector_ip_ops',        'vector',    false, '1 <#> order by float_ops'),
	('lsh',   'vector_cosine_ops',    'vector',    false, '1 <=> order by float_ops'),
	('lsh',   'halfvec_l2_ops',       'halfvec',   false, '1 <-> order by float_ops'),
	('lsh',   'halfvec_ip_ops',       'halfvec',   false, '1 <#> order by float_ops'),
	('lsh',   'halfvec_cosine_ops',   'halfvec',   false, '1 <=> order by float_ops'),
	('lsh',   'bit_hamming_ops',      'bit',       false, '1 <~> order by float_ops'),
	('lsh',   'bit_jaccard_ops',      'bit',       false, '1 <%> order by float_ops')
) v (method, class, type, is_default, operators);

CREATE TEMP VIEW actual_class AS
SELECT amname::text AS method, opcname::text AS class,
	opcintype::regtype::text AS type, opcdefault AS is_default,
	opcfamily, opcintype, opfname, opcnamespace = opfnamespace AS same_schema, opckeytype,
	(SELECT string_agg(concat_ws(' ', amopstrategy, oprname,
							CASE WHEN amoppurpose = 'o' THEN 'order by' END, s.opfname,
							CASE WHEN (amoplefttype, amoprighttype) <> (opcintype, opcintype) THEN 'on other types' END),
					   ', ' ORDER BY amopstrategy)
	 FROM pg_amop JOIN pg_operator o ON o.oid = amopopr
		LEFT JOIN pg_opfamily s ON s.oid = amopsortfamily
	 WHERE amopfamily = opcfamily) AS operators
FROM pg_opclass c JOIN member ON classid = 'pg_opclass'::regclass AND objid = c.oid
	JOIN pg_am am ON am.oid = opcmethod
	JOIN pg_opfamily f ON f.oid = opcfamily
WHERE amname IN (SELECT method FROM expected_method) OR amname = 'btree';

SELECT is(concat_ws(' ', a.type, CASE WHEN a.is_default THEN 'default' END, a.operators),
		  concat_ws(' ', e.type, CASE WHEN e.is_default THEN 'default' END, e.operators),
		  format('%s operator class %s', method, class))
FROM expected_class e FULL JOIN actual_class a USING (method, class)
ORDER BY method, class;

SELECT ok(opfname = class AND same_schema AND opckeytype = 0,
		  format('%s operator class %s is alone in its family and stores its type', method, class))
FROM actual_class
ORDER BY method, class;

SELECT is((SELECT string_agg(concat_ws(' ', amprocnum, amproc::regprocedure), ', ')
		   FROM pg_amproc WHERE amprocfamily = opcfamily),
		  format('1 %s_cmp(%s,%s)', type, type, type),
		  format('btree operator class %s compares', class))
FROM expected_class e LEFT JOIN actual_class a USING (method, class, type)
WHERE method = 'btree'
ORDER BY class;

SELECT ok(coalesce(amvalidate(c.oid), false), format('%s operator class %s is valid', method, class))
FROM expected_class e LEFT JOIN pg_am am ON amname = method
	LEFT JOIN pg_opclass c ON opcname = class AND opcmethod = am.oid
ORDER BY method, class;

-- Settings exist from the first use of the library on
SELECT '[1]'::vector AS loaded \gset

WITH expected (name, definition) AS (VALUES
	('hnsw.ef_search',           'integer 40 from 1 to 1000'),
	('hnsw.iterative_scan',      'enum strict_order of off, relaxed_order, strict_order'),
	('hnsw.max_scan_tuples',     'integer 20000 from 1 to 2147483647'),
	('hnsw.scan_mem_multiplier', 'real 1 from 1 to 1000'),
	('ivfflat.probes',           'integer 1 from 1 to 32768'),
	('ivfflat.iterative_scan',   'enum off of off, relaxed_order, strict_order'),
	('ivfflat.max_probes',       'integer 32768 from 1 to 32768')
	('lsh.target_recall',        'real 0.95 from 0 to 1'),
	('lsh.max_probes',           'integer 0 from 0 to 2147483647')
)
SELECT is(concat_ws(' ', vartype, boot_val, 'from ' || min_val, 'to ' || max_val,
					'of ' || array_to_string(enumvals, ', ')),
		  definition, format('setting %s', name))
FROM expected e LEFT JOIN pg_settings s USING (name)
ORDER BY name;

SELECT is(context, 'user', format('setting %s is for everybody', name))
FROM pg_settings
WHERE split_part(name, '.', 1) IN ('ann', 'hnsw', 'ivfflat')
WHERE split_part(name, '.', 1) IN ('ann', 'hnsw', 'lsh')
ORDER BY name;

SELECT * FROM finish();
ROLLBACK;
