#!/usr/bin/env python3
"""Reports of what run.py measured: tables and plots, as one HTML file or as Markdown.

    report.py results.jsonl ... [-o NAME]       NAME.html, and NAME-*.png with matplotlib
    report.py results.jsonl ... --docs FOLDER   FOLDER/benchmark.md, with the plots as FOLDER/img/*.svg

Numbers at a wanted recall are interpolated between the two settings next to it; where the least setting already has
more than that, its own are taken, and marked with a +.  Ratios are of one round, and shown as median (least to
greatest).
"""
import argparse
import html
import json
import math
import os
from collections import defaultdict
from statistics import median

GOALS = (0.9, 0.95, 0.99)
COLORS = {'ann hnsw': '#0b62a4', 'ann hnsw compact': '#56a0d3', 'pgvector hnsw': '#d1495b', 'hnswlib': '#8d6a9f',
          'faiss hnsw': '#c9a0dc', 'ann ivfflat': '#1b7f4d', 'pgvector ivfflat': '#e08e45', 'faiss ivfflat': '#b5a642',
          'ann lsh': '#30bfae', 'faiss lsh': '#999999', 'ann exact': '#222222', 'pgvector exact': '#b08080',
          'faiss exact': '#aaaaaa'}
# Who is compared with whom.
PAIRS = [('ann hnsw', 'pgvector hnsw'), ('ann hnsw compact', 'pgvector hnsw'), ('ann hnsw', 'hnswlib'),
         ('ann hnsw', 'faiss hnsw'), ('ann ivfflat', 'pgvector ivfflat'), ('ann ivfflat', 'faiss ivfflat'),
         ('ann lsh', 'ann hnsw'), ('ann lsh', 'ann ivfflat'), ('ann lsh', 'ann exact'), ('ann lsh', 'faiss lsh'),
         ('ann exact', 'pgvector exact'), ('ann exact', 'faiss exact')]
NOISY = 1.15


class Results:
    """The records of one data set."""

    def __init__(self, name):
        self.name, self.records = name, []

    def all(self, what, **where):
        return [r for r in self.records if r['what'] == what and all(r.get(key) == x for key, x in where.items())]

    def one(self, what, **where):
        return next(iter(self.all(what, **where)), None)

    def names(self, what):
        return list(dict.fromkeys(r['contestant'] for r in self.all(what)))

    def rounds(self):
        return sorted({r['round'] for r in self.all('rate')})

    def curve(self, name, field, number=None):
        """[(recall, field)] over the settings, of one round or the median of all; pages and the like have no rounds."""
        curve = []
        for point in self.all('point', contestant=name):
            if field in point:
                curve.append((point['recall'], point[field]))
                continue
            rates = [r[field] for r in self.all('rate', contestant=name, value=point['value'])
                     if field in r and number in (None, r['round'])]
            if rates:
                curve.append((point['recall'], median(rates)))
        return sorted(curve)

    def at(self, name, goal, field, number=None):
        """(field, whether it is of a higher recall) at that recall; None if it was not reached."""
        curve = self.curve(name, field, number)
        above = [(recall, x) for recall, x in curve if recall >= goal]
        below = [(recall, x) for recall, x in curve if recall < goal]
        if not above:
            return None
        if not below:
            return above[0][1], True
        (r0, x0), (r1, x1) = below[-1], above[0]
        share = (depth(goal) - depth(r0)) / (depth(r1) - depth(r0))
        return math.exp(math.log(x0) * (1 - share) + math.log(x1) * share), False

    def ratio(self, name, rival, goal, field='qps'):
        """[ratio] by round; of fields without rounds, one."""
        both = []
        for number in self.rounds() if field in ('qps', 'p50', 'p99') else [None]:
            ours, theirs = self.at(name, goal, field, number), self.at(rival, goal, field, number)
            if ours and theirs:
                both.append(ours[0] / theirs[0])
        return both


def depth(recall):
    """Recall as plots show it: each nine takes as much room; what is above .9995 counts as that."""
    return -math.log10(max(1 - recall, 5e-4))


