--
-- hnsw: what is done to indexes and their tables.
--
\set method hnsw
\set option 'm = 8'
-- by this path, for messages name it
\i sql/ddl.psql
