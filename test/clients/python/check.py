"""What the programs of this directory share: checks, as TAP, and the data."""

import atexit
import importlib.metadata
import math
import os
import random
import sys
import traceback

DSN = {
    "host": os.environ["PGHOST"],
    "port": int(os.environ["PGPORT"]),
    "user": os.environ["PGUSER"],
    "password": os.environ["PGPASSWORD"],
    "dbname": os.environ["PGDATABASE"],
}


def url(scheme="postgresql"):
    return "{0}://{user}:{password}@{host}:{port}/{dbname}".format(scheme, **DSN)


failures = 0


def check(name, got, expected=True):
    """One line of TAP: is what was got what was expected?"""
    global failures
    if got == expected:
        print("ok -", name)
    else:
        failures += 1
        print("not ok -", name)
        print("#  got:     ", got)
        print("#  expected:", expected)


def near(name, got, expected):
    """The same for numbers, which may differ in the last digits of float4."""
    close = len(got) == len(expected) and all(
        math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in zip(got, expected)
    )
    check(name, got if not close else expected, expected)


def versions(*packages):
    print("#", ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages))


def _died(kind, error, trace):
    print("not ok -", "".join(traceback.format_exception_only(kind, error)).strip().replace("\n", " "))
    for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
        print("# ", line)


sys.excepthook = _died
atexit.register(lambda: failures and os._exit(1))

# Three vectors with known distances from the first
VECTORS = [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [1.0, 1.0, 2.0]]
DISTANCES = {
    "<->": [0, math.sqrt(3), 1],
    "<#>": [-3, -6, -4],
    "<=>": [0, 0, 1 - 4 / math.sqrt(18)],
    "<+>": [0, 3, 1],
}
BITS = ["000", "101", "111"]
BIT_DISTANCES = {"<~>": [2, 0, 1], "<%>": [1, 0, 1 / 3]}

# Enough rows for an index to be worth it, the same in every run
_random = random.Random(42)
MANY = [[_random.uniform(-1, 1) for _ in range(8)] for _ in range(1000)]


def nearest(query, k, rows=MANY, distance=math.dist):
    """Positions of the k rows nearest to a query."""
    return sorted(range(len(rows)), key=lambda i: distance(query, rows[i]))[:k]


def cosine(a, b):
    return 1 - sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


def embed(text):
    """An embedding of a text, out of thin air: the same for the same text."""
    noise = random.Random(text)
    return [noise.uniform(-1, 1) for _ in range(8)]
