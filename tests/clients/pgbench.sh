#!/bin/sh
# pgbench: four clients at once in each of its protocols, and one login for each transaction.
set -eu
client=pgbench
here=$(dirname -- "$0")
. "$here/connection.sh"

refused=$(mktemp)
trap 'rm -f "$refused"' EXIT
echo 'SELECT ssn FROM public.customers;' >"$refused"

bench() { pgbench --no-vacuum --client=4 --jobs=2 "$@" 2>&1 || echo "exit status $?"; }
transactions() { sed -n 's/^number of transactions actually processed: //p'; }

for protocol in simple extended prepared; do
    output=$(bench --protocol="$protocol" --transactions=200 --file="$here/pgbench.sql")
    check_contains "$protocol" 'number of transactions actually processed: 800/800' "$output"
    output=$(bench --protocol="$protocol" --transactions=1 --file="$refused")
    check_contains "a refusal, $protocol" 'permission denied' "$output"
    check_contains "nothing ran, $protocol" 'number of transactions actually processed: 0/4' "$output"
done
check 'a login for each transaction' 40/40 \
    "$(bench --connect --transactions=10 --file="$here/pgbench.sql" | transactions)"

echo "ok $client: $checks checks"