def number(x, digits=3):
    if x is None:
        return '-'
    if x == 0 or abs(x) >= 10 ** (digits - 1):
        return f'{x:,.0f}'
    return f'{x:.{max(0, digits - 1 - math.floor(math.log10(abs(x))))}f}'


def spread(xs):
    if not xs:
        return '-'
    if len(xs) == 1:
        return number(xs[0])
    return f'{number(median(xs))} ({number(min(xs))} to {number(max(xs))})'


def marked(found):
    return '-' if found is None else number(found[0]) + '+' * found[1]


# Tables are (title, remark, head, rows); the first column is text.

def tables_of(results):
    for make in (summary_table, ratio_table, clients_table, filter_table, write_table, vacuum_table, cold_table,
                 duplicates_table, low_memory_table, points_table):
        table = make(results)
        if table and table[3]:
            yield table


def summary_table(results):
    rows = []
    for name in results.names('build'):
        build = results.one('build', contestant=name)
        rows.append([name, *(marked(results.at(name, goal, 'qps')) for goal in GOALS),
                     *(marked(results.at(name, 0.95, field)) for field in ('p50', 'p99', 'pages')),
                     number(build['seconds']), number(build['bytes'] / build['rows']),
                     number(build['memory'] / 2 ** 20) if build.get('memory') else '-'])
    return ('Summary', 'Queries per second (QPS) of one client at a recall; at .95 also milliseconds, and pages touched '
            'per query, of index and table. +: at a higher recall than that, as the least setting has it. '
            'Memory is the peak of the build, without shared buffers.',
            ['', *(f'QPS at {goal:.2f}' for goal in GOALS), 'p50 ms', 'p99 ms', 'pages', 'build s', 'bytes/row',
             'memory MB'], rows)


def ratio_table(results):
    rows = []
    for name, rival in PAIRS:
        ours, theirs = (results.one('build', contestant=one) for one in (name, rival))
        if not ours or not theirs:
            continue
        top = max(r['recall'] for r in results.all('point', contestant=rival))
        goals = GOALS if top >= GOALS[0] else (top,) * len(GOALS)
        remark = '' if top >= GOALS[0] else f', at its {top:.2f}'
        rows.append([f'{name} / {rival}{remark}', *(spread(results.ratio(name, rival, goal)) for goal in goals),
                     *(spread(results.ratio(name, rival, goal, 'pages')) if results.curve(rival, 'pages') else '-'
                       for goal in goals[1:]),
                     number(ours['seconds'] / theirs['seconds']) if theirs['seconds'] else '-',
                     number(ours['bytes'] / theirs['bytes']) if theirs['bytes'] else '-'])
    return ('Ratios', 'QPS at a recall, of the same round: median (least to greatest). Above 1 the first is faster; of '
            'pages, build time and size, below 1 it has less.',
            ['', *(f'QPS at {goal:.2f}' for goal in GOALS), *(f'pages at {goal:.2f}' for goal in GOALS[1:]), 'build',
             'bytes/row'], rows)


def clients_table(results):
    rows = []
    for name in results.names('clients'):
        for count, label in ((0, 'ten rows by primary key'), (1, name), (2, name)):
            found = results.all('clients', contestant=name, clients=count)
            if found:
                rows.append([label, max(count, 1), spread([r['qps'] for r in found]),
                             number(median(r['p50'] for r in found)), number(median(r['p99'] for r in found))])
    return ('Clients', 'At the least setting with a recall of .95. The first line is what client, protocol and executor '
            'cost without any vector.', ['', 'clients', 'QPS', 'p50 ms', 'p99 ms'], rows)


def filter_table(results):
    rows = []
    for r in results.all('filter'):
        rates = results.all('filter rate', contestant=r['contestant'], share=r['share'], settings=r['settings'])
        rows.append([r['contestant'] + (f" ({r['settings']})" if r['settings'] else ''), f"{100 * r['share']:g} %",
                     f"{r['recall']:.3f}", number(r['rows']), number(r['pages']), spread([x['qps'] for x in rates])])
    return ('With a WHERE clause', 'A random share of the rows passes. Recall is of the nearest among these. "rows" tells '
            'whether the LIMIT was filled.', ['', 'pass', 'recall', 'rows', 'pages', 'QPS'], rows)


