#!/usr/bin/env python3
"""Data sets: reading them, making them up, and the true nearest rows.

A data set is asked for by a source and options, NAME=VALUE, with commas between:

    sift_base.fvecs,queries=sift_query.fvecs,metric=l2      .npy, .fvecs, .bvecs, .ivecs
    glove-100-angular.hdf5                                  of ann-benchmarks; needs h5py
    clustered,rows=20000,dims=1536,metric=cosine            made up

Options of all: rows (the first so many), metric (l2, ip, cosine, hamming, jaccard), name, count (of queries), k, features (so
many dimensions are made of those there are, which keeps who is near whom, by L2: real neighbourhoods in as many as one likes).
Without queries some rows are taken out to be them.  For hamming and jaccard an element is a bit: whether it is above 0.

As a program, writes data that are made up: datasets.py clustered,rows=20000,dims=1536 BASE.npy QUERIES.npy
"""
import os
import sys

import numpy

METRICS = ('l2', 'ip', 'cosine', 'hamming', 'jaccard')
CHUNK = 16384


class Dataset:
    """Rows, queries, rows to be inserted later, and the metric.  Row i has id i and a random tag below 1000."""

    def __init__(self, name, metric, base, queries, extra, k):
        self.name, self.metric, self.k = name, metric, k
        self.base, self.queries, self.extra = base, queries, extra
        self.rows, self.dims = base.shape
        self.tags = numpy.random.default_rng(1).integers(0, 1000, self.rows + len(extra)).astype(numpy.int32)
        self._farthest = {}     # distance of the k-th nearest, for every query, by what tags are below

    @property
    def bits(self):
        return self.metric in ('hamming', 'jaccard')

    def recall(self, found, below=1000):
        """Share of the k nearest rows, among those whose tag is below that, that were found: a list of ids for each query.
        By distance, so ties count."""
        rows = self.base[self.tags[:self.rows] < below]
        k = min(self.k, len(rows))
        if below not in self._farthest:
            self._farthest[below] = kth_distances(rows, self.queries, self.metric, k)
        return self._share(found, self.queries, self._farthest[below], k)

    def recall_first(self, found, queries):
        """The same of the one nearest row to each of other queries."""
        return self._share(found, queries, kth_distances(self.base, queries, self.metric, 1), 1)

    def _share(self, found, queries, farthest, k):
        hits = 0
        for ids, query, kth in zip(found, queries, farthest):
            if len(ids):
                d = distances(query[None], self.base[numpy.asarray(ids[:k])], self.metric)
                hits += (d <= kth + 1e-6 * max(abs(kth), 1e-3)).sum()
        return float(hits / (len(found) * k))


