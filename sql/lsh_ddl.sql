--
-- lsh: what is done to indexes and their tables.
--
\set method lsh
\set option 'tables = 3'
-- by this path, for messages name it
\i sql/ddl.psql