def write_table(results):
    rows = []
    for name in results.names('insert'):
        row = [name]
        for count in (1, 2):
            row.append(spread([r['rate'] for r in results.all('insert', contestant=name, clients=count)]))
        found = results.all('insert', contestant=name)
        rows.append(row + [number(median(r['wal'] for r in found)), number(min(r['wal'] for r in found))])
    return ('Inserts', 'Single rows, each a transaction, synchronous_commit = off; WAL of table and index after a '
            'checkpoint, so with images of pages, and the least of all runs.',
            ['', 'rows/s, 1 client', 'rows/s, 2 clients', 'WAL bytes/row', 'least'], rows)


def vacuum_table(results):
    rows = [[r['contestant'], f"{100 * r['share']:g} %", number(r['deleted']), number(r['seconds']),
             number(r['wal'] / 2 ** 20)] for r in results.all('vacuum')]
    return ('VACUUM', 'After a share of the rows was deleted.', ['', 'deleted', 'rows', 'seconds', 'WAL MB'], rows)


def cold_table(results):
    rows = [[r['contestant'], *(number(r[field]) for field in ('first_pages', 'first_ms', 'next_pages', 'next_ms'))]
            for r in results.all('cold')]
    how = 'a restart' if any(r['restarted'] for r in results.all('cold')) else 'none of it was in shared buffers'
    return (f'Cold: after {how}' if how == 'a restart' else 'Cold shared buffers',
            'The first query, and the mean of the hundred after it: pages read, milliseconds.',
            ['', 'first: pages', 'ms', 'next: pages', 'ms'], rows)


def duplicates_table(results):
    rows = [[r['contestant'], f"{r['cosine']:.2f}", f"{r['recall']:.3f}", number(r['pages'])]
            for r in results.all('duplicates')]
    return ('Near-duplicates', 'Rows turned by an angle of that cosine, LIMIT 1, default settings.',
            ['', 'cosine', 'recall', 'pages'], rows)


def low_memory_table(results):
    rows = []
    for r in results.all('low memory'):
        first = results.one('build', contestant=r['contestant'])
        rows.append([r['contestant'], number(r['kilobytes'] / 1024), number(r['seconds']),
                     number(r['seconds'] / first['seconds']), f"{r['recall']:.3f}"])
    return ('Builds with little memory', 'maintenance_work_mem of an eighth of what the build took; recall at the setting '
            'that had .95.', ['', 'MB', 'seconds', 'ratio', 'recall'], rows)


def points_table(results):
    rows = []
    for point in results.all('point'):
        rates = results.all('rate', contestant=point['contestant'], value=point['value'])
        of = lambda field: number(median(r[field] for r in rates)) if rates else '-'
        rows.append([point['contestant'], '-' if point['value'] is None else point['value'], f"{point['recall']:.4f}",
                     number(point.get('pages')), number(point['rows']), of('qps'), of('p50'), of('p99')])
    return ('All settings', 'Only those next to a recall of .90, .95 and .99 were timed, or next to the best of one that '
            'does not get there.',
            ['', 'setting', 'recall', 'pages', 'rows', 'QPS', 'p50 ms', 'p99 ms'], rows)


def noise_of(results):
    """A warning, or nothing."""
    times = [r['seconds'] for r in results.all('calibration')]
    loads = [r['load'] for r in results.all('calibration')]
    if times and max(times) > NOISY * min(times):
        slow = sum(t > NOISY * min(times) for t in times)
        return (f'The machine was noisy: a fixed piece of work took {1000 * min(times):.1f} to {1000 * max(times):.1f} ms, '
                f'{slow} of {len(times)} times more than {100 * (NOISY - 1):.0f} % above the least; load up to '
                f'{max(loads):.1f}.')
    return ''


# Plots are (title, x axis, y axis, {name: [(x, y)]}); an axis is (label, scale, ticks or None).

