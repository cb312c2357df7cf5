"""Django with pgvector: the migration, fields, indexes, expressions, inspectdb."""

import io

import django
from django.conf import settings

from check import *

versions("Django", "pgvector")
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": DSN["dbname"], "USER": DSN["user"], "PASSWORD": DSN["password"],
                           "HOST": DSN["host"], "PORT": DSN["port"]}},
    INSTALLED_APPS=["django.contrib.postgres"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models import Avg, Sum
from pgvector import HalfVector, SparseVector, Vector
from pgvector.django import (BitField, CosineDistance, HalfVectorField, HammingDistance, HnswIndex, IvfflatIndex, JaccardDistance,
                             L1Distance, L2Distance, MaxInnerProduct, SparseVectorField, VectorExtension, VectorField)

DISTANCE = {"<->": L2Distance, "<#>": MaxInnerProduct, "<=>": CosineDistance, "<+>": L1Distance, "<~>": HammingDistance, "<%>": JaccardDistance}


class Item(models.Model):
    embedding = VectorField(dimensions=3)
    half = HalfVectorField(dimensions=3)
    bits = BitField(length=3)
    sparse = SparseVectorField(dimensions=3)

    class Meta:
        app_label = "app"


class Big(models.Model):
    embedding = VectorField(dimensions=8)

    class Meta:
        app_label = "app"
        indexes = [
            HnswIndex(name="big_hnsw", fields=["embedding"], m=16, ef_construction=64, opclasses=["vector_l2_ops"]),
            IvfflatIndex(name="big_ivfflat", fields=["embedding"], lists=10, opclasses=["vector_cosine_ops"]),
        ]


class Migration(migrations.Migration):
    operations = [VectorExtension()]


state = MigrationLoader(connection, replace_migrations=False).project_state()
with connection.schema_editor() as editor:
    Migration("initial", "app").apply(state, editor)
with connection.schema_editor() as editor:
    editor.create_model(Item)
    editor.create_model(Big)

for i, (vector, bits) in enumerate(zip(VECTORS, BITS)):
    Item(id=i + 1, embedding=vector, half=vector, bits=bits, sparse=SparseVector(vector)).save()
Big.objects.bulk_create([Big(id=i, embedding=v) for i, v in enumerate(MANY)])
item = Item.objects.get(pk=3)
check("values", [list(item.embedding), list(item.half), item.bits, item.sparse], [VECTORS[2], VECTORS[2], BITS[2], SparseVector(VECTORS[2])])

for operator, expected in {**DISTANCES, **BIT_DISTANCES}.items():
    for name in ("embedding", "half", "sparse") if operator in DISTANCES else ("bits",):
        value = {"sparse": SparseVector(VECTORS[0]), "bits": "101"}.get(name, VECTORS[0])
        near(f"{name} {operator}", [i.d for i in Item.objects.annotate(d=DISTANCE[operator](name, value)).order_by("id")], expected)
near("Avg and Sum", [x for v in Item.objects.aggregate(a=Avg("embedding"), s=Sum("half")).values() for x in v], [4 / 3, 4 / 3, 5 / 3, 4, 4, 5])

with connection.cursor() as cursor:
    cursor.execute("SET enable_seqscan = off; SET ivfflat.probes = 10")
query = MANY[5]
check("hnsw", [b.pk for b in Big.objects.order_by(L2Distance("embedding", query))[:5]], nearest(query, 5))
check("ivfflat", [b.pk for b in Big.objects.order_by(CosineDistance("embedding", query))[:5]], nearest(query, 5, distance=cosine))
check("filter", [b.pk for b in Big.objects.filter(pk__lt=100).order_by(L2Distance("embedding", query))[:5]], nearest(query, 5, MANY[:100]))
check("threshold", [b.pk for b in Big.objects.alias(d=L2Distance("embedding", query)).filter(d__lt=0.5).order_by("pk")],
      [i for i, v in enumerate(MANY) if math.dist(v, query) < 0.5])

with connection.cursor() as cursor:
    types = {name: index.get("type") for name, index in connection.introspection.get_constraints(cursor, "app_big").items()}
check("indexes seen", [types["big_hnsw"], types["big_ivfflat"]], ["hnsw", "ivfflat"])
out = io.StringIO()
call_command("inspectdb", "app_item", stdout=out)
check("inspectdb", [f"    {f} = models." in out.getvalue() for f in ("embedding", "half", "sparse")], [True] * 3)
