"""SQLAlchemy with pgvector: the four types, every operator, indexes, reflection."""

import pgvector.psycopg
import pgvector.psycopg2
from pgvector import HalfVector, SparseVector
from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR, avg, sum
from sqlalchemy import ARRAY, Column, Index, Integer, MetaData, Table, cast, create_engine, event, func, inspect, select, text

from check import *

versions("SQLAlchemy", "pgvector")
METHODS = {"<->": "l2_distance", "<#>": "max_inner_product", "<=>": "cosine_distance", "<+>": "l1_distance",
           "<~>": "hamming_distance", "<%>": "jaccard_distance"}

for driver in ("psycopg", "psycopg2"):
    engine = create_engine(url(f"postgresql+{driver}"))
    metadata = MetaData()
    items = Table("items", metadata, Column("id", Integer, primary_key=True), Column("embedding", VECTOR(3)), Column("half", HALFVEC(3)),
                  Column("bits", BIT(3)), Column("sparse", SPARSEVEC(3)), Column("many", ARRAY(VECTOR(3), dimensions=1)), Column("any", VECTOR))
    big = Table("big", metadata, Column("id", Integer, primary_key=True), Column("embedding", VECTOR(8)))
    Index("big_hnsw", big.c.embedding, postgresql_using="hnsw", postgresql_with={"m": 16, "ef_construction": 64},
          postgresql_ops={"embedding": "vector_l2_ops"})
    Index("big_ivfflat", big.c.embedding, postgresql_using="ivfflat", postgresql_with={"lists": 10},
          postgresql_ops={"embedding": "vector_cosine_ops"})
    Index("big_half", cast(big.c.embedding, HALFVEC(8)).label("half"), postgresql_using="hnsw", postgresql_ops={"half": "halfvec_l2_ops"})
    Index("big_bits", func.cast(func.binary_quantize(big.c.embedding), BIT(8)).label("bits"), postgresql_using="hnsw",
          postgresql_ops={"bits": "bit_hamming_ops"})

    with engine.begin() as conn:
        conn.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    # arrays need the types of the driver
    if driver == "psycopg":
        event.listen(engine, "connect", lambda connection, _: pgvector.psycopg.register_vector(connection))
    else:
        event.listen(engine, "connect", lambda connection, _: pgvector.psycopg2.register_vector(connection, arrays=True))
    engine.dispose()
    metadata.drop_all(engine)
    metadata.create_all(engine)

    with engine.begin() as conn:
        conn.execute(items.insert(), [
            {"id": i + 1, "embedding": v, "half": v, "bits": b, "sparse": SparseVector(v), "many": [v, v], "any": v + v}
            for i, (v, b) in enumerate(zip(VECTORS, BITS))])
        conn.execute(big.insert(), [{"id": i, "embedding": v} for i, v in enumerate(MANY)])

    with engine.connect() as conn:
        row = conn.execute(select(items).where(items.c.id == 3)).one()
        check(f"{driver}: values", tuple(row[1:]), (VECTORS[2], HalfVector(VECTORS[2]).to_list(), BITS[2], SparseVector(VECTORS[2]),
                                                    [VECTORS[2]] * 2, VECTORS[2] * 2))
        for operator, expected in {**DISTANCES, **BIT_DISTANCES}.items():
            for name in ("embedding", "half", "sparse") if operator in DISTANCES else ("bits",):
                column = items.c[name]
                value = {"sparse": SparseVector(VECTORS[0]), "bits": "101"}.get(name, VECTORS[0])
                rows = conn.execute(select(getattr(column, METHODS[operator])(value)).order_by(items.c.id)).scalars().all()
                near(f"{driver}: {name} {operator}", rows, expected)
        row = conn.execute(select(avg(items.c.embedding), sum(items.c.half))).one()
        near(f"{driver}: avg and sum", row[0] + row[1], [4 / 3, 4 / 3, 5 / 3, 4, 4, 5])

        conn.execute(text("SET LOCAL enable_seqscan = off"))
        conn.execute(text("SET LOCAL ivfflat.probes = 10"))
        query = MANY[5]
        ids = conn.execute(select(big.c.id).order_by(big.c.embedding.l2_distance(query)).limit(5)).scalars().all()
        check(f"{driver}: hnsw", ids, nearest(query, 5))
        ids = conn.execute(select(big.c.id).order_by(big.c.embedding.cosine_distance(query)).limit(5)).scalars().all()
        check(f"{driver}: ivfflat", ids, nearest(query, 5, distance=cosine))
        distance = big.c.embedding.l2_distance(query).label("distance")
        ids = conn.execute(select(big.c.id, distance).where(big.c.id % 10 == 3).order_by(distance).limit(5)).scalars().all()
        check(f"{driver}: filter, ordered by an alias", ids, [3 + 10 * i for i in nearest(query, 5, MANY[3::10])])
        ids = conn.execute(select(big.c.id).where(big.c.embedding.l2_distance(query) < 0.5).order_by(big.c.id)).scalars().all()
        check(f"{driver}: threshold", ids, [i for i, v in enumerate(MANY) if math.dist(v, query) < 0.5])

    reflected = {c["name"]: c["type"] for c in inspect(engine).get_columns("items")}
    check(f"{driver}: reflected types", [type(reflected[c]) for c in ("embedding", "half", "sparse")], [VECTOR, HALFVEC, SPARSEVEC])
    check(f"{driver}: reflected dimensions", [int(reflected["embedding"].dim), int(reflected["half"].dim), reflected["any"].dim], [3, 3, None])
    check(f"{driver}: reflected array", repr(reflected["many"].item_type.__class__.__name__), "'VECTOR'")
    options = {i["name"]: i["dialect_options"] for i in inspect(engine).get_indexes("big")}
    check(f"{driver}: reflected index", [options["big_hnsw"]["postgresql_using"], {k: int(v) for k, v in options["big_hnsw"]["postgresql_with"].items()}],
          ["hnsw", {"m": 16, "ef_construction": 64}])
    engine.dispose()
