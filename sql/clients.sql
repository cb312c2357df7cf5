--
-- What client libraries and applications say to the server, in their own
-- words: quoting, casting and parameter forms are theirs.
--

--
-- Settings, before the first use loads the library
--
SET "hnsw.ef_search" = "100";
SET "hnsw.iterative_scan" = "relaxed_order";
SHOW hnsw.ef_search;
SELECT set_config('hnsw.ef_search', '77', false);
SELECT '[1,2,3]'::vector;
SHOW hnsw.ef_search;
SHOW hnsw.iterative_scan;
RESET hnsw.ef_search;
RESET hnsw.iterative_scan;
SHOW hnsw.ef_search;
SHOW hnsw.iterative_scan;
SHOW hnsw.max_scan_tuples;
SHOW hnsw.scan_mem_multiplier;

BEGIN;
SET LOCAL hnsw.ef_search = 40;
SET LOCAL "hnsw.iterative_scan" = "strict_order";
SELECT set_config('hnsw.max_scan_tuples', '1000', true);
SET LOCAL hnsw.scan_mem_multiplier = 2.5;
COMMIT;
SHOW hnsw.max_scan_tuples;

-- Placeholders that turn out wrong when the library is loaded
\c
SET hnsw.ef_search = 5000;
SET hnsw.foo = 1;
SELECT '[1]'::vector;
SHOW hnsw.ef_search;
SHOW hnsw.foo;
SET hnsw.foo = 1;
\echo :SQLSTATE
SET hnsw.ef_search = 5000;
\echo :SQLSTATE
SET hnsw.iterative_scan = on;
\echo :SQLSTATE

-- Settings of the database
ALTER DATABASE :"DBNAME" SET hnsw.ef_search = 33;
\c
SELECT '[1]'::vector;
SHOW hnsw.ef_search;
ALTER DATABASE :"DBNAME" RESET hnsw.ef_search;
\c

--
-- Types
--
SELECT to_regtype('vector') AS v, to_regtype('_vector') AS vs, to_regtype('halfvec') AS h,
	to_regtype('_halfvec') AS hs, to_regtype('sparsevec') AS s, to_regtype('_sparsevec') AS ss;
CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3), h halfvec(3), b bit(3), s sparsevec(3), arr vector(3)[], nodim VECTOR);
SELECT attname, atttypmod, format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 'items'::regclass AND attnum > 1 ORDER BY attnum;
SELECT column_name, data_type, udt_name FROM information_schema.columns
	WHERE table_name = 'items' AND ordinal_position > 1 ORDER BY ordinal_position;

--
-- Inserts: arrays of every kind, text, JSON, records
--
INSERT INTO items (embedding) VALUES (ARRAY[0.1,0.2,0.3]), ('{1,2,3}'::float8[]), ('{1,2,3}'::int[]), ('{1,2,3}'::real[]), ('[1, 2, 3]');
INSERT INTO items (embedding) VALUES (' [ 3 , 2 , 1 ] '), ('[1e0,-2.5E-1,3e1]'::text::vector(3));
INSERT INTO items (h, s, b, arr, nodim) VALUES
	(ARRAY[0.1,0.2,0.3], ARRAY[0.5,0,2], '101', ARRAY['[1,2,3]', '[4,5,6]']::vector[], '[1,2,3,4]'),
	('{1,2,3}'::float8[], '{1,2,3}'::real[], B'110', '{"[1,2,3]","[4,5,6]"}', NULL);
