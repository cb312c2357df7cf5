"""What is measured of the contestants on one data set.

Each function yields records, which are dicts: "what" was measured, of which "contestant", and numbers.  Times are taken
in rounds in which contestants alternate, so that what disturbs the machine disturbs all of them; report.py compares
within a round.
"""
import hashlib
import os
import time

import numpy

from adapters import Postgres
from datasets import near_duplicates

GOALS = (0.9, 0.95, 0.99)
INSERTS = 500
FILTERED = 100
DUPLICATES = 100


def calibrate():
    """A fixed piece of work: what varies is the machine."""
    start = time.perf_counter()
    hashlib.sha256(bytes(1 << 24)).digest()
    return {'what': 'calibration', 'seconds': time.perf_counter() - start, 'load': os.getloadavg()[0]}


def build(contestants, data, options):
    for one in contestants:
        yield calibrate()
        one.load(data)
        seconds = one.build()
        record = {'what': 'build', 'contestant': one.name, 'seconds': seconds, 'bytes': one.size(), 'rows': data.rows,
                  'memory': one.memory}
        if isinstance(one, Postgres):
            record.update(table_bytes=one.table_size(), definition=one.definition)
        yield record


def points(contestants, data, options):
    """Recall and pages by setting, until there is little to be gained; keeps which settings are worth timing."""
    for one in contestants:
        one.points = []
        for value in one.values():
            found = one.find(value)
            point = {'what': 'point', 'contestant': one.name, 'value': value, 'recall': data.recall(found),
                     'rows': float(numpy.mean([len(ids) for ids in found]))}
            if isinstance(one, Postgres):
                point.update(knob=one.knob, pages=one.pages(value))
            one.points.append(point)
            yield point
            if point['recall'] >= min(GOALS[-1] + 0.005, 1):
                break
        one.chosen = reaching(one.points, 0.95)

    best = [max(point['recall'] for point in one.points) for one in contestants]
    goals = [*GOALS, *(recall for recall in best if recall < GOALS[0])]
    for one in contestants:
        one.timed = [point['value'] for point in worth_timing(one.points, goals)]


def worth_timing(points, goals):
    """The points on both sides of each goal."""
    chosen = []
    for goal in goals:
        below = [point for point in points if point['recall'] < goal]
        above = [point for point in points if point['recall'] >= goal]
        chosen += below[-1:] + above[:1]
    return [point for point in points if point in chosen]


def reaching(points, goal):
    """The least setting with that recall, or else the last."""
    return next((point['value'] for point in points if point['recall'] >= goal), points[-1]['value'])


def rate_record(what, one, rate, number, **more):
    qps, taken = rate
    return {'what': what, 'contestant': one.name, 'round': number, 'qps': qps, 'p50': float(numpy.percentile(taken, 50)),
            'p99': float(numpy.percentile(taken, 99)), **more}


def search(contestants, data, options):
    for number in range(options.rounds):
        yield calibrate()
        for i in range(max(len(one.timed) for one in contestants)):
            for one in contestants:
                if i < len(one.timed):
                    yield rate_record('rate', one, one.rate(one.timed[i], options.seconds), number, value=one.timed[i])


def clients(contestants, data, options):
    """One and two clients, and what is left if there is no vector to compare: ten rows by primary key."""
    servers = [one for one in contestants if isinstance(one, Postgres) and one.definition]
    least = f'SELECT id FROM items WHERE id >= (SELECT id FROM queries WHERE id = :i) ORDER BY id LIMIT {data.k}'
    for number in range(options.rounds):
        yield calibrate()
        for one in servers[:1]:
            rate = one.rate(None, options.seconds, sql=least, settings={'enable_indexscan': 'on'})
            yield rate_record('clients', one, rate, number, clients=0)
        for one in servers:
            for count in (1, 2):
                yield rate_record('clients', one, one.rate(one.chosen, options.seconds, count), number, clients=count)


