// Knex with pgvector: schema builder, inserts, the six distance functions.
import Knex from 'knex';
import pgvector from 'pgvector/knex';
import { SparseVector } from 'pgvector';
import { BITS, BIT_DISTANCES, DISTANCES, MANY, VECTORS, check, near, nearest, options, versions } from '../check.mjs';

versions('knex', 'pgvector');
const METHODS = {
  '<->': 'l2Distance', '<#>': 'maxInnerProduct', '<=>': 'cosineDistance', '<+>': 'l1Distance', '<~>': 'hammingDistance', '<%>': 'jaccardDistance',
};
const knex = Knex({ client: 'pg', connection: options });
await knex.schema.createExtensionIfNotExists('vector');
await knex.schema.createTable('items', (table) => {
  table.increments('id');
  table.vector('embedding', 3);
  table.halfvec('half', 3);
  table.specificType('bits', 'bit(3)');
  table.sparsevec('sparse', 3);
});
await knex('items').insert(VECTORS.map((v, i) => (
  { embedding: pgvector.toSql(v), half: pgvector.toSql(v), bits: BITS[i], sparse: pgvector.toSql(new SparseVector(v)) })));

for (const [operator, expected] of Object.entries({ ...DISTANCES, ...BIT_DISTANCES })) {
  for (const column of operator in DISTANCES ? ['embedding', 'half', 'sparse'] : ['bits']) {
    const value = { sparse: new SparseVector(VECTORS[0]), bits: '101' }[column] ?? VECTORS[0];
    const rows = await knex('items').select({ d: knex[METHODS[operator]](column, value) }).orderBy('id');
    near(`${column} ${operator}`, rows.map((r) => r.d), expected);
  }
}
check('columns', Object.keys(await knex('items').columnInfo()), ['id', 'embedding', 'half', 'bits', 'sparse']);

await knex.schema.createTable('big', (table) => {
  table.integer('id');
  table.vector('embedding', 8);
});
await knex.batchInsert('big', MANY.map((v, id) => ({ id, embedding: pgvector.toSql(v) })), 100);
await knex.schema.alterTable('big', (table) => table.index(knex.raw('embedding vector_l2_ops'), 'big_hnsw', 'hnsw'));
await knex.transaction(async (trx) => {
  await trx.raw('SET LOCAL enable_seqscan = off');
  const rows = await trx('big').select('id').orderBy(knex.l2Distance('embedding', MANY[5])).limit(5);
  check('hnsw', rows.map((r) => r.id), nearest(MANY[5], 5));
  const few = await trx('big').select('id').where('id', '<', 100).orderBy(knex.l2Distance('embedding', MANY[5])).limit(5);
  check('filter', few.map((r) => r.id), nearest(MANY[5], 5, undefined, (i) => i < 100));
});
await knex.destroy();
