"""llama-index-vector-stores-postgres: vector and halfvec, with and without an index."""

import asyncio

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery, VectorStoreQueryMode
from llama_index.vector_stores.postgres import PGVectorStore

from check import *

versions("llama-index-vector-stores-postgres", "llama-index-core", "pgvector")
texts = [f"text {i}" for i in range(300)]
nodes = [TextNode(id_=f"n{i}", text=t, embedding=embed(t), metadata={"n": i, "parity": i % 2},
                  relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"document {i}")}) for i, t in enumerate(texts)]
vectors = [embed(t) for t in texts]


def expected(k, positions=range(300), distance=cosine):
    return [f"n{positions[i]}" for i in nearest(embed("text 7"), k, [vectors[i] for i in positions], distance)]


odd = MetadataFilters(filters=[MetadataFilter(key="parity", value=1, operator=FilterOperator.EQ)])
for table, half, hnsw in (
        ("plain", False, None), ("half", True, None),
        ("hnsw", False, {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 100, "hnsw_dist_method": "vector_cosine_ops"}),
        ("half_hnsw", True, {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 100, "hnsw_dist_method": "halfvec_cosine_ops"})):
    store = PGVectorStore.from_params(host=DSN["host"], port=str(DSN["port"]), database=DSN["dbname"], user=DSN["user"], password=DSN["password"],
                                      table_name=table, schema_name="llama", embed_dim=8, hybrid_search=True, use_halfvec=half, hnsw_kwargs=hnsw)
    store.add(nodes)
    query = VectorStoreQuery(query_embedding=embed("text 7"), similarity_top_k=5)
    result = store.query(query, ivfflat_probes=5)
    check(f"{table}: search", result.ids, expected(5))
    near(f"{table}: similarities", [round(s, 2) for s in result.similarities[:1]], [1.0])
    check(f"{table}: filter", store.query(VectorStoreQuery(query_embedding=embed("text 7"), similarity_top_k=5, filters=odd)).ids, expected(5, range(1, 300, 2)))
    result = store.query(VectorStoreQuery(query_embedding=embed("text 7"), query_str="text 9", mode=VectorStoreQueryMode.HYBRID, similarity_top_k=2))
    check(f"{table}: hybrid", "n7" in result.ids)
    result = store.query(VectorStoreQuery(query_embedding=embed("text 7"), mode=VectorStoreQueryMode.MMR, similarity_top_k=2))
    check(f"{table}: diversity", result.ids[0], "n7")
    store.delete("document 7")
    check(f"{table}: deleted", store.query(query).ids[0], expected(2)[1])

    async def asynchronous():
        found = (await store.aquery(query)).ids
        await store.close()
        return found

    check(f"{table}: asynchronous", asyncio.run(asynchronous())[0], expected(2)[1])
