"""vecs: collections, filters, and every measure with every index."""

import vecs
from vecs import IndexArgsHNSW, IndexArgsIVFFlat, IndexMeasure, IndexMethod

from check import *

versions("vecs", "pgvector")
client = vecs.create_client(url("postgresql+psycopg2"))
check("hnsw is supported", client._supports_hnsw())
items = client.get_or_create_collection(name="items", dimension=8)
items.upsert(records=[(str(i), v, {"n": i}) for i, v in enumerate(MANY)])
check("rows", len(items), 1000)
near("fetch", list(items.fetch(ids=["7"])[0][1]), MANY[7])
near("index operator", list(items["7"][1]), MANY[7])
DISTANCE = {
    IndexMeasure.cosine_distance: cosine, IndexMeasure.l2_distance: math.dist,
    IndexMeasure.max_inner_product: lambda a, b: -sum(x * y for x, y in zip(a, b)),
    IndexMeasure.l1_distance: lambda a, b: sum(abs(x - y) for x, y in zip(a, b)),
}
for method, arguments in ((IndexMethod.hnsw, IndexArgsHNSW(m=16, ef_construction=64)), (IndexMethod.ivfflat, IndexArgsIVFFlat(n_lists=10))):
    for measure, distance in DISTANCE.items():
        if method == IndexMethod.ivfflat and measure == IndexMeasure.l1_distance:
            continue
        items.create_index(method=method, measure=measure, index_arguments=arguments, replace=True)
        name = f"{method.value}, {measure.value}"
        check(f"{name}: indexed", items.is_indexed_for_measure(measure))
        check(f"{name}: search", items.query(data=MANY[5], limit=5, measure=measure, probes=10),
              [str(i) for i in nearest(MANY[5], 5, distance=distance)])
        check(f"{name}: filter", items.query(data=MANY[5], limit=5, measure=measure, filters={"n": {"$lt": 100}}, probes=10),
              [str(i) for i in nearest(MANY[5], 5, MANY[:100], distance)])
check("values", [r[0] for r in items.query(data=MANY[5], limit=1, include_value=True, include_metadata=True)], ["5"])
items.delete(ids=["5"])
check("deleted", len(items), 999)
client.delete_collection("items")
client.disconnect()