INSERT INTO items (embedding) VALUES ('[1,2]');
\echo :SQLSTATE
INSERT INTO items (embedding) VALUES ('{1,2,3}');
\echo :SQLSTATE
INSERT INTO items (arr) VALUES (ARRAY['[1,2]']::vector[]);
\echo :SQLSTATE
SELECT * FROM items ORDER BY id;
SELECT '[]'::vector;
\echo :SQLSTATE
SELECT '[NaN,1]'::vector;
\echo :SQLSTATE
SELECT '[Infinity,1]'::vector;
\echo :SQLSTATE
SELECT array_fill(0, ARRAY[16001])::vector;
\echo :SQLSTATE
SELECT CAST(ARRAY[0.1,0.2,0.3] AS VECTOR(3)), '[1,2,3]'::text::vector(3), ('{"e":[0.5, 1e-3, -2]}'::jsonb->>'e')::vector;
SELECT * FROM json_to_recordset('[{"id":1,"embedding":[1,2,3]}]') AS x(id int, embedding vector(3));
SELECT * FROM jsonb_populate_record(NULL::items, '{"id":7,"embedding":[1, 2.5, 3],"s":"{1:1}/3"}');
SELECT embedding::real[], embedding::text, to_json(embedding), row_to_json(items) FROM items WHERE id = 1;
SELECT encode(vector_send('[1,2]'), 'hex'), encode(halfvec_send('[1,2]'), 'hex'), encode(sparsevec_send('{1:1,3:2}/5'), 'hex'),
	encode(bit_send(B'101'), 'hex');
SELECT '[1.5,2,3e-10,1e20,0.1]'::vector, '[0.1]'::halfvec, '{3:2,1:1.5}/5'::sparsevec, '{}/5'::sparsevec;

-- Upsert
INSERT INTO items (id, embedding) VALUES (1, '[0.1,0.2,0.3]') ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding RETURNING id, embedding;

