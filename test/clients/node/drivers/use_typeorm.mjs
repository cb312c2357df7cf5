// TypeORM: its own vector and halfvec columns, synchronization, and a second one that finds nothing to do.
import { DataSource, EntitySchema } from 'typeorm';
import { BITS, BIT_DISTANCES, DISTANCES, MANY, VECTORS, check, near, nearest, options, versions } from '../check.mjs';

versions('typeorm', 'pg');
const Item = new EntitySchema({
  name: 'items',
  columns: {
    id: { type: 'int', primary: true }, embedding: { type: 'vector', length: 3 }, half: { type: 'halfvec', length: 3 },
    bits: { type: 'bit', length: 3 }, any: { type: 'vector', nullable: true },
  },
});
const Big = new EntitySchema({ name: 'big', columns: { id: { type: 'int', primary: true }, embedding: { type: 'vector', length: 8 } } });
const source = new DataSource({ type: 'postgres', ...options, username: options.user, entities: [Item, Big], synchronize: false });
await source.initialize();
await source.query('CREATE EXTENSION IF NOT EXISTS vector');
await source.synchronize();
check('a second synchronization has nothing to do', (await source.driver.createSchemaBuilder().log()).upQueries.map((q) => q.query), []);

const items = source.getRepository('items');
const big = source.getRepository('big');
await items.save(VECTORS.map((v, i) => ({ id: i + 1, embedding: v, half: v, bits: BITS[i], any: [...v, ...v] })));
await big.insert(MANY.map((embedding, id) => ({ id, embedding })));
const item = await items.findOneByOrFail({ id: 3 });
check('values', [item.embedding, item.half, item.bits, item.any], [VECTORS[2], VECTORS[2], BITS[2], [...VECTORS[2], ...VECTORS[2]]]);
for (const [operator, expected] of Object.entries({ ...DISTANCES, ...BIT_DISTANCES })) {
  for (const column of operator in DISTANCES ? ['embedding', 'half'] : ['bits']) {
    const rows = await items.createQueryBuilder('i').select(`i.${column} ${operator} :value`, 'd').orderBy('i.id')
      .setParameters({ value: column === 'bits' ? '101' : '[1,1,1]' }).getRawMany();
    near(`${column} ${operator}`, rows.map((r) => r.d), expected);
  }
}
await source.query('CREATE INDEX ON big USING hnsw (embedding vector_l2_ops)');
await source.transaction(async (manager) => {
  await manager.query('SET LOCAL enable_seqscan = off');
  const builder = () => manager.createQueryBuilder('big', 'b').orderBy('b.embedding <-> :query').setParameters({ query: JSON.stringify(MANY[5]) }).limit(5);
  check('hnsw', (await builder().getMany()).map((r) => r.id), nearest(MANY[5], 5));
  check('filter', (await builder().where('b.id < 100').getMany()).map((r) => r.id), nearest(MANY[5], 5, undefined, (i) => i < 100));
});
await source.destroy();
