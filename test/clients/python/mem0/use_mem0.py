"""mem0: its PGVector store, with a column called vector and arrays of float8."""

import os
import uuid

os.environ["MEM0_TELEMETRY"] = "False"
from mem0.vector_stores.pgvector import PGVector

from check import *

versions("mem0ai", "psycopg")
ids = [str(uuid.UUID(int=i)) for i in range(300)]
texts = [f"text {i}" for i in range(300)]
vectors = [embed(t) for t in texts]
for hnsw in (False, True):
    store = PGVector(dbname=DSN["dbname"], collection_name=f"memories_{hnsw}".lower(), embedding_model_dims=8, user=DSN["user"], password=DSN["password"],
                     host=DSN["host"], port=DSN["port"], diskann=False, hnsw=hnsw)
    store.insert(vectors, payloads=[{"data": t, "user_id": str(i % 2)} for i, t in enumerate(texts)], ids=ids)
    name = f"hnsw: {hnsw}"
    found = store.search("text 7", embed("text 7"), top_k=5)
    check(f"{name}: search", [f.id for f in found], [ids[i] for i in nearest(embed("text 7"), 5, vectors, cosine)])
    found = store.search("text 7", embed("text 7"), top_k=5, filters={"user_id": "1"})
    check(f"{name}: filter", [f.id for f in found], [ids[1 + 2 * i] for i in nearest(embed("text 7"), 5, vectors[1::2], cosine)])
    store.update(ids[7], vector=embed("other"), payload={"data": "other"})
    check(f"{name}: updated", store.search("other", embed("other"), top_k=1)[0].payload["data"], "other")
    store.delete(ids[7])
    check(f"{name}: deleted", store.get(ids[7]), None)
    check(f"{name}: listed", len(store.list(top_k=1000)[0]), 299)
    store.delete_col()
