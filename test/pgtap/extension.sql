--
-- The extension as a whole: who may create it, where, and that it moves.
--
\ir begin.psql
SELECT no_plan();

-- Creates the extension anew, so that every test here begins alike
CREATE PROCEDURE pg_temp.recreate(options text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('DROP EXTENSION %I', current_setting('test.extension'));
	EXECUTE format('CREATE EXTENSION %I %s', current_setting('test.extension'), options);
END $$;
SET LOCAL test.extension = :'extension';

-- Members that are not in the schema, although their kind has one
CREATE FUNCTION pg_temp.strays(schema regnamespace) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT identity
	FROM pg_temp.member, pg_identify_object(classid, objid, 0) o
	WHERE o.schema <> strays.schema::text
	ORDER BY 1
$$;

SELECT ok(extrelocatable, 'relocatable') FROM pg_extension WHERE extname = :'extension';
SELECT ok(extconfig IS NULL, 'no configuration tables') FROM pg_extension WHERE extname = :'extension';
SELECT ok(trusted, 'trusted') FROM pg_available_extension_versions WHERE name = :'extension' AND installed;
SELECT ok(requires IS NULL, 'requires nothing') FROM pg_available_extension_versions WHERE name = :'extension' AND installed;

SELECT is(extnamespace::regnamespace::text, 'public', 'created in the current schema')
FROM pg_extension WHERE extname = :'extension';
SELECT is_empty($$SELECT * FROM pg_temp.strays('public')$$, 'all members are there');

-- In another schema
CREATE SCHEMA elsewhere;
CALL pg_temp.recreate('WITH SCHEMA elsewhere');
SELECT is(extnamespace::regnamespace::text, 'elsewhere', 'created in a given schema')
FROM pg_extension WHERE extname = :'extension';
SELECT is_empty($$SELECT * FROM pg_temp.strays('elsewhere')$$, 'all members are in the given schema');

CREATE TABLE moved (v elsewhere.vector(3), h elsewhere.halfvec(3), s elsewhere.sparsevec(3), b bit(3));
CREATE INDEX ON moved USING hnsw (v elsewhere.vector_cosine_ops);
CREATE INDEX ON moved USING hnsw (h elsewhere.halfvec_l2_ops);
CREATE INDEX ON moved USING hnsw (s elsewhere.sparsevec_l2_ops);
CREATE INDEX ON moved USING hnsw (b elsewhere.bit_hamming_ops);
INSERT INTO moved VALUES ('[1,2,3]', '[1,2,3]', '{1:1}/3', B'101'), (ARRAY[3, 2, 1], '[3,2,1]', '{2:1}/3', B'010');
SET LOCAL enable_seqscan = off;
SELECT results_eq(
	$$SELECT v::text FROM moved ORDER BY v OPERATOR(elsewhere.<=>) '[3,2,1]'$$,
	ARRAY['[3,2,1]', '[1,2,3]'],
	'usable with qualified names');
SELECT results_eq(
	$$SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'moved'::regclass AND attname = 'v'$$,
	ARRAY['elsewhere.vector(3)'],
	'described with a qualified name');

-- And moved, with tables and indexes that depend on it
CREATE SCHEMA farther;
ALTER EXTENSION :extension SET SCHEMA farther;
SELECT is(extnamespace::regnamespace::text, 'farther', 'moved to another schema')
FROM pg_extension WHERE extname = :'extension';
SELECT is_empty($$SELECT * FROM pg_temp.strays('farther')$$, 'all members were moved');
SELECT results_eq(
	$$SELECT v::text FROM moved ORDER BY v OPERATOR(farther.<=>) '[3,2,1]'$$,
	ARRAY['[3,2,1]', '[1,2,3]'],
	'index scan after the move');
INSERT INTO moved VALUES ('[2,2,2]', '[2,2,2]', '{3:1}/3', B'111');
SELECT results_eq(
	$$SELECT v::text FROM moved ORDER BY v OPERATOR(farther.<=>) '[2,2,2]' LIMIT 1$$,
	ARRAY['[2,2,2]'],
	'insert into the index after the move');
SELECT results_eq(
	$$SELECT (farther.avg(v))::text, (farther.sum(h))::text FROM moved$$,
	$$VALUES ('[2,2,2]', '[6,6,6]')$$,
	'aggregates after the move');
SELECT results_eq(
	$$SELECT count(*) FROM (SELECT DISTINCT v, h, s FROM moved) d$$,
	ARRAY[3::bigint],
	'comparison after the move');

-- Nothing stays behind
DROP TABLE moved;
DROP EXTENSION :extension;
SELECT is_empty('SELECT * FROM pg_temp.member', 'dropping the extension drops its members');
SELECT is_empty(
	$$SELECT typname FROM pg_type WHERE typname ~ '^_?(vector|halfvec|sparsevec)$'
	  UNION ALL SELECT amname FROM pg_am WHERE amname IN ('hnsw', 'ivfflat', 'lsh')$$,
	'no type and no access method stays behind');

-- A role without privileges that owns the database
CREATE ROLE plain_owner;
SELECT format('ALTER DATABASE %I OWNER TO plain_owner', current_database()) \gexec
SET LOCAL ROLE plain_owner;
SELECT lives_ok(format('CREATE EXTENSION %I', current_setting('test.extension')),
				'the owner of the database may create it');
SELECT is(extowner::regrole::text, 'plain_owner', 'and then owns it')
FROM pg_extension WHERE extname = :'extension';
SELECT lives_ok($$CREATE TABLE owned (v public.vector(3))$$, 'and may use its types');
SELECT lives_ok($$CREATE INDEX ON owned USING hnsw (v public.vector_l2_ops)$$, 'and its access method');
SELECT lives_ok($$INSERT INTO owned VALUES ('[1,2,3]')$$, 'and insert');
SELECT lives_ok($$DROP TABLE owned$$, 'and drop the table');
SELECT lives_ok(format('DROP EXTENSION %I', current_setting('test.extension')), 'and drop it');

-- The script runs as a superuser.  It falls into no trap that this role has laid in
-- the schema: functions and operators that match better than those of pg_catalog
CREATE SCHEMA traps;
DO $$
DECLARE
	types text[] := '{oid,regclass,regproc,regprocedure,regoperator,regtype,"\"char\"",name,text,smallint,int,bigint,float8,numeric,interval,timestamptz}';
	name text;
	a text;
	b text;
BEGIN
	FOREACH a IN ARRAY types LOOP
		FOREACH b IN ARRAY types LOOP
			FOREACH name IN ARRAY '{trap,format,concat,round,regexp_replace}'::text[] LOOP
				EXECUTE format($f$CREATE FUNCTION traps.%I(%s, %s) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END'$f$,
					name, a, b);
			END LOOP;
			FOREACH name IN ARRAY '{=,<>,<,<=,>,>=,+,-,*,/,||,~}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR traps.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = traps.trap)', name, a, b);
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
SELECT lives_ok(format('CREATE EXTENSION %I SCHEMA traps', current_setting('test.extension')),
				'the script falls into no trap in its schema');
RESET ROLE;
SELECT is_empty(
	$$SELECT pg_describe_object(d.classid, d.objid, 0), pg_describe_object(d.refclassid, d.refobjid, 0)
	FROM pg_depend d, pg_identify_object(d.refclassid, d.refobjid, 0) o
	WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
		AND o.schema = 'traps' AND (d.refclassid, d.refobjid) NOT IN (SELECT classid, objid FROM pg_temp.member)$$,
	'nor does a view');

SELECT * FROM finish();
ROLLBACK;