def plots_of(results):
    names = results.names('point')
    recall = ('recall', depth, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999))
    for title, field, label in (('recall and rate', 'qps', 'queries per second'),
                                ('recall and pages', 'pages', 'pages per query')):
        lines = {name: [(x, y) for x, y in results.curve(name, field) if 0.4 < x] for name in names}
        lines = {name: line for name, line in lines.items() if line}
        if lines:
            yield f'{results.name}: {title}', recall, (label, math.log10, None), lines
    builds = {r['contestant']: [(r['seconds'], r['bytes'] / r['rows'])] for r in results.all('build')
              if r['bytes'] and 'exact' not in r['contestant']}
    if builds:
        yield (f'{results.name}: build time and size', ('seconds', math.log10, None), ('bytes per row', math.log10, None),
               builds)


def ticks_between(low, high):
    """1, 2, 5, 10, 20 ...; without the 5s and 2s where there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if len(powers) > 4 else (1, 2, 5)
    return [step * 10 ** power for power in powers for step in steps if low <= step * 10 ** power <= high]


def svg_of(plot, width=640, height=380):
    title, (x_label, x_scale, x_ticks), (y_label, y_scale, y_ticks), lines = plot
    left, top, right, bottom = 64, 30, 160, 44
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    x_range, y_range = (min(xs), max(xs)), (min(ys) / 1.2, max(ys) * 1.2)
    if x_scale is math.log10:
        x_range = (min(xs) / 1.2, max(xs) * 1.2)

    def place(x, scale, bounds, start, length):
        low, high = scale(bounds[0]), scale(bounds[1])
        return start + length * ((scale(x) - low) / (high - low) if high > low else 0.5)

    def at_x(x):
        return place(x, x_scale, x_range, left, width - left - right)

    def at_y(y):
        return place(y, y_scale, y_range, height - bottom, top + bottom - height)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           'font-family="sans-serif" font-size="12">', f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="18" font-weight="bold">{html.escape(title)}</text>']
    for x in x_ticks or ticks_between(*x_range):
        if x_range[0] <= x <= x_range[1]:
            out.append(f'<path d="M{at_x(x):.1f} {top}V{height - bottom}" stroke="#ddd"/><text x="{at_x(x):.1f}" '
                       f'y="{height - bottom + 16}" text-anchor="middle">{x:g}</text>')
    for y in y_ticks or ticks_between(*y_range):
        out.append(f'<path d="M{left} {at_y(y):.1f}H{width - right}" stroke="#ddd"/><text x="{left - 6}" '
                   f'y="{at_y(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">{x_label}</text>'
               f'<text transform="translate(14 {(top + height - bottom) / 2}) rotate(-90)" '
               f'text-anchor="middle">{y_label}</text>')
    for i, (name, line) in enumerate(lines.items()):
        color = COLORS.get(name, '#555')
        dots = [(at_x(x), at_y(y)) for x, y in line]
        out.append(f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="' +
                   ' '.join(f'{x:.1f},{y:.1f}' for x, y in dots) + '"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in dots]
        out.append(f'<circle cx="{width - right + 14}" cy="{top + 8 + 18 * i}" r="4" fill="{color}"/>'
                   f'<text x="{width - right + 24}" y="{top + 12 + 18 * i}">{html.escape(name)}</text>')
    return '\n'.join(out) + '\n</svg>\n'


def write_png(plot, path):
    from matplotlib.figure import Figure
    title, (x_label, x_scale, x_ticks), (y_label, _, _), lines = plot
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    for name, line in lines.items():
        axes.plot([x_scale(x) for x, _ in line], [y for _, y in line], 'o-', color=COLORS.get(name), label=name)
    if x_ticks:
        axes.set_xticks([x_scale(x) for x in x_ticks], [f'{x:g}' for x in x_ticks])
    else:
        axes.set_xlabel(f'log10 of {x_label}')
    axes.set(title=title, ylabel=y_label, yscale='log')
    if x_ticks:
        axes.set_xlabel(x_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def read(paths):
    """(records of runs, [Results])"""
    runs, sets = [], {}
    for path in paths:
        for line in open(path):
            record = json.loads(line)
            if record['what'] == 'run':
                runs.append(record)
            else:
                sets.setdefault((path, record['data']), Results(record['data'])).records.append(record)
    return runs, list(sets.values())


def about(results):
    data = results.one('data')
    intrinsic = f", intrinsic dimension {data['intrinsic']:.0f}" if 'intrinsic' in data else ''
    return (f"{data['rows']:,} rows, {data['dims']} dimensions{intrinsic}, {data['metric']}; {data['queries']} queries, "
            f"recall@{data['k']}, {len(results.rounds())} rounds.")


def about_run(run):
    settings = ', '.join(f'{name} {value}' for name, value in {**run['server'], **dict(run['set'])}.items())
    versions = ', '.join(f'{name} {version}' for name, version in run['extensions'].items())
    return (f"{run['time']}; {run['cpu']}, {run['cores']} cores, load {run['load']:.1f} at the start. {versions}. "
            f"{settings}. Column storage {run['storage']}.")


def markdown_of(paths):
    runs, sets = read(paths)
    out = ['# Benchmark\n\nMade by [bench/run.py](../bench/README.md). Which index to use is on [another page](choosing.md).\n']
    out += [about_run(run) + '\n' for run in runs]
    for results in sets:
        out.append(f'## {results.name}\n\n{about(results)}\n')
        if noise_of(results):
            out.append(f'**{noise_of(results)}**\n')
        out += [f'![{plot[0]}](img/{file_name(plot)}.svg)\n' for plot in plots_of(results)]
        for title, remark, head, rows in tables_of(results):
            out.append(f'### {title}\n\n{remark}\n')
            out += ['| ' + ' | '.join(map(str, row)) + ' |' for row in [head, ['---'] + ['---:'] * (len(head) - 1), *rows]]
            out.append('')
    return '\n'.join(out)


STYLE = """body { font: 15px sans-serif; margin: 2em auto; max-width: 1400px; color: #222 }
table { border-collapse: collapse; margin: 0.5em 0 1.5em } th, td { padding: 0.2em 0.7em; text-align: right }
th { border-bottom: 1px solid #888; font-weight: normal; color: #555 } td:first-child { text-align: left }
tr:nth-child(even) { background: #f5f5f5 } .noise { background: #fff0c0; padding: 0.5em } p { max-width: 60em }"""


def html_of(paths):
    runs, sets = read(paths)
    out = ['<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Benchmark of ann</title>',
           f'<style>{STYLE}</style></head><body><h1>Benchmark</h1>']
    out += [f'<p>{html.escape(about_run(run))}</p>' for run in runs]
    for results in sets:
        out.append(f'<h2>{html.escape(results.name)}</h2><p>{html.escape(about(results))}</p>')
        if noise_of(results):
            out.append(f'<p class="noise">{html.escape(noise_of(results))}</p>')
        out += [svg_of(plot) for plot in plots_of(results)]
        for title, remark, head, rows in tables_of(results):
            cells = [''.join(f'<td>{html.escape(str(x))}</td>' for x in row) for row in rows]
            out.append(f'<h3>{html.escape(title)}</h3><p>{html.escape(remark)}</p><table><tr>' +
                       ''.join(f'<th>{html.escape(x)}</th>' for x in head) + '</tr>' +
                       ''.join(f'<tr>{row}</tr>\n' for row in cells) + '</table>')
    return '\n'.join(out) + '\n</body></html>\n'


def file_name(plot):
    return plot[0].replace(': ', '-').replace(' ', '-')


def write(paths, name):
    with open(f'{name}.html', 'w') as file:
        file.write(html_of(paths))
    print(f'{name}.html')
    try:
        for plot in all_plots(paths):
            write_png(plot, f'{name}-{file_name(plot)}.png')
    except ImportError:
        print('There is no matplotlib, hence no PNGs.')


def write_docs(paths, folder):
    os.makedirs(f'{folder}/img', exist_ok=True)
    for plot in all_plots(paths):
        with open(f'{folder}/img/{file_name(plot)}.svg', 'w') as file:
            file.write(svg_of(plot))
    with open(f'{folder}/benchmark.md', 'w') as file:
        file.write(markdown_of(paths))


def all_plots(paths):
    return [plot for results in read(paths)[1] for plot in plots_of(results)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='+')
    parser.add_argument('-o', '--output', default='results')
    parser.add_argument('--docs')
    options = parser.parse_args()
    if options.docs:
        write_docs(options.results, options.docs)
    else:
        write(options.results, options.output)


if __name__ == '__main__':
    main()
