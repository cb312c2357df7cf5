// @mastra/pg: PgVector, which reads the catalogs for the extension's schema, dimensions and index options.  Of this version: whatever
// the metric of the index, it orders by <=>; and with schemaName it does not find the extension it created there.
import { PgVector } from '@mastra/pg';
import { MANY, check, cosine, nearest, options, versions } from '../check.mjs';

versions('@mastra/pg', '@mastra/core');
const store = new PgVector({
  id: 'ann', connectionString: `postgresql://${options.user}:${options.password}@${options.host}:${options.port}/${options.database}`,
});
for (const metric of ['cosine', 'euclidean', 'dotproduct']) {
  for (const indexConfig of [{ type: 'hnsw', hnsw: { m: 8, efConstruction: 32 } }, { type: 'ivfflat', ivf: { lists: 10 } }, { type: 'flat' }]) {
    const indexName = `${metric}_${indexConfig.type}`;
    await store.createIndex({ indexName, dimension: 8, metric, indexConfig });
    await store.upsert({ indexName, vectors: MANY, metadata: MANY.map((_, n) => ({ n, parity: n % 2 })), ids: MANY.map((_, n) => String(n)) });
    const query = async (topK, filter) => (await store.query({ indexName, queryVector: MANY[5], topK, filter, ef: 100, probes: 10 })).map((r) => r.metadata.n);
    check(`${indexName}: search`, await query(5), nearest(MANY[5], 5, cosine));
    check(`${indexName}: filter`, await query(5, { parity: 1 }), nearest(MANY[5], 5, cosine, (i) => i % 2 === 1));
    const { dimension, count, metric: described, type, config } = await store.describeIndex({ indexName });
    check(`${indexName}: described`, { dimension, count, described, type }, { dimension: 8, count: 1000, described: indexConfig.type === 'flat' ? 'cosine' : metric, type: indexConfig.type });
    if (type === 'hnsw') {
      check(`${indexName}: options`, [config.m, config.efConstruction], [8, 32]);
    }
    await store.deleteVector({ indexName, id: '5' });
    check(`${indexName}: deleted`, (await query(1))[0] !== 5);
    await store.deleteIndex({ indexName });
  }
}
await store.disconnect();
