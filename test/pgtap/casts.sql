--
-- Every cast with its function and its context.  An implicit cast too many
-- would change how unknown literals resolve.
--
\ir begin.psql
SELECT no_plan();

WITH expected (source, target, function, context) AS (VALUES
	('vector'            , 'vector'   , 'vector(vector,integer,boolean)'                        , 'implicit'),
	('vector'            , 'real[]'   , 'vector_to_float4(vector,integer,boolean)'              , 'implicit'),
	('integer[]'         , 'vector'   , 'array_to_vector(integer[],integer,boolean)'            , 'assignment'),
	('real[]'            , 'vector'   , 'array_to_vector(real[],integer,boolean)'               , 'assignment'),
	('double precision[]', 'vector'   , 'array_to_vector(double precision[],integer,boolean)'   , 'assignment'),
	('numeric[]'         , 'vector'   , 'array_to_vector(numeric[],integer,boolean)'            , 'assignment'),
	('halfvec'           , 'halfvec'  , 'halfvec(halfvec,integer,boolean)'                      , 'implicit'),
	('halfvec'           , 'vector'   , 'halfvec_to_vector(halfvec,integer,boolean)'            , 'assignment'),
	('vector'            , 'halfvec'  , 'vector_to_halfvec(vector,integer,boolean)'             , 'implicit'),
	('halfvec'           , 'real[]'   , 'halfvec_to_float4(halfvec,integer,boolean)'            , 'assignment'),
	('integer[]'         , 'halfvec'  , 'array_to_halfvec(integer[],integer,boolean)'           , 'assignment'),
	('real[]'            , 'halfvec'  , 'array_to_halfvec(real[],integer,boolean)'              , 'assignment'),
	('double precision[]', 'halfvec'  , 'array_to_halfvec(double precision[],integer,boolean)'  , 'assignment'),
	('numeric[]'         , 'halfvec'  , 'array_to_halfvec(numeric[],integer,boolean)'           , 'assignment'),
	('sparsevec'         , 'sparsevec', 'sparsevec(sparsevec,integer,boolean)'                  , 'implicit'),
	('sparsevec'         , 'vector'   , 'sparsevec_to_vector(sparsevec,integer,boolean)'        , 'assignment'),
	('vector'            , 'sparsevec', 'vector_to_sparsevec(vector,integer,boolean)'           , 'implicit'),
	('sparsevec'         , 'halfvec'  , 'sparsevec_to_halfvec(sparsevec,integer,boolean)'       , 'assignment'),
	('halfvec'           , 'sparsevec', 'halfvec_to_sparsevec(halfvec,integer,boolean)'         , 'implicit'),
	('integer[]'         , 'sparsevec', 'array_to_sparsevec(integer[],integer,boolean)'         , 'assignment'),
	('real[]'            , 'sparsevec', 'array_to_sparsevec(real[],integer,boolean)'            , 'assignment'),
	('double precision[]', 'sparsevec', 'array_to_sparsevec(double precision[],integer,boolean)', 'assignment'),
	('numeric[]'         , 'sparsevec', 'array_to_sparsevec(numeric[],integer,boolean)'         , 'assignment'),

	-- beyond pgvector
	('smallint[]'        , 'vector'   , 'array_to_vector(smallint[],integer,boolean)'           , 'assignment'),
	('bigint[]'          , 'vector'   , 'array_to_vector(bigint[],integer,boolean)'             , 'assignment'),
	('smallint[]'        , 'halfvec'  , 'array_to_halfvec(smallint[],integer,boolean)'          , 'assignment'),
	('bigint[]'          , 'halfvec'  , 'array_to_halfvec(bigint[],integer,boolean)'            , 'assignment'),
	('smallint[]'        , 'sparsevec', 'array_to_sparsevec(smallint[],integer,boolean)'        , 'assignment'),
	('bigint[]'          , 'sparsevec', 'array_to_sparsevec(bigint[],integer,boolean)'          , 'assignment')
),
actual AS (
	SELECT castsource::regtype::text AS source, casttarget::regtype::text AS target,
		castfunc::regprocedure::text AS function, castmethod,
		CASE castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END AS context
	FROM pg_cast c JOIN member ON classid = 'pg_cast'::regclass AND objid = c.oid
)
SELECT is(format('%s by %s %s', a.context, castmethod, a.function),
		  format('%s by f %s', e.context, e.function),
		  format('cast from %s to %s', source, target))
FROM expected e FULL JOIN actual a USING (source, target)
ORDER BY source, target;

SELECT * FROM finish();
ROLLBACK;
