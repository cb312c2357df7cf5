// Sequelize with pgvector: data types, indexes in the model, the six distance functions.
import { DataTypes, Sequelize } from 'sequelize';
import * as functions from 'pgvector/sequelize';
import { SparseVector } from 'pgvector';
import { BITS, BIT_DISTANCES, DISTANCES, MANY, VECTORS, check, near, nearest, options, versions } from '../check.mjs';

versions('sequelize', 'pgvector');
const METHODS = {
  '<->': 'l2Distance', '<#>': 'maxInnerProduct', '<=>': 'cosineDistance', '<+>': 'l1Distance', '<~>': 'hammingDistance', '<%>': 'jaccardDistance',
};
functions.default.registerTypes(Sequelize);
const connect = () => new Sequelize(options.database, options.user, options.password,
  { host: options.host, port: options.port, dialect: 'postgres', logging: false, define: { timestamps: false } });
// the first connection would not know the types
const first = connect();
await first.query('CREATE EXTENSION IF NOT EXISTS vector');
await first.close();
const sequelize = connect();
const Item = sequelize.define('Item', {
  embedding: DataTypes.VECTOR(3), half: DataTypes.HALFVEC(3), bits: 'BIT(3)', sparse: DataTypes.SPARSEVEC(3),
}, { tableName: 'items' });
const Big = sequelize.define('Big', { id: { type: DataTypes.INTEGER, primaryKey: true }, embedding: DataTypes.VECTOR(8) },
  { tableName: 'big', indexes: [{ name: 'big_hnsw', fields: ['embedding'], using: 'hnsw', operator: 'vector_l2_ops' }] });
await sequelize.sync({ force: true });
await Item.bulkCreate(VECTORS.map((v, i) => ({ id: i + 1, embedding: v, half: v, bits: BITS[i], sparse: new SparseVector(v) })));
await Big.bulkCreate(MANY.map((v, id) => ({ id, embedding: v })));

const item = await Item.findByPk(3);
check('values', [item.embedding, item.half, item.bits, item.sparse.toArray()], [VECTORS[2], VECTORS[2], BITS[2], VECTORS[2]]);
for (const [operator, expected] of Object.entries({ ...DISTANCES, ...BIT_DISTANCES })) {
  for (const column of operator in DISTANCES ? ['embedding', 'half', 'sparse'] : ['bits']) {
    const value = { sparse: new SparseVector(VECTORS[0]), bits: '101' }[column] ?? VECTORS[0];
    const distance = functions[METHODS[operator]](column, value, sequelize);
    const rows = await Item.findAll({ attributes: [[distance, 'd']], order: ['id'], raw: true });
    near(`${column} ${operator}`, rows.map((r) => r.d), expected);
  }
}
await sequelize.transaction(async (transaction) => {
  await sequelize.query('SET LOCAL enable_seqscan = off', { transaction });
  const order = functions.l2Distance('embedding', MANY[5], sequelize);
  check('hnsw', (await Big.findAll({ order, limit: 5, transaction })).map((r) => r.id), nearest(MANY[5], 5));
  check('filter', (await Big.findAll({ order, where: { id: [...Array(100).keys()] }, limit: 5, transaction })).map((r) => r.id),
    nearest(MANY[5], 5, undefined, (i) => i < 100));
});
const description = await sequelize.getQueryInterface().describeTable('items');
check('describeTable', ['embedding', 'half', 'sparse'].map((c) => description[c].type), Array(3).fill('USER-DEFINED'));
await sequelize.close();
