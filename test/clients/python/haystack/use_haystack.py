"""pgvector-haystack: the document store with each function, exact and hnsw."""

import struct

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever, PgvectorKeywordRetriever
from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore

from check import *

versions("pgvector-haystack", "haystack-ai", "pgvector")
texts = [f"text {i}" for i in range(300)]
vectors = [embed(t) for t in texts]
documents = [Document(id=str(i), content=t, embedding=v, meta={"n": i}) for i, (t, v) in enumerate(zip(texts, vectors))]
DISTANCE = {"cosine_similarity": cosine, "l2_distance": math.dist, "inner_product": lambda a, b: -sum(x * y for x, y in zip(a, b))}

for function, distance in DISTANCE.items():
    for strategy in ("exact_nearest_neighbor", "hnsw"):
        for kind in ("vector", "halfvec"):
            name = f"{function}_{strategy}_{kind}"
            store = PgvectorDocumentStore(
                connection_string=Secret.from_token(url()), table_name=name, embedding_dimension=8, vector_type=kind, vector_function=function,
                recreate_table=True, search_strategy=strategy, hnsw_recreate_index_if_exists=True, hnsw_ef_search=100,
                hnsw_index_creation_kwargs={"m": 16, "ef_construction": 64}, hnsw_index_name=f"{name}_i", keyword_index_name=f"{name}_k")
            store.write_documents(documents, policy=DuplicatePolicy.OVERWRITE)
            retriever = PgvectorEmbeddingRetriever(document_store=store, top_k=5)
            found = retriever.run(query_embedding=embed("text 7"))["documents"]
            check(f"{name}: search", [d.id for d in found], [str(i) for i in nearest(embed("text 7"), 5, vectors, distance)])
            found = retriever.run(query_embedding=embed("text 7"), filters={"field": "meta.n", "operator": "<", "value": 100})["documents"]
            check(f"{name}: filter", [d.id for d in found], [str(i) for i in nearest(embed("text 7"), 5, vectors[:100], distance)])
    near(f"{function}: embeddings come back", store.filter_documents({"field": "id", "operator": "==", "value": "7"})[0].embedding,
         struct.unpack("8e", struct.pack("8e", *vectors[7])))
    check(f"{function}: keywords", PgvectorKeywordRetriever(document_store=store).run(query="text")["documents"] != [])
    store.delete_documents(["7"])
    check(f"{function}: deleted", store.count_documents(), 299)
