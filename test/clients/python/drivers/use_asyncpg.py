"""asyncpg with pgvector: binary codecs, prepared statements, COPY of records."""

import asyncio

import asyncpg
from pgvector import HalfVector, SparseVector, Vector
from pgvector.asyncpg import register_vector

from check import *

versions("asyncpg", "pgvector")


async def main():
    conn = await asyncpg.connect(host=DSN["host"], port=DSN["port"], user=DSN["user"], password=DSN["password"], database=DSN["dbname"])
    await conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await register_vector(conn)
    await conn.execute(
        "CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3), many vector[])")
    for vector, bits in zip(VECTORS, BITS):
        await conn.execute(
            "INSERT INTO items (embedding, half, bits, sparse, many) VALUES ($1, $2, $3, $4, $5)",
            Vector(vector), HalfVector(vector), asyncpg.BitString(bits), SparseVector(vector), [Vector(vector)])
    row = await conn.fetchrow("SELECT * FROM items WHERE id = 3")
    check("binary values", [row["half"], row["sparse"], row["bits"].as_string().replace(" ", "")],
          [HalfVector(VECTORS[2]), SparseVector(VECTORS[2]), BITS[2]])
    check("vector and vector[]", [v.to_list() for v in (row["embedding"], row["many"][0])], [VECTORS[2]] * 2)

    for operator, expected in DISTANCES.items():
        for column, value in (("embedding", Vector), ("half", HalfVector), ("sparse", SparseVector)):
            rows = await conn.fetch(f"SELECT {column} {operator} $1 FROM items ORDER BY id", value(VECTORS[0]))
            near(f"{column} {operator}", [row[0] for row in rows], expected)
    for operator, expected in BIT_DISTANCES.items():
        rows = await conn.fetch(f"SELECT bits {operator} $1 FROM items ORDER BY id", asyncpg.BitString("101"))
        near(f"bits {operator}", [row[0] for row in rows], expected)

    await conn.execute("CREATE TABLE big (id int, embedding vector(8))")
    await conn.copy_records_to_table("big", records=[(i, Vector(v)) for i, v in enumerate(MANY)])
    await conn.execute("CREATE INDEX ON big USING hnsw (embedding vector_cosine_ops)")
    await conn.execute("SET enable_seqscan = off")
    statement = await conn.prepare("SELECT id, cosine_distance(embedding, $1) AS d FROM big ORDER BY embedding <=> $1 LIMIT $2")
    for _ in range(7):
        rows = await statement.fetch(Vector(MANY[5]), 5)
    check("hnsw, from the generic plan", [row["id"] for row in rows], nearest(MANY[5], 5, distance=cosine))
    near("its distances", [row["d"] for row in rows], [cosine(MANY[5], MANY[i]) for i in nearest(MANY[5], 5, distance=cosine)])

    # without a codec: text
    plain = await asyncpg.connect(host=DSN["host"], port=DSN["port"], user=DSN["user"], password=DSN["password"], database=DSN["dbname"])
    check("as text without a codec", await plain.fetchval("SELECT embedding FROM items WHERE embedding = $1", str(VECTORS[2])), "[1,1,2]")

asyncio.run(main())
