-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION vector UPDATE TO 'ann'" to load this file. \quit

--
-- Makes any version of pgvector, 0.5.0 or later, what CREATE EXTENSION vector
-- makes: its objects stay, with their OIDs, but their functions come from ann,
-- and what is missing is added.  Tables are not touched.  Indexes are not
-- either: ann recognizes those that pgvector built, and asks for a REINDEX.
--
-- As in create.sql, nothing is called that another than pg_catalog could have.
--

-- Complains if the module of pgvector is in this session
LOAD 'MODULE_PATHNAME';

@script@

-- 0.4 and 0.5 had vectors compressed
ALTER TYPE vector SET (STORAGE = external);

-- Before 0.6.1, these had the estimators of < and >, and - was its own commutator
ALTER OPERATOR <= (vector, vector) SET (RESTRICT = scalarlesel, JOIN = scalarlejoinsel);
ALTER OPERATOR >= (vector, vector) SET (RESTRICT = scalargesel, JOIN = scalargejoinsel);
UPDATE pg_operator SET oprcom = 0 WHERE oid = '-(vector, vector)'::regoperator::oid;

-- What no command can do to an operator class: the support functions of
-- vector_l2_ops, in place of pgvector's, are ann_vector_l2_metric, and so on.
DO $migrate$
DECLARE
	entry record;
	metric oid;
BEGIN
	FOR entry IN
		SELECT p.*, p.tableoid, c.opcname
		FROM pg_amproc p
			JOIN pg_opclass c ON c.opcfamily = p.amprocfamily
			JOIN pg_am a ON a.oid = c.opcmethod
		WHERE a.amname IN ('hnsw', 'ivfflat')
	LOOP
		metric := pg_catalog.format('ann_%s(internal)', pg_catalog.regexp_replace(entry.opcname, 'ops$', 'metric'))::regprocedure::oid;
		IF entry.amprocnum > 1 THEN
			DELETE FROM pg_amproc WHERE oid = entry.oid;
			DELETE FROM pg_depend WHERE classid = entry.tableoid AND objid = entry.oid;
		ELSIF entry.amproc::oid <> metric THEN
			UPDATE pg_amproc SET amproc = metric WHERE oid = entry.oid;
			UPDATE pg_depend SET refobjid = metric
				WHERE classid = entry.tableoid AND objid = entry.oid AND refclassid = 'pg_proc'::regclass::oid;
			-- on the type it depended through the function
			INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
				SELECT entry.tableoid, entry.oid, 0, 'pg_type'::regclass, entry.amproclefttype, 0, 'n'
				WHERE entry.amproclefttype <> 'bit'::regtype::oid;
		END IF;
	END LOOP;
END
$migrate$;

-- pgvector's functions that ann has not
DO $migrate$
DECLARE
	leftover regprocedure;
BEGIN
	FOR leftover IN
		SELECT p.oid
		FROM pg_extension e
			JOIN pg_depend d ON d.refclassid = e.tableoid AND d.refobjid = e.oid
			JOIN pg_proc p ON d.classid = p.tableoid AND d.objid = p.oid
		WHERE e.extname = 'vector' AND d.deptype = 'e' AND p.probin <> 'MODULE_PATHNAME'
	LOOP
		EXECUTE pg_catalog.format('DROP FUNCTION %s', leftover);
	END LOOP;
END
$migrate$;

-- What exists is left alone, on the assumption that it is pgvector's.  Operators and
-- types that somebody has put in the place of those which pgvector had not yet are
-- no basis for ours.
DO $migrate$
DECLARE
	stranger text;
BEGIN
	WITH member AS (
		SELECT d.classid, d.objid
		FROM pg_extension e JOIN pg_depend d ON d.refclassid = e.tableoid AND d.refobjid = e.oid
		WHERE e.extname = 'vector' AND d.deptype = 'e'),
	member_operator AS (
		SELECT o.oprname FROM pg_operator o JOIN member m ON m.classid = o.tableoid AND m.objid = o.oid),
	member_type AS (
		SELECT t.oid FROM pg_type t JOIN member m ON m.classid = t.tableoid AND m.objid = t.oid),
	needed AS (
		SELECT d.refclassid AS classid, d.refobjid AS objid
		FROM member m JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.objid
		WHERE d.refclassid IN ('pg_type'::regclass::oid, 'pg_operator'::regclass::oid)
		UNION ALL
		SELECT o.tableoid, o.oid
		FROM pg_amop a
			JOIN pg_opfamily f ON f.oid = a.amopfamily
			JOIN member m ON m.classid = f.tableoid AND m.objid = f.oid
			JOIN pg_operator o ON o.oid = a.amopopr
		UNION ALL
		SELECT o.tableoid, o.oid
		FROM pg_operator o
		WHERE o.oprname IN (SELECT oprname FROM member_operator)
			AND o.oprleft IN (SELECT oid FROM member_type) AND o.oprright = o.oprleft)
	SELECT pg_describe_object(n.classid, n.objid, 0) INTO stranger
	FROM needed n
	-- beyond what initdb makes
	WHERE n.objid >= 16384::oid
		AND NOT EXISTS (SELECT FROM member m WHERE m.classid = n.classid AND m.objid = n.objid)
	LIMIT 1;

	IF FOUND THEN
		RAISE EXCEPTION '% has the place of one of extension "vector"', stranger
			USING ERRCODE = 'duplicate_object', HINT = 'Drop or rename it.';
	END IF;
END
$migrate$;
