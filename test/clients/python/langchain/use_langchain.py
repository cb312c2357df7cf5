"""langchain-postgres: PGVector, and PGVectorStore with both of its indexes."""

import warnings

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from check import *

warnings.simplefilter("ignore")
from langchain_postgres import Column, PGEngine, PGVector, PGVectorStore
from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig
from langchain_postgres.v2.indexes import DistanceStrategy, HNSWIndex, HNSWQueryOptions, IVFFlatIndex, IVFFlatQueryOptions

versions("langchain-postgres", "langchain-core", "pgvector")


class Embedder(Embeddings):
    def embed_documents(self, texts):
        return [embed(t) for t in texts]

    def embed_query(self, text):
        return embed(text)


texts = [f"text {i}" for i in range(300)]
vectors = [embed(t) for t in texts]
documents = [Document(page_content=t, metadata={"n": i, "parity": i % 2}) for i, t in enumerate(texts)]


def contents(found):
    return [d.page_content for d in found]


def expected(k, positions=range(300), distance=cosine, text="text 7"):
    rows = [vectors[i] for i in positions]
    return [texts[positions[i]] for i in nearest(embed(text), k, rows, distance)]


for length in (None, 8):
    store = PGVector(embeddings=Embedder(), collection_name=f"c{length}", connection=url("postgresql+psycopg"), embedding_length=length,
                     use_jsonb=True, pre_delete_collection=True)
    store.add_documents(documents, ids=[str(i) for i in range(300)])
    check(f"PGVector({length}): search", contents(store.similarity_search("text 7", k=5)), expected(5))
    check(f"PGVector({length}): filter", contents(store.similarity_search("text 7", k=5, filter={"parity": {"$eq": 0}})), expected(5, range(0, 300, 2)))
    check(f"PGVector({length}): scores", [round(s, 5) for _, s in store.similarity_search_with_score("text 7", k=2)],
          [round(cosine(embed("text 7"), embed(t)), 5) + 0.0 for t in expected(2)])
    check(f"PGVector({length}): diversity", contents(store.max_marginal_relevance_search("text 7", k=3))[0], "text 7")
    store.delete(["7"])
    check(f"PGVector({length}): deleted", contents(store.similarity_search("text 7", k=1)), expected(2)[1:])
    store.drop_tables()

engine = PGEngine.from_connection_string(url("postgresql+asyncpg"))
for name, index, options, distance in (
        ("hnsw", HNSWIndex(name="by_hnsw", m=16, ef_construction=64), HNSWQueryOptions(ef_search=100), cosine),
        ("ivfflat", IVFFlatIndex(name="by_ivfflat", lists=10, distance_strategy=DistanceStrategy.EUCLIDEAN), IVFFlatQueryOptions(probes=10), math.dist)):
    engine.init_vectorstore_table(table_name=name, vector_size=8, metadata_columns=[Column("n", "INTEGER"), Column("parity", "INTEGER")])
    store = PGVectorStore.create_sync(engine=engine, table_name=name, embedding_service=Embedder(), metadata_columns=["n", "parity"],
                                      distance_strategy=index.distance_strategy, index_query_options=options)
    store.add_documents(documents)
    store.apply_vector_index(index)
    check(f"PGVectorStore, {name}: valid", store.is_valid_index(index.name))
    check(f"PGVectorStore, {name}: search", contents(store.similarity_search("text 7", k=5)), expected(5, distance=distance))
    check(f"PGVectorStore, {name}: filter", contents(store.similarity_search("text 7", k=5, filter={"parity": 1})), expected(5, range(1, 300, 2), distance))
    check(f"PGVectorStore, {name}: diversity", contents(store.max_marginal_relevance_search("text 7", k=3))[0], "text 7")
    store.reindex(index.name)
    check(f"PGVectorStore, {name}: after REINDEX", contents(store.similarity_search("text 8", k=1)), ["text 8"])
    store.drop_vector_index(index.name)
    check(f"PGVectorStore, {name}: index dropped", store.is_valid_index(index.name), False)
