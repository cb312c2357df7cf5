--
-- Lists that are split, merged, renewed and dropped as the table changes.
--
CREATE EXTENSION IF NOT EXISTS pageinspect;
SET enable_seqscan = off;
SET jit = off;
-- Exhaustive effort: every answer is exact
SET ivfflat.probes = 1000;

-- How many lists there are, from the metapage
CREATE FUNCTION lists(name text) RETURNS int LANGUAGE sql AS
	$$SELECT get_byte(p, 48) + 256 * get_byte(p, 49) FROM get_raw_page(name, 0) p$$;
CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT ARRAY(SELECT hashint4(i * 8 + j) / 2147483648.0 + i % 5 FROM generate_series(1, 8) j)::vector(8)$$;

-- Grown from nothing, by codes and by whole values: many lists, and all rows are
-- found
CREATE TABLE t (id int, val vector(8));
CREATE INDEX coded ON t USING ivfflat (val vector_l2_ops) WITH (quantizer = rabitq);
CREATE INDEX whole ON t USING ivfflat (val vector_cosine_ops) WITH (quantizer = none);
CREATE INDEX inner_product ON t USING ivfflat (val vector_ip_ops) WITH (quantizer = rabitq, lists = 4);
SELECT lists('coded'), lists('whole'), lists('inner_product');
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 5000) i;
SELECT lists('coded') BETWEEN 20 AND 120 AS coded, lists('whole') BETWEEN 15 AND 120 AS whole,
	lists('inner_product') BETWEEN 20 AND 120 AS inner_product;
SELECT * FROM ann_check('coded');
SELECT * FROM ann_check('whole');
SELECT * FROM ann_check('inner_product');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(0)) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <=> vec(0)) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <#> vec(0)) s;
SELECT count(*) FROM generate_series(1, 20) i, LATERAL (SELECT id FROM t ORDER BY val <-> vec(i) LIMIT 1) s WHERE id = i;
SELECT count(*) FROM generate_series(1, 20) i, LATERAL (SELECT id FROM t ORDER BY val <=> vec(i) LIMIT 1) s WHERE id = i;

-- Most rows die: lists are merged, and their room is used again
SELECT lists('coded') AS before, pg_relation_size('coded') AS size \gset
DELETE FROM t WHERE id % 50 <> 0;
VACUUM t;
SELECT lists('coded') < :before / 2 AS merged;
SELECT * FROM ann_check('coded');
SELECT * FROM ann_check('whole');
SELECT * FROM ann_check('inner_product');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(0)) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <=> vec(0)) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <#> vec(0)) s;
INSERT INTO t SELECT i, vec(i) FROM generate_series(5001, 9000) i;
SELECT pg_relation_size('coded') <= :size * 1.3 AS reused;
SELECT * FROM ann_check('coded');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(0)) s;

-- All rows die: one list is left
DELETE FROM t;
VACUUM t;
SELECT lists('coded'), lists('whole'), lists('inner_product');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(0)) s;
SELECT * FROM ann_check('coded');
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 300) i;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(0)) s;
SELECT * FROM ann_check('coded');
DROP TABLE t;

-- A few rows that come and go again leave nothing behind
CREATE TABLE t (id int, val vector(8));
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (quantizer = rabitq);
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 5) i;
DELETE FROM t;
VACUUM t;
INSERT INTO t SELECT i, vec(i) FROM generate_series(1, 5) i;
DELETE FROM t;
VACUUM t;
SELECT value FROM ann_index_info('idx') WHERE name = 'segments';
DROP TABLE t;

-- Equal rows cannot be split, and that is not tried with every one of them
CREATE TABLE t (id int, val vector(8));
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (quantizer = rabitq);
INSERT INTO t SELECT i, vec(1) FROM generate_series(1, 3000) i;
SELECT lists('idx');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> vec(0)) s;
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- nor by VACUUM before there are half as many again, though it makes the centre anew
CREATE FUNCTION split_limit(name text) RETURNS int LANGUAGE sql AS
	$$SELECT get_byte(p, o + 16) + 256 * get_byte(p, o + 17)
	FROM (SELECT p, (get_byte(p, 24) + 256 * get_byte(p, 25)) % 32768 AS o
		FROM generate_series(1, pg_relation_size(name) / 8192 - 1) b, get_raw_page(name, b::int) p
		WHERE get_byte(p, 8188) = 16 AND get_byte(p, 8189) = 0) s$$;
