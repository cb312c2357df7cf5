"""What is compared: indexes of PostgreSQL extensions, and indexes of libraries in this process.

A contestant holds one index of one data set.  All of them have

    available() -> bool                         can it be had here?
    takes(data) -> bool                         does it know the metric, and so many dimensions?
    load(data)
    build() -> seconds                          afterwards, .memory is what it took, in bytes, or None
    size() -> bytes
    values() -> [value]                         of the setting that trades time for recall, in order of effort
    find(value) -> [[id]]                       the k nearest to each query
    rate(value, seconds) -> (queries per second, [milliseconds])    0 seconds: each query once
    drop()

and those of PostgreSQL what measure.py asks of nobody else.  Another extension is another line in CONTESTANTS.
"""
import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy

from datasets import unit

try:
    import psycopg
except ImportError:
    import psycopg2 as psycopg

OPERATORS = {'l2': '<->', 'ip': '<#>', 'cosine': '<=>', 'hamming': '<~>', 'jaccard': '<%>'}
DENSE = ('l2', 'ip', 'cosine')
EFFORTS = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 1000]
PROBES = [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, 180, 256, 360, 512]
TARGETS = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99]


@contextlib.contextmanager
def connect(database, settings=()):
    """A cursor that commits by itself.  Other parameters are those of libpq's environment."""
    connection = psycopg.connect(dbname=database, options=options_of(settings))
    try:
        connection.autocommit = True
        yield connection.cursor()
    finally:
        connection.close()


def options_of(settings):
    return ' '.join(f'-c {name}={value}' for name, value in dict(settings).items())


def fetch(cursor, sql, values=None):
    cursor.execute(sql, values)
    return cursor.fetchone()[0]