--
-- Distances
--
SELECT '[1,1,1]'::vector <=> '[0,0,0]', '[1,2]'::vector <#> '[3,4]', '[1,2]'::vector <+> '[3,5]', B'101' <%> B'111', B'101' <~> B'110';
SELECT '[1,1,1]'::vector <-> '[2,2,2]', '[1,1,1]'::vector <=> '[1,1,2]', ('[1,1,1]'::vector <-> '[2,2,2]') = sqrt(3) AS exact;
SELECT '[1,1,1]'::halfvec <-> '[2,2,2]', '[1,1,1]'::halfvec <=> '[1,1,2]', '{1:1,2:1,3:1}/3'::sparsevec <-> '{1:2,2:2,3:2}/3', '{1:1,2:1,3:1}/3'::sparsevec <=> '{1:1,2:1,3:2}/3';
SELECT id, embedding <=> '[1,2,3]' AS distance FROM items WHERE id > 1 AND embedding IS NOT NULL ORDER BY distance, id LIMIT 3;
SELECT id, 1 - (embedding <=> '[1,2,3]'::vector) AS score FROM items WHERE id > 1 AND embedding IS NOT NULL ORDER BY score DESC, id LIMIT 3;
SELECT id, (embedding <#> '[1,2,3]') * -1 AS score FROM items WHERE embedding IS NOT NULL ORDER BY score DESC, id LIMIT 1;
SELECT (2 - (embedding <=> '[1.0, 2.0, 3.0]')) / 2 FROM items
	WHERE round(cast(float8 (embedding <=> '[1.0, 2.0, 3.0]') as numeric), 8) <= round(2 - 2 * 0.1, 8)
	ORDER BY embedding <=> '[1.0, 2.0, 3.0]' LIMIT 1;
SELECT id, RANK() OVER (ORDER BY embedding <=> '[1,2,3]') FROM items WHERE id BETWEEN 2 AND 7 ORDER BY 2, 1;
SELECT avg(embedding), sum(embedding), avg(h) FROM items WHERE id IN (2, 3, 4);
SELECT avg(embedding), sum(h) FROM items WHERE false;
SELECT DISTINCT embedding FROM items WHERE embedding IS NOT NULL ORDER BY embedding;
SELECT id FROM items WHERE embedding = '[1,2,3]' AND vector_dims(embedding) = 3 ORDER BY id;
SELECT round((h <-> '[1,2,3]'::vector)::numeric, 4), round((s <-> '[1,2,3]'::vector)::numeric, 4) FROM items WHERE h IS NOT NULL ORDER BY id;
SELECT cosine_distance('[1,2,3]', '[1,2,3]');
\echo :SQLSTATE
SELECT '[1,2,3]'::vector <-> '[1,2]';
\echo :SQLSTATE
SELECT B'101' <~> B'1010';
\echo :SQLSTATE

--
-- Indexes
--
CREATE INDEX CONCURRENTLY ON items USING hnsw (embedding vector_cosine_ops);
CREATE INDEX IF NOT EXISTS "q" ON items USING "hnsw" ("embedding" "vector_l2_ops") WITH ("m" = "16", "ef_construction" = "64");
CREATE INDEX IF NOT EXISTS "q" ON items USING "hnsw" ("embedding" "vector_l2_ops") WITH ("m" = "16", "ef_construction" = "64");
CREATE INDEX spring ON public.items USING HNSW (h halfvec_cosine_ops);
-- A cast to what the column is already folds away
CREATE INDEX ljs ON items USING hnsw ((embedding::vector(3)) vector_ip_ops) WITH (m=8, ef_construction=32);
CREATE INDEX vdbb ON items USING hnsw ((binary_quantize("embedding")::bit(3)) "bit_hamming_ops");
CREATE INDEX cast_bq ON items USING hnsw (CAST(binary_quantize(embedding) AS BIT(3)) bit_jaccard_ops);
CREATE INDEX hh ON items USING hnsw ((embedding::halfvec(3)) halfvec_l2_ops);
CREATE INDEX sp ON items USING hnsw (s sparsevec_l2_ops);
CREATE INDEX bits ON items USING hnsw (b bit_hamming_ops);
CREATE INDEX part ON items USING hnsw (embedding vector_l1_ops) WHERE (h IS NOT NULL);
CREATE INDEX bt ON items (embedding);
SELECT relname, amname, reloptions FROM pg_class JOIN pg_am am ON am.oid = relam
	WHERE relkind = 'i' AND amname = 'hnsw' ORDER BY relname;
SELECT indexdef FROM pg_indexes WHERE tablename = 'items' ORDER BY indexname;
SELECT (regexp_match(indexdef, 'm\s*=\s*''?(\d+)'))[1] AS m, (regexp_match(indexdef, 'ef_construction\s*=\s*''?(\d+)'))[1] AS ef_construction
	FROM pg_indexes WHERE indexname = 'q';
CREATE INDEX e1 ON items USING hnsw (embedding);
\echo :SQLSTATE
CREATE INDEX e2 ON items USING hnsw (nodim vector_l2_ops);
\echo :SQLSTATE
CREATE INDEX e3 ON items USING hnsw (embedding vector_l2_ops) WITH (m=50, ef_construction=64);
\echo :SQLSTATE
CREATE INDEX e4 ON items USING hnsw (embedding halfvec_l2_ops);
\echo :SQLSTATE
-- A column may be called like the type, and may have no dimensions
CREATE TABLE mem (id uuid, vector vector(3), payload jsonb);
CREATE INDEX ON mem USING hnsw (vector vector_cosine_ops);
CREATE INDEX ON mem USING hnsw ((vector::vector(3)) vector_l2_ops);
SELECT indexdef FROM pg_indexes WHERE tablename = 'mem' ORDER BY indexname;
DROP TABLE mem;
CREATE INDEX nodims ON items USING hnsw ((nodim::vector(4)) vector_cosine_ops) WITH (m=16, ef_construction=64);
SELECT indexdef FROM pg_indexes WHERE indexname = 'nodims';
ALTER TABLE items ALTER COLUMN embedding SET STORAGE PLAIN;
SELECT attstorage FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'embedding';

--
-- Queries that have to find their index.  The values are distinct enough to
-- have one order only.
--
TRUNCATE items;
DROP INDEX bt;
INSERT INTO items (id, embedding, h, b, s, nodim)
	SELECT i, v, v, (i % 8)::bit(3), v::vector::sparsevec, (v || 1.0::float8)
	FROM generate_series(1, 200) i, LATERAL (SELECT ARRAY[i, i * i / 100.0, 200 - i]::float8[]) a (v);
ANALYZE items;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id, embedding <=> '[1,2,3]' AS distance FROM items ORDER BY distance LIMIT 3;
SELECT id, round((embedding <=> '[1,2,3]')::numeric, 4) AS distance FROM items ORDER BY embedding <=> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id, embedding <=> '[1,2,3]' AS distance FROM items ORDER BY distance ASC LIMIT 3;
EXPLAIN (COSTS OFF) SELECT *, "embedding" <=> '[1,2,3]' AS "_distance" FROM items ORDER BY "_distance" ASC LIMIT 3;
EXPLAIN (COSTS OFF) SELECT *, embedding <=> '[1,2,3]' AS distance FROM items WHERE embedding <=> '[1,2,3]' < 0.5 ORDER BY distance LIMIT 3;
SELECT id FROM items WHERE embedding <=> '[1,2,3]' < 0.5 ORDER BY embedding <=> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id, 1 - (embedding <=> '[1,2,3]') AS score FROM items ORDER BY embedding <=> '[1,2,3]' ASC LIMIT 3 OFFSET 2;
SELECT id FROM items ORDER BY embedding <=> '[1,2,3]' ASC LIMIT 3 OFFSET 2;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding OPERATOR(public.<=>) '[1,2,3]'::"public"."vector" LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding <-> '[1,2,3]' LIMIT 3;
SELECT id FROM items ORDER BY embedding <-> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding <#> '[1,2,3]' LIMIT 3;
SELECT id FROM items ORDER BY embedding <#> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE h IS NOT NULL ORDER BY embedding <+> '[1,2,3]' LIMIT 3;
SELECT id FROM items WHERE h IS NOT NULL ORDER BY embedding <+> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding::halfvec(3) <-> '[1,2,3]' LIMIT 3;
SELECT id FROM items ORDER BY embedding::halfvec(3) <-> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding::halfvec(3) <-> '[1,2,3]'::vector(3)::halfvec(3) LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY h <=> '[1,2,3]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY s <-> '{1:1,2:2,3:3}/3' LIMIT 3;
SELECT id FROM items ORDER BY s <-> '{1:1,2:2,3:3}/3' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY b <~> '101' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY nodim::vector(4) <=> '[1,2,3,4]' LIMIT 3;
-- Binary codes first, then the vectors themselves
EXPLAIN (COSTS OFF) SELECT id FROM (
	SELECT id, embedding FROM items ORDER BY binary_quantize(embedding)::bit(3) <~> binary_quantize('[1,-2,3]'::vector)::bit(3) LIMIT 20
) i ORDER BY embedding <=> '[1,-2,3]' LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY (binary_quantize("embedding")::bit(3)) <~> binary_quantize('[1,-2,3]'::vector(3))::bit(3) LIMIT 5;
-- Distance in a materialized or ordinary CTE.  From 17 on, the planner knows how
-- the former is ordered, and would not sort it but for the "+ 0".
EXPLAIN (COSTS OFF) WITH nearest AS MATERIALIZED (
	SELECT id, embedding <-> '[1,2,3]' AS distance FROM items ORDER BY distance LIMIT 5
) SELECT * FROM nearest WHERE distance < 5 ORDER BY distance + 0;
EXPLAIN (COSTS OFF) WITH scores AS (SELECT id, 1 - (embedding <=> '[1,2,3]'::vector) AS score FROM items ORDER BY embedding <=> '[1,2,3]'::vector LIMIT 5)
	SELECT * FROM scores WHERE score > 0.1 ORDER BY score DESC;

--
-- Prepared statements, custom and generic plans
--
PREPARE p (vector, int) AS SELECT id FROM items ORDER BY embedding <=> $1::vector(3) LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE p ('[1,2,3]', 3);
EXECUTE p ('[1,2,3]', 3);
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p ('[1,2,3]', 3);
EXECUTE p ('[1,2,3]', 3);
EXECUTE p ('[4,3,2]', 3);
EXECUTE p (NULL, 0);
-- One untyped parameter in a function and an operator
PREPARE p2 AS SELECT id, cosine_distance("embedding", $1) AS distance FROM items ORDER BY "embedding" <=> $1 LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE p2 ('[1,2,3]', 3);
-- An array of float8
PREPARE p3 (float8[]) AS SELECT id, embedding <=> $1::vector AS d FROM items ORDER BY d LIMIT 2;
EXPLAIN (COSTS OFF) EXECUTE p3 ('{1,2,3}');
PREPARE p4 (text) AS SELECT id FROM items ORDER BY embedding <=> $1::vector LIMIT 2;
EXPLAIN (COSTS OFF) EXECUTE p4 ('[1,2,3]');
EXECUTE p4 ('[1,2,3]');
PREPARE p5 AS SELECT id FROM items ORDER BY embedding <-> $1 LIMIT $2::int;
EXPLAIN (COSTS OFF) EXECUTE p5 ('[1,2,3]', 2);
EXECUTE p5 ('[1,2,3]', 2);
SELECT name, parameter_types FROM pg_prepared_statements ORDER BY name;
PREPARE p6 AS INSERT INTO items (id, embedding) VALUES ($1, $2) RETURNING embedding;
EXECUTE p6 (1000, '[1000,1,1]');
EXECUTE p6 (1001, '[1,2]');
\echo :SQLSTATE
DELETE FROM items WHERE id = 1000;
RESET plan_cache_mode;
DEALLOCATE ALL;

--
-- Several queries at once: the nearest of each, by rescans
--
EXPLAIN (COSTS OFF) SELECT q.qid, r.id
	FROM (VALUES (0, CAST(ARRAY[1,2,3] AS VECTOR(3))), (1, CAST(ARRAY[4,3,2] AS VECTOR(3)))) q (qid, qv)
	JOIN LATERAL (SELECT id FROM items ORDER BY embedding <=> q.qv LIMIT 2) r ON true;
SELECT q.qid, array_agg(r.id ORDER BY r.d)
	FROM (VALUES (0, CAST(ARRAY[1,2,3] AS VECTOR(3))), (1, CAST(ARRAY[4,3,2] AS VECTOR(3)))) q (qid, qv)
	JOIN LATERAL (SELECT id, embedding <=> q.qv AS d FROM items ORDER BY embedding <=> q.qv LIMIT 2) r ON true
	GROUP BY q.qid ORDER BY q.qid;

--
-- The match function of hosted platforms
--
CREATE FUNCTION match_documents (query_embedding vector(3), match_threshold float, match_count int)
RETURNS TABLE (id bigint, similarity float)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT id, 1 - (items.embedding <=> query_embedding) AS similarity
	FROM items
	WHERE 1 - (items.embedding <=> query_embedding) > match_threshold
	ORDER BY items.embedding <=> query_embedding
	LIMIT match_count;
END;
$$;
SELECT id, round(similarity::numeric, 4) FROM match_documents('[1,2,3]', 0.1, 3);
SELECT id FROM match_documents('[1, 2, 3]'::text::vector, 0, 2);
SELECT id FROM match_documents(query_embedding => ARRAY[1,2,3]::vector, match_threshold => 0, match_count => 2);
SELECT id FROM match_documents((('{"query_embedding": [1, 2, 3]}'::json) ->> 'query_embedding')::vector, 0, 1);
DROP FUNCTION match_documents;

-- Any LIMIT is filled, whatever the size of the candidate list
SET hnsw.ef_search = 10;
SET hnsw.iterative_scan = off;
SET enable_sort = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY embedding <=> '[1,2,3]' LIMIT 100) i;
SELECT count(*) FROM (SELECT id FROM items ORDER BY embedding <=> '[1,2,3]') i;
SELECT count(*) FROM (SELECT id FROM items WHERE id % 20 = 0 ORDER BY embedding <=> '[1,2,3]' LIMIT 10) i;
RESET hnsw.ef_search;
RESET hnsw.iterative_scan;
RESET enable_sort;

-- COPY there and back
COPY (SELECT embedding, h, s, b FROM items WHERE id <= 2 ORDER BY id) TO stdout;
CREATE TEMP TABLE copied (embedding vector(3), h halfvec(3), s sparsevec(3));
COPY copied FROM stdin;
[1,2,3]	[1,2,3]	{1:1}/3
[1, 2, 3]	\N	{ 3:2 , 1:1 }/3
\.
SELECT * FROM copied;
COPY copied FROM stdin;
[1,2]	[1,2,3]	{1:1}/3
\.

REINDEX INDEX q;
REINDEX INDEX CONCURRENTLY q;
SELECT id FROM items ORDER BY embedding <-> '[1,2,3]' LIMIT 3;
SELECT * FROM ann_check('q');
DROP INDEX CONCURRENTLY q;
DROP INDEX IF EXISTS "q";
DROP TABLE items;