CREATE TABLE t (id int, val vector(8));
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (quantizer = rabitq);
INSERT INTO t SELECT i, vec(1) FROM generate_series(1, 200) i;
VACUUM t;
SELECT lists('idx'), split_limit('idx');
INSERT INTO t SELECT i, vec(1) FROM generate_series(201, 250) i;
VACUUM t;
SELECT lists('idx'), split_limit('idx');
DROP TABLE t;

-- Values that are out of line, and an expression
CREATE TABLE t (id int, val real[]);
CREATE INDEX idx ON t USING ivfflat ((val::vector(600)) vector_l2_ops);
INSERT INTO t SELECT i, ARRAY(SELECT hashint4(i * 600 + j) / 2147483648.0 + i % 5 FROM generate_series(1, 600) j)
	FROM generate_series(1, 1000) i;
SELECT lists('idx') > 3 AS split;
SELECT id FROM t ORDER BY val::vector(600) <-> (SELECT val FROM t WHERE id = 77)::vector(600) LIMIT 1;
DELETE FROM t WHERE id % 20 <> 0;
VACUUM t;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val::vector(600) <-> (SELECT val FROM t WHERE id = 100)::vector(600)) s;
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- Pages of centres, seven to a page and one to a page: they are divided as lists
-- come, and freed as they go.  Inserts split what is far too long, VACUUM the rest.
CREATE FUNCTION pages(name text, kind int) RETURNS bigint LANGUAGE sql AS
	$$SELECT count(*) FROM generate_series(1, pg_relation_size(name) / 8192 - 1) b, get_raw_page(name, b::int) p
	WHERE get_byte(p, 8188) = kind AND get_byte(p, 8189) = 0$$;
CREATE TABLE t (id int, val vector(1000));
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops) WITH (lists = 20);
INSERT INTO t SELECT i, ARRAY(SELECT hashint4(i * 10 + j) / 2147483648.0 FROM generate_series(1, 10) j)::real[] ||
	array_fill(hashint4(i % 37) / 2147483648.0, ARRAY[990])::real[] FROM generate_series(1, 3000) i;
SELECT lists('idx') BETWEEN 8 AND 20 AS split;
VACUUM t;
SELECT lists('idx') > 20 AS split, pages('idx', 16) > 3 AS divided, pages('idx', 18) AS groups;
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 77)) s;
DELETE FROM t WHERE id % 50 <> 0;
VACUUM t;
SELECT lists('idx') < 20 AS merged;
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 100)) s;
DROP TABLE t;

CREATE TABLE t (id int, val vector(16000));
CREATE INDEX idx ON t USING ivfflat (val vector_l2_ops);
INSERT INTO t SELECT i, array_fill(i % 5, ARRAY[16000]) FROM generate_series(1, 400) i;
VACUUM t;
SELECT lists('idx'), pages('idx', 16), pages('idx', 18);
SELECT * FROM ann_check('idx');
SELECT count(*) FROM (SELECT FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 77)) s;
DELETE FROM t;
VACUUM t;
SELECT lists('idx'), pages('idx', 16), pages('idx', 18);
SELECT * FROM ann_check('idx');
DROP TABLE t;

-- An inner product that overflows is not a number; the rows are there
CREATE TABLE t (id int, val vector(2));
CREATE INDEX idx ON t USING ivfflat (val vector_ip_ops) WITH (quantizer = rabitq);
INSERT INTO t VALUES (1, '[3e38,3e38]'), (2, '[1,1]'), (3, '[3e38,3e38]');
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <#> '[3e38,-3e38]') s;
SELECT * FROM ann_check('idx');
DROP TABLE t;
DROP FUNCTION lists, pages, vec;
DROP EXTENSION pageinspect;
