# shellcheck shell=sh disable=SC2154
# Read by the sh programs of this folder: turns the test's variables into libpq's, and counts checks. They set `client`, their name.
# The test's variables are described in `run`.

export PGHOST="$PGWARD_HOST" PGPORT="$PGWARD_PORT" PGUSER="$PGWARD_USER" PGDATABASE="$PGWARD_DB"
export PGCONNECT_TIMEOUT=10
case ${PGWARD_CHANNEL:-password} in
password) export PGPASSWORD="$PGWARD_TOKEN" ;;
options) export PGOPTIONS="-c pgward.token=$PGWARD_TOKEN" ;;
*)
    echo "unknown PGWARD_CHANNEL: $PGWARD_CHANNEL"
    exit 1
    ;;
esac
if [ -n "${PGWARD_SSLROOTCERT:-}" ]; then
    export PGSSLMODE=verify-full PGSSLROOTCERT="$PGWARD_SSLROOTCERT"
fi

checks=0
# check WHAT EXPECTED ACTUAL: the two texts are the same.
check() {
    if [ "$2" != "$3" ]; then
        printf 'failed %s: %s\n--- expected\n%s\n--- got\n%s\n' "$client" "$1" "$2" "$3"
        exit 1
    fi
    checks=$((checks + 1))
}
# check_contains WHAT PART ACTUAL
check_contains() {
    case $3 in
    *"$2"*) checks=$((checks + 1)) ;;
    *)
        printf 'failed %s: %s\n--- expected to find\n%s\n--- in\n%s\n' "$client" "$1" "$2" "$3"
        exit 1
        ;;
    esac
}
