// Drizzle ORM: its own vector types, distance functions and indexes.
import * as drizzle from 'drizzle-orm';
import { drizzle as connect } from 'drizzle-orm/node-postgres';
import { bit, halfvec, integer, pgTable, sparsevec, vector } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { BITS, BIT_DISTANCES, DISTANCES, MANY, VECTORS, check, near, nearest, options, versions } from '../check.mjs';

versions('drizzle-orm', 'pg');
const METHODS = {
  '<->': 'l2Distance', '<#>': 'innerProduct', '<=>': 'cosineDistance', '<+>': 'l1Distance', '<~>': 'hammingDistance', '<%>': 'jaccardDistance',
};
const pool = new pg.Pool(options);
const db = connect({ client: pool });
await db.execute(drizzle.sql`CREATE EXTENSION IF NOT EXISTS vector`);
await db.execute(drizzle.sql`CREATE TABLE "items" ("id" integer, "embedding" vector(3), "half" halfvec(3), "bits" bit(3), "sparse" sparsevec(3))`);
await db.execute(drizzle.sql`CREATE TABLE "big" ("id" integer, "embedding" vector(8))`);
await db.execute(drizzle.sql`CREATE INDEX "big_hnsw" ON "big" USING hnsw ("embedding" vector_l2_ops) WITH (m=16,ef_construction=64)`);
const items = pgTable('items', {
  id: integer(), embedding: vector({ dimensions: 3 }), half: halfvec({ dimensions: 3 }), bits: bit({ dimensions: 3 }), sparse: sparsevec({ dimensions: 3 }),
});
const big = pgTable('big', { id: integer(), embedding: vector({ dimensions: 8 }) });
await db.insert(items).values(VECTORS.map((v, i) => (
  { id: i + 1, embedding: v, half: v, bits: BITS[i], sparse: `{${v.map((x, j) => `${j + 1}:${x}`)}}/3` })));
await db.insert(big).values(MANY.map((embedding, id) => ({ id, embedding })));

const [item] = await db.select().from(items).where(drizzle.eq(items.id, 3));
check('values', item, { id: 3, embedding: VECTORS[2], half: VECTORS[2], bits: BITS[2], sparse: '{1:1,2:1,3:2}/3' });
for (const [operator, expected] of Object.entries({ ...DISTANCES, ...BIT_DISTANCES })) {
  for (const column of operator in DISTANCES ? ['embedding', 'half', 'sparse'] : ['bits']) {
    const value = { sparse: '{1:1,2:1,3:1}/3', bits: '101' }[column] ?? VECTORS[0];
    const rows = await db.select({ d: drizzle[METHODS[operator]](items[column], value) }).from(items).orderBy(items.id);
    near(`${column} ${operator}`, rows.map((r) => Number(r.d)), expected);
  }
}
await db.transaction(async (tx) => {
  await tx.execute(drizzle.sql`SET LOCAL enable_seqscan = off`);
  const distance = drizzle.l2Distance(big.embedding, MANY[5]);
  check('hnsw', (await tx.select().from(big).orderBy(distance).limit(5)).map((r) => r.id), nearest(MANY[5], 5));
  const few = await tx.select({ id: big.id }).from(big).where(drizzle.lt(big.id, 100)).orderBy(distance).limit(5);
  check('filter', few.map((r) => r.id), nearest(MANY[5], 5, undefined, (i) => i < 100));
});
await pool.end();
