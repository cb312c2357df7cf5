"""psycopg 3 with pgvector: text and binary parameters, COPY, arrays, every operator."""

import numpy as np
import psycopg
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector.psycopg import register_vector

from check import *

versions("psycopg", "pgvector")
conn = psycopg.connect(**DSN, autocommit=True)
conn.execute('SET "hnsw.ef_search" = "100"')
conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
register_vector(conn)
conn.execute(
    "CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3), many vector(3)[])"
)

for vector, bits in zip(VECTORS, BITS):
    for form in ("%s", "%b", "%t"):
        conn.execute(
            f"INSERT INTO items (embedding, half, bits, sparse, many) VALUES ({form}, {form}, {form}, {form}, {form})",
            (Vector(vector), HalfVector(vector), Bit(bits), SparseVector(vector), [Vector(vector), Vector(VECTORS[0])]),
        )
conn.execute("INSERT INTO items (embedding, half, sparse) VALUES (%s, %s, %s)", ([1.5, 2.0, 3.0],) * 3)
conn.execute("INSERT INTO items (embedding) VALUES (%s)", ([1, 2, 3],))
conn.execute("INSERT INTO items (embedding) VALUES (%s)", (np.array([1, 2, 3]),))
check("text, binary and arrays inserted", conn.execute("SELECT count(*) FROM items").fetchone()[0], 12)

for binary in (False, True):
    row = conn.cursor(binary=binary).execute("SELECT embedding, half, bits, sparse, many FROM items WHERE id = 7").fetchone()
    form = "binary" if binary else "text"
    check(f"vector read as {form}", row[0].to_list(), VECTORS[2])
    check(f"halfvec read as {form}", row[1], HalfVector(VECTORS[2]))
    check(f"bit read as {form}", Bit.from_binary(row[2]).to_text() if binary else row[2], BITS[2])
    check(f"sparsevec read as {form}", row[3], SparseVector(VECTORS[2]))
    check(f"vector[] read as {form}", len(row[4]), 2)

for operator, expected in DISTANCES.items():
    for column, value in (("embedding", Vector), ("half", HalfVector), ("sparse", SparseVector)):
        rows = conn.execute(f"SELECT {column} {operator} %s FROM items WHERE id IN (1, 4, 7) ORDER BY id", (value(VECTORS[0]),))
        near(f"{column} {operator}", [row[0] for row in rows], expected)
for operator, expected in BIT_DISTANCES.items():
    rows = conn.execute(f"SELECT bits {operator.replace('%', '%%')} %b FROM items WHERE id IN (1, 4, 7) ORDER BY id", (Bit("101"),))
    near(f"bits {operator}", [row[0] for row in rows], expected)
check("exactly sqrt(3)", conn.execute("SELECT embedding <-> '[2,2,2]' FROM items WHERE id = 1").fetchone()[0], math.sqrt(3))
check("exactly pgvector's cosine", conn.execute("SELECT embedding <=> '[1,1,2]' FROM items WHERE id = 1").fetchone()[0], 0.05719095841793653)
row = conn.execute("SELECT avg(embedding), sum(embedding) FROM items WHERE id IN (1, 4)").fetchone()
check("avg and sum", [v.to_list() for v in row], [[1.5] * 3, [3.0] * 3])

conn.execute("CREATE TABLE big (id int, embedding vector(8), half halfvec(8), sparse sparsevec(8), bits bit(8))")
with conn.cursor().copy("COPY big FROM STDIN WITH (FORMAT BINARY)") as copy:
    copy.set_types(["int4", "vector", "halfvec", "sparsevec", "bit"])
    for i, v in enumerate(MANY):
        copy.write_row((i, Vector(v), HalfVector(v), SparseVector(v), Bit([x > 0 for x in v])))
check("COPY BINARY in", conn.execute("SELECT count(*) FROM big WHERE binary_quantize(embedding) = bits").fetchone()[0], 1000)
with conn.cursor().copy("COPY (SELECT id, embedding FROM big ORDER BY id) TO STDOUT WITH (FORMAT BINARY)") as copy:
    copy.set_types(["int4", "vector"])
    near("COPY BINARY out", [x for row in copy.rows() for x in row[1].to_list()], [x for v in MANY for x in v])
with conn.cursor().copy("COPY items (embedding) FROM STDIN") as copy:
    copy.write_row([Vector([7, 8, 9])])
check("COPY in text", conn.execute("SELECT count(*) FROM items WHERE embedding = '[7,8,9]'").fetchone()[0], 1)

conn.execute("CREATE INDEX ON big USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)")
conn.execute("CREATE INDEX ON big USING ivfflat (embedding vector_cosine_ops) WITH (lists = 10)")
conn.execute("CREATE INDEX ON big USING hnsw ((embedding::halfvec(8)) halfvec_l2_ops)")
conn.execute("CREATE INDEX ON big USING hnsw ((binary_quantize(embedding)::bit(8)) bit_hamming_ops)")
conn.execute("CREATE INDEX ON big USING hnsw (sparse sparsevec_l2_ops)")
conn.execute("SET enable_seqscan = off; SET ivfflat.probes = 10")
query = Vector(MANY[5])
for prepare in (None, True):
    rows = conn.execute("SELECT id FROM big ORDER BY embedding <-> %b LIMIT 5", (query,), prepare=prepare).fetchall()
    check(f"hnsw, prepared: {prepare}", [r[0] for r in rows], nearest(MANY[5], 5))
rows = conn.execute("SELECT id FROM big ORDER BY embedding <=> %s LIMIT 5", (query,)).fetchall()
check("ivfflat", [r[0] for r in rows], nearest(MANY[5], 5, distance=cosine))
rows = conn.execute("SELECT id FROM big WHERE id %% 10 = 3 ORDER BY embedding <-> %s LIMIT 5", (query,)).fetchall()
check("filter", [r[0] for r in rows], [3 + 10 * i for i in nearest(MANY[5], 5, MANY[3::10])])
rows = conn.execute(
    "SELECT id FROM (SELECT * FROM big ORDER BY binary_quantize(embedding)::bit(8) <~> binary_quantize(%s) LIMIT 200) b ORDER BY embedding <-> %s LIMIT 1",
    (query, query)).fetchall()
check("bits, then vectors", rows, [(5,)])

try:
    conn.execute("INSERT INTO items (embedding) VALUES ('[1,2]')")
    check("a wrong dimension is refused", False)
except psycopg.errors.DataException as error:
    check("a wrong dimension is refused", str(error), "expected 3 dimensions, not 2")
