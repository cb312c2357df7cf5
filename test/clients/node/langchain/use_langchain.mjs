// @langchain/community: PGVectorStore, its hnsw index, and the extension in a schema of its choice (where it cannot
// create an index, on pgvector neither: it writes the type without the schema).
import { PGVectorStore } from '@langchain/community/vectorstores/pgvector';
import { Embeddings } from '@langchain/core/embeddings';
import pg from 'pg';
import { MANY, check, cosine, embed, l2, nearest, options, versions } from '../check.mjs';

versions('@langchain/community', '@langchain/core', 'pg');
class Embedder extends Embeddings {
  async embedDocuments(texts) { return texts.map(embed); }
  async embedQuery(text) { return embed(text); }
}

for (const [name, strategy, distance, more] of [
  ['cosine', 'cosine', cosine, {}], ['euclidean', 'euclidean', l2, {}], ['elsewhere', 'cosine', cosine, { extensionSchemaName: 'elsewhere' }]]) {
  const admin = new pg.Client(options);
  await admin.connect();
  await admin.query('DROP EXTENSION IF EXISTS vector CASCADE; DROP SCHEMA IF EXISTS elsewhere CASCADE; CREATE SCHEMA elsewhere');
  const store = await PGVectorStore.initialize(new Embedder({}), {
    postgresConnectionOptions: options, tableName: name, distanceStrategy: strategy, collectionTableName: `collections_${name}`, collectionName: 'one', ...more,
  });
  await store.addDocuments(MANY.map((_, i) => ({ pageContent: `text ${i}`, metadata: { n: i, parity: i % 2 } })));
  const found = async (k, filter) => (await store.similaritySearch('text 7', k, filter)).map((d) => d.metadata.n);
  check(`${name}: search`, await found(5), nearest(embed('text 7'), 5, distance));
  if (name !== 'elsewhere') {
    await store.createHnswIndex({ dimensions: 8, m: 16, efConstruction: 64, namespace: name });
    const { rows } = await admin.query('SELECT amname FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam WHERE indrelid = $1::regclass AND amname = $2', [name, 'hnsw']);
    check(`${name}: indexed`, rows.length, 1);
    check(`${name}: search with hnsw`, await found(5), nearest(embed('text 7'), 5, distance));
  }
  check(`${name}: filter`, await found(5, { parity: 1 }), nearest(embed('text 7'), 5, distance, (i) => i % 2 === 1));
  check(`${name}: filter with an operator`, await found(3, { n: { lt: 100 } }), nearest(embed('text 7'), 3, distance, (i) => i < 100));
  await store.delete({ filter: { n: 7 } });
  check(`${name}: deleted`, await found(1), nearest(embed('text 7'), 2, distance).slice(1));
  const { rows } = await admin.query("SELECT extnamespace::regnamespace::text AS schema FROM pg_extension WHERE extname = 'vector'");
  check(`${name}: the extension's schema`, rows, [{ schema: name === 'elsewhere' ? name : 'public' }]);
  await store.end();
  await admin.end();
}
