#!/usr/bin/env python3
"""The benchmark: indexes of PostgreSQL extensions, and of libraries, in one run on this machine.

    run.py DATA ... [--only NAME,...] [--measure WHAT,...] [--set NAME=VALUE ...] [-o results.jsonl]
    run.py --quick

DATA is a file of vectors or the name of a generator, with options: see datasets.py.  What is found is compared: ann and
pgvector on the server, hnswlib and faiss in this process.  Results are written as JSON lines while they come, and in
the end as a report: results.html, and results-*.png with matplotlib.

Connects as psql does (PGHOST, PGPORT, PGUSER), as a superuser, for CHECKPOINT; creates databases named bench_* and drops
them.  Nothing else should run on the machine.  Needs numpy, psycopg or psycopg2, and pgbench.
"""
import argparse
import fnmatch
import json
import os
import platform
import sys
import time

import adapters
import datasets
import measure
import report

QUICK = 'clustered,rows=1000,dims=64,count=30'


def about_run(options):
    with adapters.connect('postgres') as cursor:
        cursor.execute("""SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('server_version',
            'shared_buffers', 'maintenance_work_mem', 'max_parallel_maintenance_workers', 'work_mem', 'fsync')""")
        settings = dict(cursor.fetchall())
        cursor.execute("SELECT name, default_version FROM pg_available_extensions WHERE name IN ('ann', 'vector')")
        versions = dict(cursor.fetchall())
    cpu = platform.machine()
    if os.path.exists('/proc/cpuinfo'):
        names = [line.split(':', 1)[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')]
        cpu = names[0] if names else cpu
    return {'what': 'run', 'time': time.strftime('%Y-%m-%d %H:%M'), 'cpu': cpu, 'cores': os.cpu_count(),
            'load': os.getloadavg()[0], 'server': settings, 'extensions': versions, 'set': options.set,
            'storage': options.storage, 'seconds': options.seconds}


def run(options, emit):
    wanted = [one for one in adapters.CONTESTANTS if one.available() and
              any(fnmatch.fnmatch(one.name, pattern) for pattern in options.only)]
    if not wanted:
        sys.exit(f"There is nothing like {', '.join(options.only)} here.")
    emit(about_run(options))
    for spec in options.data:
        data = datasets.load(spec)
        contestants = [one for one in wanted if one.takes(data)]
        about = {'what': 'data', 'rows': data.rows, 'dims': data.dims, 'metric': data.metric, 'k': data.k,
                 'queries': len(data.queries)}
        if not data.bits:
            about['intrinsic'] = datasets.intrinsic_dimension(data.base)
        emit({'data': data.name, **about})
        try:
            for name, function in measure.MEASUREMENTS.items():
                if name in options.measure or name in measure.NEEDED:
                    for record in function(contestants, data, options):
                        emit({'data': data.name, **record})
        finally:
            if not options.keep:
                for one in contestants:
                    one.drop()


def names_in(text):
    return text.split(',')


def main():
    usual = [name for name in measure.MEASUREMENTS if name not in measure.EXPENSIVE]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', nargs='*', help='data sets')
    parser.add_argument('--quick', action='store_true', help='a small set and ann only: tests the benchmark')
    parser.add_argument('--only', type=names_in, default=['*'], help="patterns of names, '*hnsw*,ann exact': " +
                        ', '.join(one.name for one in adapters.CONTESTANTS))
    parser.add_argument('--measure', type=names_in, default=usual, help=', '.join(measure.MEASUREMENTS) +
                        '; all but low_memory unless given')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=int, default=1,
                        help='of each timed run; default 1; 0: each query once')
    parser.add_argument('--set', type=lambda text: text.split('=', 1), action='append', default=[],
                        help='a setting of the server, for builds and searches: maintenance_work_mem=1GB')
    parser.add_argument('--storage', choices=['plain', 'external', 'extended', 'main'], default='plain',
                        help='of the column, where a row fits a page')
    parser.add_argument('--restart', help='a command that restarts the server, for what is measured cold')
    parser.add_argument('--keep', action='store_true', help='the databases, at the end')
    parser.add_argument('-o', '--output', default='results.jsonl')
    options = parser.parse_args()
    if options.quick:
        options.data, options.only, options.rounds, options.seconds = [QUICK], ['ann *'], 1, 0
    if not options.data:
        parser.error('which data?')
    for name in options.measure:
        if name not in measure.MEASUREMENTS:
            parser.error(f'there is no measurement "{name}"')

    adapters.Postgres.storage = options.storage
    for one in adapters.CONTESTANTS:
        if isinstance(one, adapters.Postgres):
            one.settings.update(options.set)
    start = time.time()
    with open(options.output, 'w') as file:
        def emit(record):
            file.write(json.dumps(record) + '\n')
            file.flush()
            text = ' '.join(f'{name}={value:.5g}' if isinstance(value, float) else f'{name}={value}'
                            for name, value in record.items() if name not in ('data', 'what'))
            print(f"{time.time() - start:6.0f} s  {record.get('data', '')} {record['what']}: {text}", flush=True)
        run(options, emit)
    report.write([options.output], os.path.splitext(options.output)[0])


if __name__ == '__main__':
    main()