def filtered(contestants, data, options):
    """A tenth and a hundredth of the rows pass; the setting is the one for .95 without a filter.  What ends short by
    default is also measured as its makers advise."""
    runs = [(one, settings) for one in contestants if isinstance(one, Postgres)
            for settings in [{}] + [{one.iterative: 'relaxed_order'}] * bool(one.iterative)]
    for below in (100, 10):
        for one, settings in runs:
            found = one.find(one.chosen, below, settings, count=FILTERED)
            yield {'what': 'filter', 'contestant': one.name, 'settings': options_text(settings), 'share': below / 1000,
                   'value': one.chosen, 'recall': data.recall(found, below),
                   'rows': float(numpy.mean([len(ids) for ids in found])),
                   'pages': one.pages(one.chosen, below, settings)}
        for number in range(options.rounds):
            for one, settings in runs:
                rate = one.rate(one.chosen, options.seconds, below=below, settings=settings)
                yield rate_record('filter rate', one, rate, number, settings=options_text(settings), share=below / 1000)


def options_text(settings):
    return ', '.join(f'{name} = {value}' for name, value in settings.items())


def duplicates(contestants, data, options):
    """The row from which a query was made, at default settings."""
    if data.bits:
        return
    for cosine in (0.98, 0.95):
        queries = near_duplicates(data.base, cosine, DUPLICATES)
        for one in contestants:
            if isinstance(one, Postgres) and one.definition:
                with one.open() as cursor:
                    cursor.execute('CREATE TABLE near (LIKE queries INCLUDING ALL)')
                    one.copy_queries(cursor, 'near', queries)
                found = one.find(None, table='near', k=1)
                yield {'what': 'duplicates', 'contestant': one.name, 'cosine': cosine,
                       'recall': data.recall_first(found, queries), 'pages': one.pages(None, queries=queries, k=1)}
                with one.open() as cursor:
                    cursor.execute('DROP TABLE near')


def cold(contestants, data, options):
    for one in contestants:
        if isinstance(one, Postgres) and one.definition:
            seen = one.cold(one.chosen, 101, options.restart)
            yield {'what': 'cold', 'contestant': one.name, 'restarted': bool(options.restart), 'value': one.chosen,
                   'first_pages': seen[0][1], 'first_ms': seen[0][2],
                   'next_pages': float(numpy.mean([read for _, read, _ in seen[1:]])),
                   'next_ms': float(numpy.mean([ms for _, _, ms in seen[1:]]))}


def insert(contestants, data, options):
    """Single rows, with one client and with two: the same rows for all."""
    servers = [one for one in contestants if isinstance(one, Postgres)]
    first, count = 0, min(INSERTS, len(data.extra) // (2 * options.rounds))
    for number in range(options.rounds):
        yield calibrate()
        for clients in (1, 2):
            for one in servers:
                rate, wal = one.insert(first, count, clients)
                yield {'what': 'insert', 'contestant': one.name, 'round': number, 'clients': clients, 'rate': rate,
                       'wal': wal}
            first += count


def vacuum(contestants, data, options):
    """After deleting a hundredth of the rows, and then a tenth."""
    for first_tag, tags in ((0, 10), (100, 100)):
        for one in contestants:
            if isinstance(one, Postgres) and one.definition:
                yield calibrate()
                deleted, seconds, wal = one.vacuum(first_tag, tags)
                yield {'what': 'vacuum', 'contestant': one.name, 'share': tags / 1000, 'deleted': deleted,
                       'seconds': seconds, 'wal': wal}


def low_memory(contestants, data, options):
    """Builds again, with an eighth of the memory that the first took."""
    for one in contestants:
        if isinstance(one, Postgres) and one.definition and one.memory:
            yield calibrate()
            kilobytes = max(one.memory // 8192, 1024)
            seconds = one.build({'maintenance_work_mem': kilobytes})
            yield {'what': 'low memory', 'contestant': one.name, 'kilobytes': kilobytes, 'seconds': seconds,
                   'recall': data.recall(one.find(one.chosen))}


# In this order: writes come last, as they change the index.
MEASUREMENTS = {'build': build, 'points': points, 'search': search, 'clients': clients, 'filter': filtered,
                'duplicates': duplicates, 'cold': cold, 'low_memory': low_memory, 'insert': insert, 'vacuum': vacuum}
NEEDED = ('build', 'points')
EXPENSIVE = ('low_memory',)
