"""Runs the benchmark on a small set, and tests what comes out, as TAP: check.py FOLDER, to write to."""
import html.parser
import json
import os
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
WHAT = {'run', 'data', 'calibration', 'build', 'point', 'rate', 'clients', 'filter', 'filter rate', 'duplicates', 'cold',
        'insert', 'vacuum'}
INDEXES = {'ann hnsw', 'ann hnsw compact', 'ann ivfflat', 'ann lsh'}
count = failures = 0


def ok(passed, name, why=''):
    global count, failures
    count += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {count} - {name}", flush=True)
    if not passed:
        print(f'#   {why}')


def run(output, *arguments):
    done = subprocess.run([sys.executable, f'{TOP}/bench/run.py', *arguments, '-o', output], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    ok(done.returncode == 0, f"run.py {' '.join(arguments)}", done.stdout[-2000:].replace('\n', '\n#   '))
    return [json.loads(line) for line in open(output)]


def psql(database, sql):
    return subprocess.run(['psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database], input=sql, text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip()


def check_records(records):
    seen = {record['what'] for record in records}
    ok(seen == WHAT, 'everything is measured', f'{seen ^ WHAT}')
    for what in ('build', 'point', 'rate', 'clients', 'filter rate', 'duplicates', 'cold', 'insert', 'vacuum'):
        names = {record['contestant'] for record in records if record['what'] == what}
        ok(INDEXES <= names, f'{what}: of every index', f'{INDEXES - names}')
    exact = [record for record in records if record.get('contestant') == 'ann exact' and 'recall' in record]
    ok(exact and all(record['recall'] == 1 for record in exact), 'a sequential scan finds everything', f'{exact}')
    full = [record for record in records if record['what'] in ('point', 'filter')]
    # a filter may let fewer than ten rows pass
    rows = {(record['what'], record.get('share')): record['rows'] for record in exact if record in full}
    ok(rows[('point', None)] == 10 and
       all(record['rows'] == rows[(record['what'], record.get('share'))] for record in full),
       'every LIMIT is filled', f'{full}')
    left = psql('postgres', "SELECT count(*) FROM pg_database WHERE datname LIKE 'bench%'")
    ok(left == '0', 'no database is left', left)


def check_report(path):
    class Tags(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.count, self.outside = {}, []

        def handle_starttag(self, tag, attributes):
            self.count[tag] = self.count.get(tag, 0) + 1
            self.outside += [value for name, value in attributes if name in ('src', 'href')]

    tags = Tags()
    tags.feed(open(path).read())
    ok(tags.count.get('svg') == 3 and tags.count.get('circle', 0) > 20, 'the report has plots', f'{tags.count}')
    ok(tags.count.get('table') == 9, 'the report has a table for each measurement', f'{tags.count}')
    ok(not tags.outside and 'script' not in tags.count, 'the report needs no other file', f'{tags.outside}')


# Recall by another way: the server's own exact search, and ids instead of distances.
def check_recall(records):
    for point in [record for record in records if record['what'] == 'point']:
        name = point['contestant']
        found = psql('bench_' + name.replace(' ', '_'), f"""
            SET enable_seqscan = off;
            SET {point['knob']} = {point['value']};
            CREATE TEMP TABLE approximate AS SELECT q.id AS query, s.id FROM queries q,
                LATERAL (SELECT id FROM items ORDER BY v <-> q.v LIMIT 10) s;
            SET enable_seqscan = on; SET enable_indexscan = off;
            CREATE TEMP TABLE exact AS SELECT q.id AS query, s.id FROM queries q,
                LATERAL (SELECT id FROM items ORDER BY v <-> q.v LIMIT 10) s;
            SELECT count(*) / 10.0 / (SELECT count(*) FROM queries) FROM approximate JOIN exact USING (query, id)""")
        ok(abs(float(found) - point['recall']) < 1e-9, f"{name}, {point['value']}: recall is {point['recall']}", found)


# Ten nearest rows, of the data and of what is made of them.
def check_features(folder):
    sys.path.insert(0, f'{TOP}/bench')
    import datasets
    import numpy
    numpy.save(f'{folder}/rows.npy', numpy.random.default_rng(0).random((2000, 16), numpy.float32))
    nearest = []
    for options in ('', ',features=2048'):
        data = datasets.load(f'{folder}/rows.npy,count=100{options}')
        ranks = datasets.distances(data.queries, data.base, 'l2').argsort(1)
        nearest.append([set(line[:10]) for line in ranks.tolist()])
    kept = sum(len(x & y) for x, y in zip(*nearest)) / 1000
    ok(data.dims == 2048 and kept > 0.7, 'features keep who is near whom', f'{data.dims} {kept}')


def main():
    folder = sys.argv[1]
    check_features(folder)
    records = run(f'{folder}/quick.jsonl', '--quick')
    check_records(records)
    check_report(f'{folder}/quick.html')
    records = run(f'{folder}/kept.jsonl', 'uniform,rows=1500,dims=60,count=30', '--only', 'ann hnsw,ann ivfflat,ann lsh',
                  '--measure', 'points', '--keep')
    check_recall(records)
    print(f'1..{count}')
    sys.exit(failures != 0)


main()
