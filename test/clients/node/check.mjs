// What the programs of this directory share: checks, as TAP, and the data.
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

const env = process.env;
export const options = {
  host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, password: env.PGPASSWORD, database: env.PGDATABASE,
};

const show = (value) => JSON.stringify(value);

// One line of TAP: is what was got what was expected?
export function check(name, got, expected = true) {
  if (isDeepStrictEqual(got, expected)) {
    console.log(`ok - ${name}`);
  } else {
    console.log(`not ok - ${name}\n#  got:      ${show(got)}\n#  expected: ${show(expected)}`);
    process.exitCode = 1;
  }
}

// The same for numbers, which may differ in the last digits of float4.
export function near(name, got, expected) {
  const close = got.length === expected.length && got.every((x, i) => Math.abs(x - expected[i]) < 1e-6 * (1 + Math.abs(x)));
  check(name, close ? expected : got, expected);
}

export function versions(...names) {
  const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
  console.log(`# ${names.map((name) => `${name} ${version(name)}`).join(', ')}`);
}

function died(error) {
  console.log(`not ok - ${String(error).replaceAll('\n', ' ')}`);
  console.log((error.stack ?? '').replaceAll(/^/gm, '#  '));
  process.exit(1);
}
process.on('uncaughtException', died);
process.on('unhandledRejection', died);

// Three vectors with known distances from the first
export const VECTORS = [[1, 1, 1], [2, 2, 2], [1, 1, 2]];
export const DISTANCES = {
  '<->': [0, Math.sqrt(3), 1], '<#>': [-3, -6, -4], '<=>': [0, 0, 1 - 4 / Math.sqrt(18)], '<+>': [0, 3, 1],
};
export const BITS = ['000', '101', '111'];
export const BIT_DISTANCES = { '<~>': [2, 0, 1], '<%>': [1, 0, 1 / 3] };

// From -1 to 1, the same for the same number
function noise(seed) {
  let x = Math.imul(seed ^ (seed >>> 16), 0x45d9f3b);
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  return ((x ^ (x >>> 16)) | 0) / 2 ** 31;
}
const row = (i) => Array.from({ length: 8 }, (_, j) => noise(i * 8 + j + 1));
export const MANY = Array.from({ length: 1000 }, (_, i) => row(i));

// An embedding of a text, out of thin air: that of the number in it.
export const embed = (text) => row(Number(text.match(/\d+/)[0]));

export const l2 = (a, b) => Math.hypot(...a.map((x, i) => x - b[i]));
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
export const cosine = (a, b) => 1 - dot(a, b) / Math.hypot(...a) / Math.hypot(...b);

// Positions of the k rows nearest to a query, among those a condition holds for.
export function nearest(query, k, distance = l2, condition = () => true, rows = MANY) {
  return rows.map((_, i) => i).filter(condition).sort((i, j) => distance(query, rows[i]) - distance(query, rows[j])).slice(0, k);
}
