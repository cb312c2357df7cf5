#!/usr/bin/env python3
"""Compare extensions that have a type `vector` on one server, in one run.

    compare.py --base BASE.npy --query QUERY.npy [-n ROWS] [--metric l2|ip|cosine]
        [--index 'hnsw (v vector_l2_ops) WITH (m = 16)' --sweep hnsw.ef_search=40,60] [--set NAME=VALUE ...]

Each extension (--extensions, default ann,vector) gets a database of its own with the same rows.  Without --index the
search is exact: a sequential scan.  Timed runs of the extensions alternate, --rounds times, and what counts is their
ratio: the first extension against each other one, with its spread over the rounds.  Recall is counted by distance
against an exact search, so ties are right.  Nothing else should run on the machine.

Connects as psql does (PGHOST, PGPORT, PGUSER); needs the right to create databases, numpy, psql and pgbench.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

OPERATORS = {'l2': '<->', 'ip': '<#>', 'cosine': '<=>'}


def psql(database, sql, settings=()):
    options = ' '.join(f'-c {s}' for s in settings)
    done = subprocess.run(['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database], input=sql, text=True,
                          stdout=subprocess.PIPE, check=True, env=dict(os.environ, PGOPTIONS=options))
    return done.stdout.strip()


def copy_file(path, rows):
    """Rows of numbers as COPY BINARY of (id int4, v vector)."""
    count, dim = rows.shape
    record = numpy.dtype([('fields', '>i2'), ('id_size', '>i4'), ('id', '>i4'), ('size', '>i4'), ('dim', '>i2'),
                          ('unused', '>i2'), ('x', '>f4', dim)])
    table = numpy.zeros(count, record)
    table['fields'], table['id_size'], table['id'] = 2, 4, numpy.arange(count)
    table['size'], table['dim'], table['x'] = 4 + 4 * dim, dim, rows
    with open(path, 'wb') as file:
        file.write(b'PGCOPY\n\xff\r\n\0' + bytes(8) + table.tobytes() + b'\xff\xff')


def load(database, extension, files, dim):
    psql('postgres', f'DROP DATABASE IF EXISTS {database}')
    psql('postgres', f'CREATE DATABASE {database}')
    psql(database, f'CREATE EXTENSION {extension};' + ''.join(f"""
        CREATE TABLE {table} (id int PRIMARY KEY, v vector({dim}));
        ALTER TABLE {table} ALTER v SET STORAGE PLAIN;
        \\copy {table} FROM '{file}' WITH (FORMAT binary)
        """ for table, file in files.items()) + 'VACUUM ANALYZE items; VACUUM ANALYZE queries;')


def find_exact(database, operator, k):
    """Distance of the k-th nearest row, for every query."""
    psql(database, f"""SET enable_indexscan = off;
        ALTER TABLE queries ADD kth float8;
        UPDATE queries q SET kth = (SELECT max(d) FROM
            (SELECT i.v {operator} q.v AS d FROM items i ORDER BY i.v {operator} q.v LIMIT {k}) s)""")


def measure_recall(database, operator, k, settings):
    """Recall@k, pages per query, rows per query."""
    query = f"""SELECT count(*) FILTER (WHERE s.d <= q.kth + 1e-6 * abs(q.kth)), count(*) FROM queries q, LATERAL
        (SELECT i.v {operator} q.v AS d FROM items i ORDER BY i.v {operator} q.v LIMIT {k}) s"""
    queries = int(psql(database, 'SELECT count(*) FROM queries'))
    hits, rows = psql(database, query, settings).split('|')
    plan = json.loads(psql(database, f'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}', settings))
    pages = plan[0]['Plan']['Shared Hit Blocks'] + plan[0]['Plan']['Shared Read Blocks']
    return int(hits) / (queries * k), pages / queries, int(rows) / queries


def measure_rate(database, operator, k, settings, options):
    """Queries per second and median latency in milliseconds of pgbench."""
    queries = int(psql(database, 'SELECT count(*) FROM queries'))
    with tempfile.TemporaryDirectory() as folder:
        script = f'{folder}/script.sql'
        with open(script, 'w') as file:
            file.write(f'\\set i (:i + 1) % {queries}\nSELECT id FROM items ORDER BY v {operator} '
                       f'(SELECT v FROM queries WHERE id = :i) LIMIT {k};\n')
        done = subprocess.run(
            ['pgbench', '-n', '-M', 'prepared', '-c', str(options.clients), '-j', str(options.clients),
             '-T', str(options.seconds), '-D', 'i=0', '-f', script, '-l', f'--log-prefix={folder}/log', database],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
            env=dict(os.environ, PGOPTIONS=' '.join(f'-c {s}' for s in settings)))
        latencies = [int(line.split()[2]) for name in os.listdir(folder) if name.startswith('log')
                     for line in open(f'{folder}/{name}')]
    return float(re.search(r'tps = ([\d.]+)', done.stdout)[1]), statistics.median(latencies) / 1000


def compare(databases, operator, settings, label, options):
    rates = {extension: [] for extension in databases}
    for extension, database in databases.items():
        recall, pages, rows = measure_recall(database, operator, options.k, settings)
        print(f'{extension:8} {label:24} recall@{options.k} {recall:.4f}  pages/query {pages:7.0f}  rows {rows:.1f}')
    for _ in range(options.rounds):
        for extension, database in databases.items():
            rates[extension].append(measure_rate(database, operator, options.k, settings, options))
    first = options.extensions[0]
    for extension in options.extensions:
        qps = [rate for rate, _ in rates[extension]]
        print(f'{extension:8} {label:24} QPS {statistics.median(qps):8.1f}  '
              f'p50 {statistics.median(p50 for _, p50 in rates[extension]):.3f} ms', end='')
        if extension == first:
            print()
            continue
        ratios = sorted(ours[0] / theirs for ours, theirs in zip(rates[first], qps))
        print(f'   {first} / {extension}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})')
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--base', required=True)
    parser.add_argument('--query', required=True)
    parser.add_argument('-n', type=int)
    parser.add_argument('--queries', type=int, default=1000)
    parser.add_argument('-k', type=int, default=10)
    parser.add_argument('--metric', choices=OPERATORS, default='l2')
    parser.add_argument('--index')
    parser.add_argument('--sweep')
    parser.add_argument('--set', action='append', default=[])
    parser.add_argument('--extensions', type=lambda names: names.split(','), default=['ann', 'vector'])
    parser.add_argument('--clients', type=int, default=1)
    parser.add_argument('--seconds', type=int, default=4)
    parser.add_argument('--rounds', type=int, default=5)
    options = parser.parse_args()

    base = numpy.load(options.base, mmap_mode='r')[:options.n]
    queries = numpy.load(options.query)[:options.queries]
    operator = OPERATORS[options.metric]
    databases = {extension: f'bench_{extension}' for extension in options.extensions}
    with tempfile.TemporaryDirectory() as folder:
        files = {'items': f'{folder}/items', 'queries': f'{folder}/queries'}
        copy_file(files['items'], base)
        copy_file(files['queries'], queries)
        for extension, database in databases.items():
            load(database, extension, files, base.shape[1])
            find_exact(database, operator, options.k)
    print(f'{len(base)} rows of {base.shape[1]} dimensions, {len(queries)} queries')

    if not options.index:
        compare(databases, operator, options.set + ['max_parallel_workers_per_gather=0'], 'exact', options)
        return
    for extension, database in databases.items():
        start = time.time()
        psql(database, f'CREATE INDEX items_v_idx ON items USING {options.index}', options.set)
        seconds = time.time() - start
        size = int(psql(database, "SELECT pg_relation_size('items_v_idx')"))
        print(f'{extension:8} built in {seconds:.1f} s, {size / len(base):.0f} bytes per row')
    name, _, values = (options.sweep or '').partition('=')
    for value in values.split(','):
        setting = f'{name}={value}' if name else ''
        compare(databases, operator, options.set + ['enable_seqscan=off'] + [setting] * bool(setting), setting, options)


main()
