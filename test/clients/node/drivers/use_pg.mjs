// pg (node-postgres) with pgvector: text and typed parameters, arrays, every operator, every type.
import pg from 'pg';
import pgvector from 'pgvector/pg';
import { SparseVector } from 'pgvector';
import { BITS, BIT_DISTANCES, DISTANCES, MANY, VECTORS, check, cosine, near, nearest, options, versions } from '../check.mjs';

versions('pg', 'pgvector');
const client = new pg.Client(options);
await client.connect();
await client.query('SET hnsw.ef_search = 100');
await client.query('CREATE EXTENSION IF NOT EXISTS vector');
await pgvector.registerTypes(client);
await client.query('CREATE TABLE items (id serial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3), many vector(3)[])');
for (const [i, vector] of VECTORS.entries()) {
  const text = pgvector.toSql(vector);
  await client.query('INSERT INTO items (embedding, half, bits, sparse, many) VALUES ($1, $2, $3, $4, $5)',
    [text, text, BITS[i], pgvector.toSql(new SparseVector(vector)), [text, text]]);
}
await client.query('INSERT INTO items (embedding) VALUES ($1::float8[]::vector)', [[0.1, 2, 3]]);
const { rows: [third, fourth] } = await client.query('SELECT * FROM items WHERE id >= 3 ORDER BY id');
check('values', [third.embedding, third.half, third.bits, third.sparse.toArray()], [VECTORS[2], VECTORS[2], BITS[2], VECTORS[2]]);
check('an array of float8', fourth.embedding, [0.1, 2, 3]);

async function distances(column, operator, value) {
  const { rows } = await client.query(`SELECT ${column} ${operator} $1 AS d FROM items WHERE id <= 3 ORDER BY id`, [value]);
  return rows.map((r) => r.d);
}
for (const [operator, expected] of Object.entries(DISTANCES)) {
  near(`embedding ${operator}`, await distances('embedding', operator, '[1,1,1]'), expected);
  near(`half ${operator}`, await distances('half', operator, '[1,1,1]'), expected);
  near(`sparse ${operator}`, await distances('sparse', operator, '{1:1,2:1,3:1}/3'), expected);
}
for (const [operator, expected] of Object.entries(BIT_DISTANCES)) {
  near(`bits ${operator}`, await distances('bits', operator, '101'), expected);
}

await client.query('CREATE TABLE big (id int, embedding vector(8))');
await client.query('INSERT INTO big SELECT * FROM unnest($1::int[], $2::vector[])', [MANY.map((_, i) => i), MANY.map((v) => pgvector.toSql(v))]);
await client.query('CREATE INDEX ON big USING hnsw (embedding vector_l2_ops)');
await client.query('CREATE INDEX ON big USING ivfflat (embedding vector_cosine_ops) WITH (lists = 10)');
await client.query('SET enable_seqscan = off; SET ivfflat.probes = 10');
const query = pgvector.toSql(MANY[5]);
const ids = async (text, name) => (await client.query({ text, name, values: [query] })).rows.map((r) => r.id);
check('hnsw', await ids('SELECT id FROM big ORDER BY embedding <-> $1 LIMIT 5'), nearest(MANY[5], 5));
check('ivfflat', await ids('SELECT id FROM big ORDER BY embedding <=> $1 LIMIT 5'), nearest(MANY[5], 5, cosine));
for (let i = 0; i < 7; i++) {
  await ids('SELECT id FROM big WHERE id % 10 = 3 ORDER BY embedding <-> $1 LIMIT 5', 'filtered');
}
check('filter, prepared', await ids('SELECT id FROM big WHERE id % 10 = 3 ORDER BY embedding <-> $1 LIMIT 5', 'filtered'),
  nearest(MANY[5], 5, undefined, (i) => i % 10 === 3));
await client.end();
