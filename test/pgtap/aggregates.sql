--
-- The aggregates.
--
\ir begin.psql
SELECT no_plan();

WITH expected (aggregate, definition) AS (VALUES
	('avg(vector)',  'vector_accum double precision[] final vector_avg combine vector_combine init {0} parallel s'),
	('sum(vector)',  'vector_add vector final - combine vector_add init none parallel s'),
	('avg(halfvec)', 'halfvec_accum double precision[] final halfvec_avg combine halfvec_combine init {0} parallel s'),
	('sum(halfvec)', 'halfvec_add halfvec final - combine halfvec_add init none parallel s')
),
actual AS (
	SELECT aggfnoid::regprocedure::text AS aggregate,
		concat_ws(' ', aggtransfn, aggtranstype::regtype, 'final', aggfinalfn,
			'combine', aggcombinefn, 'init', coalesce(agginitval, 'none'),
			'parallel', proparallel,
			CASE WHEN aggkind <> 'n' THEN 'ordered set' END,
			CASE WHEN aggmtransfn <> 0 THEN 'moving' END,
			CASE WHEN aggserialfn <> 0 OR aggdeserialfn <> 0 THEN 'serialized' END,
			CASE WHEN aggsortop <> 0 THEN 'sorted' END,
			CASE WHEN aggfinalextra OR aggfinalmodify <> 'r' THEN 'odd final function' END) AS definition
	FROM pg_aggregate JOIN member ON classid = 'pg_proc'::regclass AND objid = aggfnoid
		JOIN pg_proc p ON p.oid = aggfnoid
)
SELECT is(a.definition, e.definition, format('aggregate %s', aggregate))
FROM expected e FULL JOIN actual a USING (aggregate)
ORDER BY aggregate;

SELECT * FROM finish();
ROLLBACK;
