#!/bin/sh
# psql: simple queries, the backslash commands that read the catalog, \gdesc, cursors, COPY both
# ways, transactions, refusals, cancel by SIGINT.
set -eu
client=psql
. "$(dirname -- "$0")/connection.sh"

# Unaligned, no headings, no start-up file; errors are part of the answer.
ask() { psql -X -q -A -t "$@" 2>&1 || true; }

check 'a query' '1|Green tea|6.50' "$(ask -c 'SELECT id, name, price FROM products WHERE id = 1')"
check 'two statements in one message' '1
2' "$(ask -c "SELECT id FROM products WHERE sku = 'TEA-001'; SELECT id FROM products WHERE sku = 'TEA-002'")"
check 'an empty statement' '' "$(ask -c ';')"
check 'the server version' 'yes' "$(ask <<'SQL'
SELECT CASE WHEN :SERVER_VERSION_NUM >= 140000 THEN 'yes' END;
SQL
)"
check_contains '\dt' 'public|products|table|' "$(ask -c '\dt public.*')"
check_contains '\d' 'sku|text||not null|' "$(ask -c '\d products')"
check_contains '\d+' 'products_pkey' "$(psql -X -q -A -c '\d+ public.products' 2>&1)"
check_contains '\dn' 'public|' "$(ask -c '\dn')"
check_contains '\gdesc' 'price|numeric(10,2)' "$(ask <<'SQL'
SELECT id, price FROM products \gdesc
SQL
)"
check 'fetching through a cursor' '1 2 3 4 5 6 7 8' "$(ask <<'SQL' | xargs
\set FETCH_COUNT 3
SELECT id FROM products ORDER BY id;
SQL
)"
check '\copy to' '1,Green tea
2,Black tea' "$(ask -c '\copy (SELECT id, name FROM products WHERE id < 3 ORDER BY id) TO STDOUT (FORMAT csv)')"
check '\copy from' 'by psql' "$(ask <<'SQL'
BEGIN;
\copy tickets (subject, body) FROM STDIN
by psql	first line\nsecond line
\.
SELECT subject FROM tickets WHERE body = E'first line\nsecond line';
ROLLBACK;
SQL
)"
check 'the rollback' '0' "$(ask -c "SELECT count(*) FROM tickets WHERE subject = 'by psql'")"
check 'SQL PREPARE' 'Espresso beans' "$(ask <<'SQL'
PREPARE product(integer) AS SELECT name FROM products WHERE id = $1;
EXECUTE product(3);
DEALLOCATE product;
SQL
)"

check 'a refusal, and the session goes on' '42501
Green tea' "$(ask -v VERBOSITY=sqlstate 2>&1 <<'SQL' | sed 's/^.*ERROR: *//'
SELECT ssn FROM customers;
SELECT name FROM products WHERE id = 1;
SQL
)"
check_contains 'the words of a refusal' 'permission denied' "$(ask -c 'SELECT ssn FROM customers')"
check 'a refusal in a transaction' '42501
25P02
Green tea' "$(ask -v VERBOSITY=sqlstate 2>&1 <<'SQL' | sed 's/^.*ERROR: *//'
BEGIN;
SELECT ssn FROM customers;
SELECT name FROM products WHERE id = 2;
ROLLBACK;
SELECT name FROM products WHERE id = 1;
SQL
)"
check 'a savepoint saves it' '42501
Green tea' "$(ask -v VERBOSITY=sqlstate 2>&1 <<'SQL' | sed 's/^.*ERROR: *//'
BEGIN;
SAVEPOINT here;
SELECT ssn FROM customers;
ROLLBACK TO SAVEPOINT here;
SELECT name FROM products WHERE id = 1;
COMMIT;
SQL
)"
check 'an error of the database' '22012' "$(ask -v VERBOSITY=sqlstate 2>&1 <<'SQL' | sed 's/^.*ERROR: *//'
SELECT id / (id - id) FROM products;
SQL
)"

# 8 to the power of 12 rows to count: more than anybody waits for.
output=$(mktemp)
trap 'rm -f "$output"' EXIT
psql -X -q -A -t -v VERBOSITY=sqlstate >"$output" 2>&1 <<'SQL' &
SELECT count(*) FROM products a, products b, products c, products d, products e, products f,
    products g, products h, products i, products j, products k, products l;
SQL
sleep 1
kill -INT $!
wait $! || true
check 'cancel' 57014 "$(sed -n 's/^.*ERROR: *//p' "$output")"

echo "ok $client: $checks checks"
