"""psycopg 3: the simple and the extended protocol, prepared statements, binary results, COPY both
ways, pipeline mode, server-side cursors, transactions, refusals, cancel."""

import threading
from decimal import Decimal

import psycopg
from psycopg import errors

from common import ENDLESS, REFUSED, check, libpq_parameters, report


def queries(conn):
    row = conn.execute("SELECT id, name, price FROM products WHERE id = 1").fetchone()
    check("a simple query", (1, "Green tea", Decimal("6.50")), row)
    row = conn.execute("SELECT name FROM products WHERE id = %s", [3]).fetchone()
    check("a parameter", ("Espresso beans",), row)
    rows = conn.execute("SELECT id FROM products WHERE id = ANY(%s) ORDER BY id", [[2, 4]])
    check("an array parameter", [(2,), (4,)], rows.fetchall())
    for _ in range(3):
        row = conn.execute("SELECT sku FROM products WHERE id = %s", [2], prepare=True).fetchone()
    check("a prepared statement", ("TEA-002",), row)
    row = conn.execute(
        "SELECT id, price, tags, attributes FROM products WHERE id = %b", [1], binary=True
    ).fetchone()
    expected = (1, Decimal("6.50"), ["tea", "organic"], {"origin": "JP", "weight_g": 100})
    check("binary parameters and results", expected, row)
    row = conn.execute("SELECT name, region FROM customers WHERE id = %s", [1]).fetchone()
    check("columns that are open", ("Ben Brandt", "US"), row)
    cursor = conn.execute("SELECT id AS product, name FROM products WHERE id = 0")
    check("names of columns", ["product", "name"], [column.name for column in cursor.description])


def copies(conn):
    with conn.cursor() as cursor:
        with cursor.copy("COPY (SELECT id, name FROM products WHERE id < 3 ORDER BY id) TO STDOUT") as copy:
            check("COPY TO, text", [("1", "Green tea"), ("2", "Black tea")], list(copy.rows()))
        with cursor.copy("COPY (SELECT id FROM products WHERE id < 3 ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            check("COPY TO, binary", [(1,), (2,)], list(copy.rows()))
        with cursor.copy("COPY tickets (subject, body) FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row(("by psycopg", f"ticket {number}\twith a tab"))
        check("rows copied in", 1000, cursor.rowcount)
        count = "SELECT count(*) FROM tickets WHERE subject = 'by psycopg'"
        check("COPY FROM", (1000,), cursor.execute(count).fetchone())
    conn.rollback()
    check("the rollback", (0,), conn.execute(count).fetchone())
    try:
        with conn.cursor().copy("COPY customers (ssn) TO STDOUT") as copy:
            check("refused COPY", None, list(copy))
    except errors.InsufficientPrivilege as refusal:
        check("SQLSTATE of a refused COPY", "42501", refusal.sqlstate)
    conn.rollback()


def pipelines(conn):
    with conn.pipeline() as pipeline:
        cursors = [conn.execute("SELECT name FROM products WHERE id = %s", [n]) for n in (1, 2)]
        pipeline.sync()
        check("pipeline", ["Green tea", "Black tea"], [cursor.fetchone()[0] for cursor in cursors])
    conn.commit()
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO tickets (subject, body) VALUES (%s, %s) RETURNING subject",
            [(f"by psycopg {n}", "many") for n in range(50)],
            returning=True,
        )
        check("executemany", ("by psycopg 0",), cursor.fetchone())
    conn.rollback()
    try:
        with conn.pipeline() as pipeline:
            conn.execute("SELECT name FROM products WHERE id = 1")
            conn.execute(REFUSED)
            conn.execute("SELECT name FROM products WHERE id = 2")
            pipeline.sync()
        check("a refusal in a pipeline", "refused", "answered")
    except errors.InsufficientPrivilege as refusal:
        check("SQLSTATE in a pipeline", "42501", refusal.sqlstate)
    conn.rollback()
    row = conn.execute("SELECT name FROM products WHERE id = 1").fetchone()
    check("after a broken pipeline", ("Green tea",), row)


def cursors(conn):
    with conn.cursor(name="products") as cursor:
        cursor.itersize = 3
        cursor.execute("SELECT id FROM products WHERE id > %s ORDER BY id", [0])
        check("the first rows of a cursor", [(1,), (2,)], cursor.fetchmany(2))
        check("the rest", [(n,) for n in range(3, 9)], list(cursor))
    conn.rollback()


def refusals(conn):
    for what, arguments in {
        "simple": {},
        "prepared": {"prepare": True},
        "binary": {"binary": True},
    }.items():
        try:
            conn.execute(REFUSED, **arguments)
            check(f"a refusal, {what}", "refused", "answered")
        except errors.InsufficientPrivilege as refusal:
            check(f"SQLSTATE, {what}", "42501", refusal.sqlstate)
            check(f"words, {what}", True, "permission denied" in refusal.diag.message_primary)
        check(f"the transaction, {what}", psycopg.pq.TransactionStatus.INERROR, conn.info.transaction_status)
        conn.rollback()
        row = conn.execute("SELECT name FROM products WHERE id = 1").fetchone()
        check(f"the session goes on, {what}", ("Green tea",), row)
    with conn.transaction(force_rollback=True):
        try:
            with conn.transaction():
                conn.execute(REFUSED)
        except errors.InsufficientPrivilege:
            pass
        row = conn.execute("SELECT name FROM products WHERE id = 2").fetchone()
        check("a savepoint saves the transaction", ("Black tea",), row)


def cancel(conn):
    timer = threading.Timer(0.5, conn.cancel_safe, kwargs={"timeout": 10})
    timer.start()
    try:
        conn.execute(ENDLESS)
        check("cancel", "cancelled", "answered")
    except errors.QueryCanceled as cancelled:
        check("SQLSTATE of a cancelled statement", "57014", cancelled.sqlstate)
    timer.join()
    conn.rollback()
    row = conn.execute("SELECT name FROM products WHERE id = 1").fetchone()
    check("after a cancel", ("Green tea",), row)


def program():
    with psycopg.connect(**libpq_parameters()) as conn:
        for part in (queries, copies, pipelines, cursors, refusals, cancel):
            part(conn)
            conn.commit()
        conn.autocommit = True
        row = conn.execute("SELECT name FROM products WHERE id = 1").fetchone()
        check("autocommit", ("Green tea",), row)


report("psycopg3", program)
