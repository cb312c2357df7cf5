"""psycopg2 with pgvector: everything as text, lists as ARRAY[...]."""

import numpy as np
import psycopg2
from pgvector import HalfVector, SparseVector
from pgvector.psycopg2 import register_vector

from check import *

versions("psycopg2-binary", "pgvector")
conn = psycopg2.connect(**DSN)
conn.autocommit = True
cur = conn.cursor()


def fetch(query, values=None):
    cur.execute(query, values)
    return cur.fetchall()


cur.execute("CREATE EXTENSION IF NOT EXISTS vector")
register_vector(conn, arrays=True)
cur.execute("CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3), many vector[])")
for vector, bits in zip(VECTORS, BITS):
    cur.execute(
        "INSERT INTO items (embedding, half, bits, sparse, many) VALUES (%s, %s, %s, %s, %s::vector[])",
        (np.array(vector), HalfVector(vector), bits, SparseVector(vector), [np.array(vector)]))
cur.execute("INSERT INTO items (embedding, half, sparse) VALUES (%s, %s, %s)", ([0.1, 2, 3],) * 3)
check("a list is an array of numeric", fetch("SELECT embedding::text FROM items WHERE id = 4"), [("[0.1,2,3]",)])
row = fetch("SELECT embedding, half, sparse, many FROM items WHERE id = 3")[0]
check("values read", [row[0].to_list(), row[1], row[2], len(row[3])],
      [VECTORS[2], HalfVector(VECTORS[2]), SparseVector(VECTORS[2]), 1])

for operator, expected in DISTANCES.items():
    for column, value in (("embedding", np.array), ("half", HalfVector), ("sparse", SparseVector)):
        rows = fetch(f"SELECT {column} {operator} %s FROM items WHERE id <= 3 ORDER BY id", (value(VECTORS[0]),))
        near(f"{column} {operator}", [row[0] for row in rows], expected)
for operator, expected in BIT_DISTANCES.items():
    rows = fetch(f"SELECT bits {operator.replace('%', '%%')} %s FROM items WHERE id <= 3 ORDER BY id", ("101",))
    near(f"bits {operator}", [row[0] for row in rows], expected)

cur.execute("CREATE TABLE big (id int, embedding vector(8))")
cur.executemany("INSERT INTO big VALUES (%s, %s)", [(i, np.array(v)) for i, v in enumerate(MANY)])
cur.execute("CREATE INDEX ON big USING hnsw (embedding vector_l2_ops)")
cur.execute("SET enable_seqscan = off")
query = np.array(MANY[5])
check("hnsw", fetch("SELECT id FROM big ORDER BY embedding <-> %s LIMIT 5", (query,)), [(i,) for i in nearest(MANY[5], 5)])
check("CAST of an array", fetch("SELECT id FROM big ORDER BY embedding <-> CAST(%s AS vector(8)) LIMIT 1", (MANY[5],)), [(5,)])
