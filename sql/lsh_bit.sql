--
-- lsh on bit: each operator class, exhaustively.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set life :abs_srcdir '/sql/opclass.psql'
\set method lsh
\set effort lsh.max_probes
\set type 'bit(32)'
\set zero '0::bit(32)'
\set value 'hashint4(i)::bit(32)'
SET lsh.target_recall = 1;

\set class bit_hamming_ops
\set op '<~>'
\i :life

\set class bit_jaccard_ops
\set op '<%>'
\i :life
