--
-- ivfflat: what is done to indexes and their tables.
--
\set method ivfflat
\set option 'quantizer = none'
-- by this path, for messages name it
\i sql/ddl.psql
