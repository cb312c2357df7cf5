--
-- The table of words, and functions to look at it with.
--

-- id is the rank by frequency
CREATE TABLE words (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	word text NOT NULL UNIQUE,
	embedding vector(100) NOT NULL
);

-- The k words nearest to a word, through whatever plan is cheapest
CREATE FUNCTION nearest(query text, k int DEFAULT 10)
RETURNS TABLE (word text, distance float8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	q vector := (SELECT w.embedding FROM words w WHERE w.word = query);
BEGIN
	RETURN QUERY
		SELECT n.word, n.distance
		FROM (SELECT w.word, w.embedding <=> q AS distance
			  FROM words w ORDER BY w.embedding <=> q LIMIT k + 1) n
		WHERE n.word <> query
		ORDER BY n.distance LIMIT k;
END $$;

-- The same by comparing with every word
CREATE FUNCTION nearest_exact(query text, k int DEFAULT 10)
RETURNS TABLE (word text, distance float8)
LANGUAGE plpgsql STABLE
SET enable_indexscan = off SET plan_cache_mode = force_custom_plan AS $$
BEGIN
	RETURN QUERY SELECT * FROM nearest(query, k);
END $$;

-- Both for one word, each with the milliseconds it took
CREATE FUNCTION compare(query text, k int DEFAULT 10,
	OUT approx text[], OUT approx_ms float8, OUT exact text[], OUT exact_ms float8)
LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	approx := ARRAY(SELECT n.word FROM nearest(query, k) n);
	approx_ms := 1000 * extract(epoch FROM clock_timestamp() - start);
	start := clock_timestamp();
	exact := ARRAY(SELECT n.word FROM nearest_exact(query, k) n);
	exact_ms := 1000 * extract(epoch FROM clock_timestamp() - start);
END $$;

-- The share of the k nearest that the index finds, over 200 words
CREATE FUNCTION recall(k int DEFAULT 10,
	OUT recall float8, OUT approx_ms float8, OUT exact_ms float8)
LANGUAGE sql AS $$
	SELECT avg((SELECT count(*) FROM unnest(c.approx) a WHERE a = ANY (c.exact)) / k::float8),
		avg(c.approx_ms), avg(c.exact_ms)
	FROM words w, LATERAL compare(w.word, k) c
	WHERE w.id % (SELECT count(*) / 200 FROM words) = 1
$$;
