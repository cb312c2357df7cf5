--
-- lsh on vector: each operator class, exhaustively.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set life :abs_srcdir '/sql/opclass.psql'
\set method lsh
\set effort lsh.max_probes
\set type 'vector(8)'
\set zero 'array_fill(0, ARRAY[8])::vector(8)'
\set value 'ARRAY(SELECT hashint4(i * 8 + j + 50000) / 2147483648.0 FROM generate_series(1, 8) j)::vector(8)'
SET lsh.target_recall = 1;

\set class vector_l2_ops
\set op '<->'
\i :life

\set class vector_ip_ops
\set op '<#>'
\i :life

\set class vector_cosine_ops
\set op '<=>'
\i :life
