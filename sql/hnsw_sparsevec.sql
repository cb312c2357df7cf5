--
-- hnsw on sparsevec: each operator class, exhaustively.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set life :abs_srcdir '/sql/opclass.psql'
\set method hnsw
\set effort hnsw.ef_search
\set type 'sparsevec(12)'
\set zero 'array_fill(0, ARRAY[12])::sparsevec(12)'
\set value 'ARRAY(SELECT CASE WHEN j = i % 12 + 1 OR hashint4(i - j) % 4 = 0 THEN hashint4(i * 12 + j) / 2147483648.0 ELSE 0 END FROM generate_series(1, 12) j)::sparsevec(12)'

\set class sparsevec_l2_ops
\set op '<->'
\i :life

\set class sparsevec_ip_ops
\set op '<#>'
\i :life

\set class sparsevec_cosine_ops
\set op '<=>'
\i :life

\set class sparsevec_l1_ops
\set op '<+>'
\i :life