def copy_in(cursor, table, ids, tags, rows, bits):
    """COPY BINARY of (id, tag, v), v being a vector or a bit string."""
    dims = rows.shape[1]
    if bits:
        value = [('bits', '>i4'), ('x', 'u1', (dims + 7) // 8)]
    else:
        value = [('dims', '>i2'), ('unused', '>i2'), ('x', '>f4', dims)]
    value = numpy.dtype(value)
    record = numpy.dtype([('fields', '>i2'), ('id_size', '>i4'), ('id', '>i4'), ('tag_size', '>i4'), ('tag', '>i4'),
                          ('size', '>i4'), ('v', value)])
    for start in range(0, len(rows), 16384):
        some = slice(start, start + 16384)
        chunk = numpy.zeros(len(rows[some]), record)
        chunk['fields'], chunk['id_size'], chunk['tag_size'], chunk['size'] = 3, 4, 4, value.itemsize
        chunk['id'], chunk['tag'] = ids[some], tags[some]
        if bits:
            chunk['v']['bits'], chunk['v']['x'] = dims, numpy.packbits(rows[some] > 0, axis=1)
        else:
            chunk['v']['dims'], chunk['v']['x'] = dims, rows[some]
        bytes_of = b'PGCOPY\n\xff\r\n\0' + bytes(8) + chunk.tobytes() + b'\xff\xff'
        command = f'COPY {table} FROM STDIN WITH (FORMAT binary)'
        if hasattr(cursor, 'copy_expert'):
            cursor.copy_expert(command, io.BytesIO(bytes_of))
        else:
            with cursor.copy(command) as copy:
                copy.write(bytes_of)


class MemoryWatch(threading.Thread):
    """Peak memory of a backend and its workers without the server's shared buffers, in bytes; None if the kernel does
    not tell, as for a server of another user or machine."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, None, threading.Event()

    def run(self):
        pause = 0.05
        with connect('postgres') as cursor:
            while not self.done.wait(pause):
                cursor.execute('SELECT pid FROM pg_stat_activity WHERE %s IN (pid, leader_pid)', (self.pid,))
                start = time.perf_counter()
                try:
                    now = sum(map(self.memory_of, [pid for pid, in cursor.fetchall()]))
                except OSError:
                    continue
                # who is looked at is stopped meanwhile, and shared buffers take long
                pause = max(0.05, 50 * (time.perf_counter() - start))
                self.peak = max(self.peak or 0, now)

    @staticmethod
    def memory_of(pid):
        total, counts = 0, False
        with open(f'/proc/{pid}/smaps') as file:
            for line in file:
                if line.startswith('Pss:'):
                    total += int(line.split()[1]) * 1024 if counts else 0
                elif '-' in line.split(' ', 1)[0]:
                    counts = not any(name in line for name in ('/dev/zero', '/SYSV', 'hugepage'))
        return total

    def stop(self):
        self.done.set()
        self.join()
        return self.peak


class Postgres:
    """An index of an extension, in a database of its own.  Without a definition: a sequential scan."""
    storage = 'plain'           # of the column, where a row fits a page

    def __init__(self, name, extension, definition=None, knob=None, choices=(None,), metrics=tuple(OPERATORS),
                 iterative=None, most_dims=16000):
        self.name, self.extension, self.definition = name, extension, definition
        self.knob, self.choices, self.metrics = knob, list(choices), metrics
        self.iterative, self.most_dims = iterative, most_dims
        self.database = 'bench_' + name.replace(' ', '_')
        self.settings = {'jit': 'off', 'max_parallel_workers_per_gather': 0}
        self.settings['enable_seqscan' if definition else 'enable_indexscan'] = 'off'
        self.memory = None

    def available(self):
        with connect('postgres') as cursor:
            cursor.execute('SELECT comment FROM pg_available_extensions WHERE name = %s', (self.extension,))
            found = cursor.fetchone()
            # the name of pgvector may be taken by ann
            return found is not None and (self.extension == 'ann' or 'ann' not in (found[0] or '').split())

    def takes(self, data):
        return data.metric in self.metrics and (data.bits or data.dims <= self.most_dims)

    def open(self, value=None, settings=(), database=None):
        chosen = {self.knob: value} if value is not None else {}
        return connect(database or self.database, {**self.settings, **chosen, **dict(settings)})

    def load(self, data):
        self.data = data
        kind = f"{'bit' if data.bits else 'vector'}({data.dims})"
        self.drop()
        with connect('postgres') as cursor:
            cursor.execute(f'CREATE DATABASE {self.database}')
        with self.open() as cursor:
            cursor.execute(f'CREATE EXTENSION {self.extension} CASCADE')
            for table in ('items', 'queries', 'extra'):
                cursor.execute(f'CREATE TABLE {table} (id int PRIMARY KEY, tag int, v {kind}) '
                               'WITH (autovacuum_enabled = off)')
                if data.dims * 4 < 8000:
                    cursor.execute(f'ALTER TABLE {table} ALTER v SET STORAGE {self.storage}')
            ids = numpy.arange(data.rows + len(data.extra))
            copy_in(cursor, 'items', ids[:data.rows], data.tags[:data.rows], data.base, data.bits)
            copy_in(cursor, 'extra', ids[data.rows:], data.tags[data.rows:], data.extra, data.bits)
            self.copy_queries(cursor, 'queries', data.queries)
            cursor.execute('VACUUM ANALYZE items')

    def copy_queries(self, cursor, table, queries):
        ids = numpy.arange(len(queries))
        copy_in(cursor, table, ids, ids, queries, self.data.bits)
        cursor.execute(f'VACUUM ANALYZE {table}')

    def build(self, settings=()):
        if not self.definition:
            return 0
        kind = 'bit' if self.data.bits else 'vector'
        definition = self.definition.format(ops=f'{kind}_{self.data.metric}_ops', lists=lists_for(self.data))
        with self.open(settings=settings) as cursor:
            cursor.execute('DROP INDEX IF EXISTS items_v_idx')
            cursor.execute('CHECKPOINT')
            watch = MemoryWatch(fetch(cursor, 'SELECT pg_backend_pid()'))
            watch.start()
            start = time.perf_counter()
            cursor.execute(f'CREATE INDEX items_v_idx ON items USING {definition}')
            seconds = time.perf_counter() - start
            self.memory = watch.stop()
            cursor.execute('EXPLAIN ' + self.query('0'))
            if not any('items_v_idx' in line for line, in cursor.fetchall()):
                sys.exit(f'{self.name}: the planner does not use the index')
        return seconds

    def size(self):
        with self.open() as cursor:
            return fetch(cursor, "SELECT pg_relation_size('items_v_idx')") if self.definition else 0

    def table_size(self):
        with self.open() as cursor:
            return fetch(cursor, "SELECT pg_table_size('items')")

    def values(self):
        return [value for value in self.choices if value is None or self.knob != 'ivfflat.probes' or
                value <= lists_for(self.data)]

    def query(self, number, below=None, table='queries', k=None, value=None):
        """The statement that is measured; with the text of a value for EXPLAIN, so that nothing else counts."""
        where = f'WHERE tag < {below}' if below else ''
        value = value or f'(SELECT v FROM {table} WHERE id = {number})'
        return f'SELECT id FROM items {where} ORDER BY v {OPERATORS[self.data.metric]} {value} LIMIT {k or self.data.k}'

    def find(self, value, below=None, settings=(), table='queries', k=None, count=sys.maxsize):
        found = []
        with self.open(value, settings) as cursor:
            cursor.execute(f'PREPARE find(int) AS {self.query("$1", below, table, k)}')
            for i in range(min(count, fetch(cursor, f'SELECT count(*) FROM {table}'))):
                cursor.execute(f'EXECUTE find({i})')
                found.append([row[0] for row in cursor.fetchall()])
        return found

    def texts(self, queries):
        for x in queries:
            if self.data.bits:
                yield "B'" + ''.join('1' if bit else '0' for bit in x) + "'"
            else:
                yield "'[" + ','.join(map(str, x.tolist())) + "]'"

    def explain(self, cursor, text, below=None, k=None):
        """(pages, pages not in shared buffers, milliseconds) of one search."""
        sql = 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' + self.query(None, below, k=k, value=text)
        result = fetch(cursor, sql)[0]
        read = result['Plan']['Shared Read Blocks']
        return result['Plan']['Shared Hit Blocks'] + read, read, result['Execution Time']

    def pages(self, value, below=None, settings=(), queries=None, k=None, count=100):
        queries = self.data.queries if queries is None else queries
        with self.open(value, settings) as cursor:
            return float(numpy.mean([self.explain(cursor, text, below, k)[0] for text in self.texts(queries[:count])]))

    def pgbench(self, script, arguments, settings):
        """(transactions per second, [milliseconds])"""
        with tempfile.TemporaryDirectory() as folder:
            with open(f'{folder}/script', 'w') as file:
                file.write(script)
            done = subprocess.run(
                ['pgbench', '-n', '-M', 'prepared', '-f', f'{folder}/script', '-l', f'--log-prefix={folder}/log',
                 *map(str, arguments), self.database], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=dict(os.environ, PGOPTIONS=options_of({**self.settings, **dict(settings)})))
            rates = [line.split()[2] for line in done.stdout.splitlines() if line.startswith('tps = ')]
            if done.returncode or not rates:
                sys.exit(f'{self.name}: pgbench: {done.stderr}')
            taken = [int(line.split()[2]) / 1000 for name in os.listdir(folder) if name.startswith('log')
                     for line in open(f'{folder}/{name}')]
        return float(rates[-1]), taken

    def rate(self, value, seconds, clients=1, below=None, settings=(), sql=None):
        chosen = {self.knob: value} if value is not None else {}
        script = f'\\set i (:i + 1) % {len(self.data.queries)}\n{sql or self.query(":i", below)};\n'
        length = ['-T', seconds] if seconds else ['-t', len(self.data.queries)]
        return self.pgbench(script, ['-D', 'i=0', '-c', clients, '-j', clients, *length], {**chosen, **dict(settings)})

    def insert(self, first, count, clients):
        """Rows from extra, one in a transaction: (rows per second, bytes of WAL per row)."""
        share = count // clients
        script = (f'\\set n :n + 1\n\\set i {self.data.rows + first} + :client_id * {share} + :n\n'
                  'INSERT INTO items SELECT * FROM extra WHERE id = :i;\n')
        with self.open() as cursor:
            cursor.execute('CHECKPOINT')
            before = fetch(cursor, 'SELECT pg_current_wal_insert_lsn()')
            rate, _ = self.pgbench(script, ['-D', 'n=-1', '-c', clients, '-j', clients, '-t', share],
                                   {'synchronous_commit': 'off', 'enable_seqscan': 'on', 'enable_indexscan': 'on'})
            wal = fetch(cursor, 'SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)', (before,))
        return rate, float(wal) / (share * clients)

    def vacuum(self, first_tag, tags):
        """Delete the rows with those tags; VACUUM: (rows deleted, seconds, bytes of WAL)."""
        with self.open() as cursor:
            cursor.execute('DELETE FROM items WHERE tag >= %s AND tag < %s', (first_tag, first_tag + tags))
            deleted = cursor.rowcount
            cursor.execute('CHECKPOINT')
            before = fetch(cursor, 'SELECT pg_current_wal_insert_lsn()')
            start = time.perf_counter()
            cursor.execute('VACUUM (INDEX_CLEANUP ON) items')
            seconds = time.perf_counter() - start
            wal = fetch(cursor, 'SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)', (before,))
        return deleted, seconds, float(wal)

    def cold(self, value, count, restart):
        """[(pages, pages read, milliseconds)] of the first searches after a restart, by the user's command, or else in a
        copy of the database, of which shared buffers have nothing."""
        database = self.database
        if restart:
            subprocess.run(restart, shell=True, check=True)
        else:
            database += '_cold'
            with connect('postgres') as cursor:
                cursor.execute(f'CREATE DATABASE {database} TEMPLATE {self.database} STRATEGY file_copy')
        with self.open(value, database=database) as cursor:
            seen = [self.explain(cursor, text) for text in self.texts(self.data.queries[:count])]
        if not restart:
            drop_database(database)
        return seen

    def drop(self):
        drop_database(self.database)


def drop_database(database):
    with connect('postgres') as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS {database} WITH (FORCE)')


def lists_for(data):
    return max(1, round(data.rows ** 0.5))


class Library:
    """What indexes in this process share; one thread."""
    module = None
    metrics = DENSE
    memory = None

    def available(self):
        return importlib.util.find_spec(self.module) is not None

    def takes(self, data):
        return data.metric in self.metrics

    def load(self, data):
        self.data = data

    def values(self):
        return self.choices

    def find(self, value):
        self.set(value)
        return [[i for i in self.search(query) if i >= 0] for query in self.data.queries]

    def rate(self, value, seconds):
        self.set(value)
        queries, taken, end = self.data.queries, [], time.perf_counter() + seconds
        while (now := time.perf_counter()) < end or len(taken) < len(queries) and not seconds:
            self.search(queries[len(taken) % len(queries)])
            taken.append((time.perf_counter() - now) * 1000)
        return len(taken) * 1000 / sum(taken), taken

    def drop(self):
        self.index = self.data = None


class Hnswlib(Library):
    name, module, choices = 'hnswlib', 'hnswlib', EFFORTS

    def build(self):
        import hnswlib
        start = time.perf_counter()
        self.index = hnswlib.Index(space=self.data.metric, dim=self.data.dims)
        self.index.init_index(max_elements=self.data.rows, M=16, ef_construction=64)
        self.index.set_num_threads(1)
        self.index.add_items(self.data.base, num_threads=1)
        return time.perf_counter() - start

    def size(self):
        with tempfile.NamedTemporaryFile() as file:
            self.index.save_index(file.name)
            return os.path.getsize(file.name)

    def set(self, value):
        self.index.set_ef(value)

    def search(self, query):
        return self.index.knn_query(query, self.data.k, num_threads=1)[0][0]


class Faiss(Library):
    module = 'faiss'

    def __init__(self, name, factory, knob=None, choices=(None,), metrics=DENSE):
        self.name, self.factory, self.knob, self.choices, self.metrics = name, factory, knob, list(choices), metrics

    def build(self):
        import faiss
        faiss.omp_set_num_threads(1)
        metric = faiss.METRIC_INNER_PRODUCT if self.data.metric == 'ip' else faiss.METRIC_L2
        factory = self.factory.format(lists=lists_for(self.data), bits=4 * self.data.dims)
        start = time.perf_counter()
        self.index = faiss.index_factory(self.data.dims, factory, metric)
        if 'HNSW' in factory:
            self.index.hnsw.efConstruction = 64
        rows = self.prepare(self.data.base)
        self.index.train(rows)
        self.index.add(rows)
        return time.perf_counter() - start

    def prepare(self, x):
        return numpy.ascontiguousarray(unit(x) if self.data.metric == 'cosine' else x, numpy.float32)

    def size(self):
        import faiss
        return len(faiss.serialize_index(self.index))

    def set(self, value):
        if self.knob == 'efSearch':
            self.index.hnsw.efSearch = value
        elif self.knob:
            setattr(self.index, self.knob, value)

    def search(self, query):
        return self.index.search(self.prepare(query[None]), self.data.k)[1][0].tolist()


HNSW = 'hnsw (v {ops}) WITH (m = 16, ef_construction = 64)'
COMPACT = 'hnsw (v {ops}) WITH (m = 16, ef_construction = 64, layout = compact)'
IVFFLAT = 'ivfflat (v {ops}) WITH (lists = {lists})'
LISTED = DENSE + ('hamming',)

CONTESTANTS = [
    Postgres('ann hnsw', 'ann', HNSW, 'hnsw.ef_search', EFFORTS),
    Postgres('ann hnsw compact', 'ann', COMPACT, 'hnsw.ef_search', EFFORTS, DENSE),
    Postgres('pgvector hnsw', 'vector', HNSW, 'hnsw.ef_search', EFFORTS, iterative='hnsw.iterative_scan',
             most_dims=2000),
    Hnswlib(),
    Faiss('faiss hnsw', 'HNSW16', 'efSearch', EFFORTS),
    Postgres('ann ivfflat', 'ann', IVFFLAT, 'ivfflat.probes', PROBES, LISTED),
    Postgres('pgvector ivfflat', 'vector', IVFFLAT, 'ivfflat.probes', PROBES, LISTED,
             iterative='ivfflat.iterative_scan', most_dims=2000),
    Faiss('faiss ivfflat', 'IVF{lists},Flat', 'nprobe', PROBES),
    Postgres('ann lsh', 'ann', 'lsh (v {ops})', 'lsh.target_recall', TARGETS),
    Faiss('faiss lsh', 'LSH{bits}rt', metrics=('l2', 'cosine')),
    Postgres('ann exact', 'ann'),
    Postgres('pgvector exact', 'vector'),
    Faiss('faiss exact', 'Flat'),
]
