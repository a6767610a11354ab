// node-postgres: the simple and the extended protocol, named statements, binary results,
// transactions, refusals, a pool. The test's variables are described in `run`.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { Client, Pool } = require('pg');

const REFUSED = 'SELECT ssn FROM customers';
let passed = 0;

function check(what, expected, actual) {
  assert.deepEqual(actual, expected, what);
  passed += 1;
}

function parameters() {
  const env = process.env;
  const settings = {
    host: env.PGWARD_HOST,
    port: Number(env.PGWARD_PORT),
    user: env.PGWARD_USER,
    database: env.PGWARD_DB,
    connectionTimeoutMillis: 10_000,
  };
  if ((env.PGWARD_CHANNEL ?? 'password') === 'password') settings.password = env.PGWARD_TOKEN;
  else settings.options = `-c pgward.token=${env.PGWARD_TOKEN}`;
  if (env.PGWARD_SSLROOTCERT) settings.ssl = { ca: fs.readFileSync(env.PGWARD_SSLROOTCERT, 'utf8') };
  return settings;
}

async function queries(client) {
  let result = await client.query('SELECT id, name, price FROM products WHERE id = 1');
  check('a simple query', [{ id: 1, name: 'Green tea', price: '6.50' }], result.rows);
  result = await client.query('SELECT name FROM products WHERE id = $1', [3]);
  check('a parameter', [{ name: 'Espresso beans' }], result.rows);
  result = await client.query("SELECT id FROM products WHERE id = 1; SELECT id FROM products WHERE id = 2");
  check('two statements in one message', [[{ id: 1 }], [{ id: 2 }]], result.map((one) => one.rows));
  for (const id of [1, 2]) {
    result = await client.query({ name: 'product', text: 'SELECT id FROM products WHERE id = $1', values: [id] });
    check('a named statement', [{ id }], result.rows);
  }
  result = await client.query({ text: 'SELECT id FROM products WHERE id = $1', values: [4], binary: true });
  check('binary', [{ id: 4 }], result.rows);
  result = await client.query('SELECT tags, attributes FROM products WHERE id = 1');
  check('array and json', [{ tags: ['tea', 'organic'], attributes: { origin: 'JP', weight_g: 100 } }], result.rows);
  result = await client.query({ text: 'SELECT name, region FROM customers WHERE id = 1', rowMode: 'array' });
  check('columns that are open', [['Ben Brandt', 'US']], result.rows);
}

async function transactions(client) {
  const count = "SELECT count(*)::int AS n FROM tickets WHERE subject = 'by node-postgres'";
  await client.query('BEGIN');
  const result = await client.query(
    'INSERT INTO tickets (subject, body) VALUES ($1, $2) RETURNING subject',
    ['by node-postgres', "it's a ticket"],
  );
  check('INSERT', [{ subject: 'by node-postgres' }], result.rows);
  check('inserted', [{ n: 1 }], (await client.query(count)).rows);
  await client.query('ROLLBACK');
  check('the rollback', [{ n: 0 }], (await client.query(count)).rows);
}

async function refusals(client) {
  const ways = {
    simple: REFUSED,
    extended: { text: `${REFUSED} WHERE id = $1`, values: [1] },
    named: { name: 'refused', text: REFUSED },
  };
  for (const [what, query] of Object.entries(ways)) {
    // Twice: a refused statement must not count as prepared.
    for (let time = 0; time < 2; time += 1) {
      await assert.rejects(client.query(query), (error) => {
        check(`SQLSTATE, ${what}`, '42501', error.code);
        check(`words, ${what}`, true, error.message.includes('permission denied'));
        return true;
      });
    }
    const result = await client.query('SELECT name FROM products WHERE id = 1');
    check(`the session goes on, ${what}`, [{ name: 'Green tea' }], result.rows);
  }
  await client.query('BEGIN');
  await assert.rejects(client.query(REFUSED), { code: '42501' });
  await assert.rejects(client.query('SELECT name FROM products WHERE id = 1'), { code: '25P02' });
  await client.query('ROLLBACK');
  check('after a broken transaction', 1, (await client.query('SELECT id FROM products WHERE id = 1')).rowCount);
}

async function pool() {
  const pooled = new Pool({ ...parameters(), max: 4 });
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, n) => pooled.query('SELECT id FROM products WHERE id = $1', [1 + (n % 8)])),
  );
  check('a pool', true, results.every((result, n) => result.rows[0].id === 1 + (n % 8)));
  await pooled.end();
}

async function main() {
  const client = new Client(parameters());
  await client.connect();
  await queries(client);
  await transactions(client);
  await refusals(client);
  await client.end();
  await pool();
}

main().then(
  () => console.log(`ok node_pg: ${passed} checks`),
  (error) => {
    console.log(error.stack);
    console.log(`failed node_pg: ${error.message}`);
    process.exit(1);
  },
);
