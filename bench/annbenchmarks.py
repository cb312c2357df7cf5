"""ann for the ann-benchmarks project: copy this file to its ann_benchmarks/algorithms/ann/module.py.

Arguments in its config.yml: the metric ("@metric"), the access method, and its options, such as "m = 16"; query arguments:
a value of the setting that trades time for recall.  Connects as psql does, to a database where ann is installed.
"""
import numpy
import psycopg

from ..base.module import BaseANN

METRICS = {'euclidean': ('<->', 'vector_l2_ops'), 'angular': ('<=>', 'vector_cosine_ops'),
           'dot': ('<#>', 'vector_ip_ops')}
KNOBS = {'hnsw': 'hnsw.ef_search', 'ivfflat': 'ivfflat.probes', 'lsh': 'lsh.target_recall'}


class Ann(BaseANN):
    def __init__(self, metric, method, options=''):
        self._operator, self._class = METRICS[metric]
        self._method, self._options, self._value = method, options, None

    def fit(self, X):
        X = numpy.asarray(X, numpy.float32)
        self._connection = psycopg.connect(autocommit=True)
        cursor = self._connection.cursor()
        cursor.execute('CREATE EXTENSION IF NOT EXISTS ann')
        cursor.execute('DROP TABLE IF EXISTS items')
        cursor.execute(f'CREATE TABLE items (id int, v vector({X.shape[1]}))')
        with cursor.copy('COPY items FROM STDIN') as copy:
            for i, x in enumerate(X):
                copy.write_row((i, text_of(x)))
        options = f'WITH ({self._options})' if self._options else ''
        cursor.execute(f'CREATE INDEX items_v_idx ON items USING {self._method} (v {self._class}) {options}')
        cursor.execute('VACUUM ANALYZE items')
        cursor.execute('SET enable_seqscan = off')
        self._cursor = cursor

    def set_query_arguments(self, value):
        self._value = value
        self._cursor.execute(f'SET {KNOBS[self._method]} = {value}')

    def query(self, q, n):
        self._cursor.execute(f'SELECT id FROM items ORDER BY v {self._operator} %s::vector LIMIT %s',
                             (text_of(q), n), prepare=True)
        return [i for i, in self._cursor.fetchall()]

    def get_memory_usage(self):
        self._cursor.execute("SELECT pg_relation_size('items_v_idx') / 1024")
        return self._cursor.fetchone()[0]

    def done(self):
        self._connection.close()

    def __str__(self):
        return f'Ann({self._method}, {self._options}, {KNOBS[self._method]} = {self._value})'


def text_of(x):
    return '[' + ','.join(map(str, x.tolist())) + ']'
