-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION @name@" to load this file. \quit

--
-- The extensions ann and vector are made of the same objects.  Whichever is
-- created first in a database has them all; the other one adds its name, and
-- depends on the first.
--
-- This runs as a superuser, in a schema where whoever creates the extension may
-- have put functions and operators: what is called by a name has arguments of
-- exactly the types of something in pg_catalog, which is searched first.
--
DO $create$
DECLARE
	owner record;
BEGIN
	SELECT e.oid, e.extname, p.probin INTO owner
		FROM pg_extension e
			JOIN pg_depend d ON d.refclassid = e.tableoid AND d.refobjid = e.oid
			JOIN pg_proc p ON d.classid = p.tableoid AND d.objid = p.oid
		WHERE d.deptype = 'e' AND p.proname = 'vector_in';

	IF owner.probin = 'MODULE_PATHNAME' THEN
		-- so that neither DROP nor a dump separates the two
		INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
			SELECT tableoid, oid, 0, tableoid, owner.oid, 0, 'n' FROM pg_extension WHERE extname = '@name@';
		RETURN;
	ELSIF FOUND THEN
		RAISE EXCEPTION 'extension "@name@" takes the place of pgvector, which this database has as extension "%"', owner.extname
			USING ERRCODE = 'duplicate_object',
			HINT = 'Migrate it with ALTER EXTENSION vector UPDATE TO ''ann'', after "make install-vector".';
	END IF;

	EXECUTE $script$
@script@
$script$;
END
$create$;