def distances(queries, rows, metric):
    """One line for each query; of L2, the squares."""
    x, y = queries.astype(numpy.float64), rows.astype(numpy.float64)
    if metric == 'cosine':
        x, y = unit(x), unit(y)
    dot = x @ y.T
    if metric == 'ip':
        return -dot
    if metric == 'cosine':
        return 1 - dot
    if metric == 'jaccard':
        both = x.sum(1)[:, None] + y.sum(1) - dot
        return 1 - dot / numpy.maximum(both, 1)
    return numpy.maximum((x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * dot, 0)


def kth_distances(rows, queries, metric, k):
    best = numpy.full((len(queries), k), numpy.inf)
    for start in range(0, len(rows), CHUNK):
        best = numpy.hstack([best, distances(queries, rows[start:start + CHUNK], metric)])
        best = numpy.partition(best, k - 1, axis=1)[:, :k]
    return best[:, k - 1]


def unit(x):
    return x / numpy.maximum(numpy.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def near_duplicates(rows, cosine, count):
    """Rows turned away by a random angle of that cosine, at the same norm."""
    rng = numpy.random.default_rng(4)
    x = rows[rng.choice(len(rows), count, replace=False)].astype(numpy.float32)
    noise = rng.standard_normal(x.shape, dtype=numpy.float32)
    noise -= (noise * x).sum(1, keepdims=True) / numpy.maximum((x * x).sum(1, keepdims=True), 1e-30) * x
    norms = numpy.linalg.norm(x, axis=1, keepdims=True)
    return cosine * x + numpy.sqrt(1 - cosine ** 2) * norms * unit(noise)


def make_clustered(rows, dims, rng):
    """Like embeddings of text: clusters within clusters, most of the variance in few directions, a mean that is not 0,
    unit norms.  Estimates of the intrinsic dimension (below) are near those of real embeddings, 20 to 30."""
    rank = min(dims, 256)
    spread = (numpy.arange(1, rank + 1) ** -0.4).astype(numpy.float32)
    directions = numpy.linalg.qr(rng.standard_normal((dims, rank)))[0].T.astype(numpy.float32)
    topics = 1 + int(rows ** 0.5) // 8
    outer = rng.standard_normal((topics, rank), dtype=numpy.float32)
    inner = outer[rng.integers(0, topics, 8 * topics)] + 0.7 * rng.standard_normal((8 * topics, rank), dtype=numpy.float32)
    mean = rng.standard_normal(rank, dtype=numpy.float32)
    x = numpy.empty((rows, dims), numpy.float32)
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        latent = inner[(len(inner) * rng.random(count) ** 2).astype(int)]
        latent += 1.3 * rng.standard_normal((count, rank), dtype=numpy.float32)
        chunk = ((latent + mean) * spread) @ directions
        chunk += 0.05 / dims ** 0.5 * rng.standard_normal(chunk.shape, dtype=numpy.float32)
        x[start:start + count] = unit(chunk)
    return x


def make_uniform(rows, dims, rng):
    """The worst case: no structure at all."""
    return rng.random((rows, dims), dtype=numpy.float32)


def make_sets(rows, dims, rng):
    """Sets of a twentieth of the elements; half of them are others of which some elements were exchanged."""
    x = (rng.random((rows, dims)) < 0.05).astype(numpy.float32)
    for i in range(rows // 2, rows):
        x[i] = x[i - rows // 2]
        for _ in range(max(1, dims // 200)):
            inside = numpy.flatnonzero(x[i])
            x[i, rng.choice(inside) if len(inside) else 0] = 0
            x[i, rng.integers(dims)] = 1
    return x[rng.permutation(rows)]


MAKERS = {'clustered': make_clustered, 'uniform': make_uniform, 'sets': make_sets}


def make_features(base, count):
    """Random Fourier features (Rahimi and Recht, 2007) of a Gaussian as wide as rows are apart: a function."""
    rng = numpy.random.default_rng(5)
    some = numpy.asarray(base[rng.choice(len(base), min(500, len(base)), replace=False)], numpy.float32)
    width = float(numpy.sqrt(numpy.median(distances(some, some, 'l2'))))
    directions = rng.standard_normal((base.shape[1], count), dtype=numpy.float32) / width
    phases = 2 * numpy.pi * rng.random(count, dtype=numpy.float32)

    def features(x):
        chunks = [numpy.cos(numpy.asarray(x[i:i + CHUNK], numpy.float32) @ directions + phases) for i in range(0, len(x), CHUNK)]
        return numpy.concatenate(chunks) if chunks else numpy.empty((0, count), numpy.float32)
    return features


def intrinsic_dimension(rows, k=20, count=500):
    """Levina and Bickel's estimate, with MacKay's and Ghahramani's average."""
    chosen = numpy.random.default_rng(2).choice(len(rows), min(count, len(rows)), replace=False)
    d = numpy.sort(numpy.sqrt(distances(rows[chosen], rows, 'l2')), axis=1)[:, 1:k + 1]
    d = numpy.maximum(d[d[:, -1] > 0], 1e-12)
    return float(1 / numpy.log(d[:, -1:] / d[:, :-1]).mean())


def read_vectors(path):
    """The rows of a file, mapped and not read where the format allows it."""
    kind = os.path.splitext(path)[1]
    if kind == '.npy':
        return numpy.load(path, mmap_mode='r')
    if kind in ('.fvecs', '.bvecs', '.ivecs'):
        element = {'.fvecs': '<f4', '.bvecs': 'u1', '.ivecs': '<i4'}[kind]
        with open(path, 'rb') as file:
            dims = int(numpy.frombuffer(file.read(4), '<i4')[0])
        return numpy.memmap(path, numpy.dtype([('dims', '<i4'), ('x', element, dims)]), 'r')['x']
    sys.exit(f'{path}: the format of {kind} files is not known')


def read_hdf5(path):
    import h5py
    with h5py.File(path, 'r') as file:
        metric = {'euclidean': 'l2', 'angular': 'cosine', 'dot': 'ip', 'hamming': 'hamming',
                  'jaccard': 'jaccard'}[file.attrs['distance']]
        return file['train'][:], file['test'][:], metric


def load(spec, wanted_extra=3000):
    """The data set of a specification, see above."""
    source, *options = spec.split(',')
    options = dict(option.split('=', 1) for option in options)
    rows = int(options.pop('rows', 0))
    count = int(options.pop('count', 500))
    k = int(options.pop('k', 10))
    metric = options.pop('metric', None)
    name = options.pop('name', None)
    dims_wanted = int(options.pop('features', 0))
    queries = None
    if source in MAKERS:
        rows, dims = rows or 20000, int(options.pop('dims', 128))
        base = MAKERS[source](rows + wanted_extra + count, dims, numpy.random.default_rng(0))
        name = name or f'{source}{dims}'
        metric = metric or {'clustered': 'cosine', 'sets': 'jaccard'}.get(source, 'l2')
    elif source.endswith(('.hdf5', '.h5')):
        base, queries, its_metric = read_hdf5(source)
        metric = metric or its_metric
    else:
        base = read_vectors(source)
        if 'queries' in options:
            queries = read_vectors(options.pop('queries'))
    metric = metric or 'l2'
    if options or metric not in METRICS:
        sys.exit(f'{spec}: there is no such option or metric')

    if queries is None:
        chosen = numpy.random.default_rng(3).permutation(len(base))
        queries, base = base[numpy.sort(chosen[:count])], base[numpy.sort(chosen[count:])]
    # What is to be inserted comes after the rows, or else from among them.
    rows = min(rows or len(base), len(base) - min(wanted_extra, len(base) // 10))
    extra = numpy.asarray(base[rows:rows + wanted_extra], numpy.float32)
    base, queries = numpy.asarray(base[:rows], numpy.float32), numpy.asarray(queries[:count], numpy.float32)
    if dims_wanted:
        features = make_features(base, dims_wanted)
        base, queries, extra = features(base), features(queries), features(extra)
    if metric in ('hamming', 'jaccard'):
        base, queries, extra = ((x > 0).astype(numpy.float32) for x in (base, queries, extra))
    name = name or os.path.basename(source).split('.')[0]
    return Dataset(name, metric, base, queries, extra, k)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    data = load(sys.argv[1])
    print(f'{data.rows} rows of {data.dims} dimensions; intrinsic dimension {intrinsic_dimension(data.base):.0f}')
    numpy.save(sys.argv[2], data.base)
    numpy.save(sys.argv[3], data.queries)


if __name__ == '__main__':
    main()
