--
-- Every operator: function, result, commutator, negator, estimators.
-- Both operands have the same type, and so have commutator and negator.
--
\ir begin.psql
SELECT no_plan();

WITH expected (operator, function, result, commutator, negator, restrict, join_) AS (VALUES
	('<->(vector,vector)'      , 'l2_distance(vector,vector)'                           , 'double precision', '<->', '-' , '-'          , '-'),
	('<#>(vector,vector)'      , 'vector_negative_inner_product(vector,vector)'         , 'double precision', '<#>', '-' , '-'          , '-'),
	('<=>(vector,vector)'      , 'cosine_distance(vector,vector)'                       , 'double precision', '<=>', '-' , '-'          , '-'),
	('<+>(vector,vector)'      , 'l1_distance(vector,vector)'                           , 'double precision', '<+>', '-' , '-'          , '-'),
	('+(vector,vector)'        , 'vector_add(vector,vector)'                            , 'vector'          , '+'  , '-' , '-'          , '-'),
	('-(vector,vector)'        , 'vector_sub(vector,vector)'                            , 'vector'          , '-'  , '-' , '-'          , '-'),
	('*(vector,vector)'        , 'vector_mul(vector,vector)'                            , 'vector'          , '*'  , '-' , '-'          , '-'),
	('||(vector,vector)'       , 'vector_concat(vector,vector)'                         , 'vector'          , '-'  , '-' , '-'          , '-'),
	('<(vector,vector)'        , 'vector_lt(vector,vector)'                             , 'boolean'         , '>'  , '>=', 'scalarltsel', 'scalarltjoinsel'),
	('<=(vector,vector)'       , 'vector_le(vector,vector)'                             , 'boolean'         , '>=' , '>' , 'scalarlesel', 'scalarlejoinsel'),
	('=(vector,vector)'        , 'vector_eq(vector,vector)'                             , 'boolean'         , '='  , '<>', 'eqsel'      , 'eqjoinsel'),
	('<>(vector,vector)'       , 'vector_ne(vector,vector)'                             , 'boolean'         , '<>' , '=' , 'eqsel'      , 'eqjoinsel'),
	('>=(vector,vector)'       , 'vector_ge(vector,vector)'                             , 'boolean'         , '<=' , '<' , 'scalargesel', 'scalargejoinsel'),
	('>(vector,vector)'        , 'vector_gt(vector,vector)'                             , 'boolean'         , '<'  , '<=', 'scalargtsel', 'scalargtjoinsel'),
	('<->(halfvec,halfvec)'    , 'l2_distance(halfvec,halfvec)'                         , 'double precision', '<->', '-' , '-'          , '-'),
	('<#>(halfvec,halfvec)'    , 'halfvec_negative_inner_product(halfvec,halfvec)'      , 'double precision', '<#>', '-' , '-'          , '-'),
	('<=>(halfvec,halfvec)'    , 'cosine_distance(halfvec,halfvec)'                     , 'double precision', '<=>', '-' , '-'          , '-'),
	('<+>(halfvec,halfvec)'    , 'l1_distance(halfvec,halfvec)'                         , 'double precision', '<+>', '-' , '-'          , '-'),
	('+(halfvec,halfvec)'      , 'halfvec_add(halfvec,halfvec)'                         , 'halfvec'         , '+'  , '-' , '-'          , '-'),
	('-(halfvec,halfvec)'      , 'halfvec_sub(halfvec,halfvec)'                         , 'halfvec'         , '-'  , '-' , '-'          , '-'),
	('*(halfvec,halfvec)'      , 'halfvec_mul(halfvec,halfvec)'                         , 'halfvec'         , '*'  , '-' , '-'          , '-'),
	('||(halfvec,halfvec)'     , 'halfvec_concat(halfvec,halfvec)'                      , 'halfvec'         , '-'  , '-' , '-'          , '-'),
	('<(halfvec,halfvec)'      , 'halfvec_lt(halfvec,halfvec)'                          , 'boolean'         , '>'  , '>=', 'scalarltsel', 'scalarltjoinsel'),
	('<=(halfvec,halfvec)'     , 'halfvec_le(halfvec,halfvec)'                          , 'boolean'         , '>=' , '>' , 'scalarlesel', 'scalarlejoinsel'),
	('=(halfvec,halfvec)'      , 'halfvec_eq(halfvec,halfvec)'                          , 'boolean'         , '='  , '<>', 'eqsel'      , 'eqjoinsel'),
	('<>(halfvec,halfvec)'     , 'halfvec_ne(halfvec,halfvec)'                          , 'boolean'         , '<>' , '=' , 'eqsel'      , 'eqjoinsel'),
	('>=(halfvec,halfvec)'     , 'halfvec_ge(halfvec,halfvec)'                          , 'boolean'         , '<=' , '<' , 'scalargesel', 'scalargejoinsel'),
	('>(halfvec,halfvec)'      , 'halfvec_gt(halfvec,halfvec)'                          , 'boolean'         , '<'  , '<=', 'scalargtsel', 'scalargtjoinsel'),
	('<~>(bit,bit)'            , 'hamming_distance(bit,bit)'                            , 'double precision', '<~>', '-' , '-'          , '-'),
	('<%>(bit,bit)'            , 'jaccard_distance(bit,bit)'                            , 'double precision', '<%>', '-' , '-'          , '-'),
	('<->(sparsevec,sparsevec)', 'l2_distance(sparsevec,sparsevec)'                     , 'double precision', '<->', '-' , '-'          , '-'),
	('<#>(sparsevec,sparsevec)', 'sparsevec_negative_inner_product(sparsevec,sparsevec)', 'double precision', '<#>', '-' , '-'          , '-'),
	('<=>(sparsevec,sparsevec)', 'cosine_distance(sparsevec,sparsevec)'                 , 'double precision', '<=>', '-' , '-'          , '-'),
	('<+>(sparsevec,sparsevec)', 'l1_distance(sparsevec,sparsevec)'                     , 'double precision', '<+>', '-' , '-'          , '-'),
	('<(sparsevec,sparsevec)'  , 'sparsevec_lt(sparsevec,sparsevec)'                    , 'boolean'         , '>'  , '>=', 'scalarltsel', 'scalarltjoinsel'),
	('<=(sparsevec,sparsevec)' , 'sparsevec_le(sparsevec,sparsevec)'                    , 'boolean'         , '>=' , '>' , 'scalarlesel', 'scalarlejoinsel'),
	('=(sparsevec,sparsevec)'  , 'sparsevec_eq(sparsevec,sparsevec)'                    , 'boolean'         , '='  , '<>', 'eqsel'      , 'eqjoinsel'),
	('<>(sparsevec,sparsevec)' , 'sparsevec_ne(sparsevec,sparsevec)'                    , 'boolean'         , '<>' , '=' , 'eqsel'      , 'eqjoinsel'),
	('>=(sparsevec,sparsevec)' , 'sparsevec_ge(sparsevec,sparsevec)'                    , 'boolean'         , '<=' , '<' , 'scalargesel', 'scalargejoinsel'),
	('>(sparsevec,sparsevec)'  , 'sparsevec_gt(sparsevec,sparsevec)'                    , 'boolean'         , '<'  , '<=', 'scalargtsel', 'scalargtjoinsel')
),
actual AS (
	SELECT o.oid::regoperator::text AS operator,
		concat_ws(' ', o.oprcode::regprocedure, '->', o.oprresult::regtype,
			'commutator', coalesce(c.oprname, '-'), 'negator', coalesce(n.oprname, '-'),
			'restrict', o.oprrest, 'join', o.oprjoin,
			CASE WHEN o.oprcanmerge THEN 'merges' END,
			CASE WHEN o.oprcanhash THEN 'hashes' END,
			CASE WHEN (c.oprleft, c.oprright) <> (o.oprright, o.oprleft) THEN 'commutes to other types' END,
			CASE WHEN (n.oprleft, n.oprright) <> (o.oprleft, o.oprright) THEN 'negates to other types' END) AS definition
	FROM pg_operator o JOIN member ON classid = 'pg_operator'::regclass AND objid = o.oid
		LEFT JOIN pg_operator c ON c.oid = o.oprcom
		LEFT JOIN pg_operator n ON n.oid = o.oprnegate
)
SELECT is(definition,
		  concat_ws(' ', function, '->', result, 'commutator', commutator,
					'negator', negator, 'restrict', restrict, 'join', join_),
		  format('operator %s', operator))
FROM expected e FULL JOIN actual a USING (operator)
ORDER BY operator;

SELECT * FROM finish();
ROLLBACK;
