"""asyncpg: the extended protocol in binary, prepared statements, cursors, COPY both ways,
transactions, refusals, cancel by timeout, several sessions at once."""

import asyncio
import io
import ssl
from decimal import Decimal

import asyncpg

from common import CHANNEL, DATABASE, ENDLESS, HOST, PORT, REFUSED, SSLROOTCERT, TOKEN, USER
from common import check, report


async def connect():
    parameters = {"host": HOST, "port": PORT, "user": USER, "database": DATABASE, "timeout": 10}
    if CHANNEL == "password":
        parameters["password"] = TOKEN
    else:
        parameters["server_settings"] = {"pgward.token": TOKEN}
    if SSLROOTCERT:
        parameters["ssl"] = ssl.create_default_context(cafile=SSLROOTCERT)
    return await asyncpg.connect(**parameters)


async def queries(conn):
    row = await conn.fetchrow("SELECT id, name, price FROM products WHERE id = $1", 1)
    check("a parameter", (1, "Green tea", Decimal("6.50")), tuple(row))
    check("a simple query", "SELECT 1", await conn.execute("SELECT id FROM products WHERE id = 2"))
    statement = await conn.prepare("SELECT name, tags FROM products WHERE id = $1")
    check("columns", ["name", "tags"], [column.name for column in statement.get_attributes()])
    for number, expected in ((1, ["tea", "organic"]), (2, ["tea"])):
        check("a prepared statement", expected, (await statement.fetchrow(number))["tags"])
    row = await conn.fetchrow("SELECT name, region FROM customers WHERE id = $1", 1)
    check("columns that are open", ("Ben Brandt", "US"), tuple(row))
    placed = await conn.fetchval("SELECT placed_at FROM orders WHERE id = 1")
    check("a time", "2024-01-04T15:00:00+00:00", placed.isoformat())
    async with conn.transaction():
        ids = [row["id"] async for row in conn.cursor("SELECT id FROM products ORDER BY id", prefetch=3)]
    check("a cursor", list(range(1, 9)), ids)


async def copies(conn):
    out = io.BytesIO()
    await conn.copy_from_query("SELECT id, name FROM products WHERE id < $1 ORDER BY id", 3, output=out, format="csv")
    check("COPY TO", b"1,Green tea\n2,Black tea\n", out.getvalue())
    transaction = conn.transaction()
    await transaction.start()
    source = io.BytesIO(b"".join(b"by asyncpg,ticket %d\n" % n for n in range(1000)))
    status = await conn.copy_to_table("tickets", source=source, columns=["subject", "body"], format="csv")
    check("COPY FROM, csv", "COPY 1000", status)
    records = [("by asyncpg", f"record {n}") for n in range(100)]
    status = await conn.copy_records_to_table("tickets", records=records, columns=["subject", "body"])
    check("COPY FROM, binary", "COPY 100", status)
    count = "SELECT count(*) FROM tickets WHERE subject = 'by asyncpg'"
    check("rows copied in", 1100, await conn.fetchval(count))
    await transaction.rollback()
    check("the rollback", 0, await conn.fetchval(count))


async def prepare_and_fetch(conn, query):
    # Postgres itself refuses at execution, pgward at either: both are right.
    return await (await conn.prepare(query)).fetch()


async def refusals(conn):
    ways = {
        "simple": conn.execute,
        "extended": conn.fetch,
        "prepared": lambda query: prepare_and_fetch(conn, query),
    }
    for what, call in ways.items():
        try:
            await call(REFUSED)
            check(f"a refusal, {what}", "refused", "answered")
        except asyncpg.InsufficientPrivilegeError as refusal:
            check(f"SQLSTATE, {what}", "42501", refusal.sqlstate)
            check(f"words, {what}", True, "permission denied" in str(refusal))
        check(f"the session goes on, {what}", "Green tea", await conn.fetchval("SELECT name FROM products WHERE id = 1"))
    try:
        await conn.copy_from_query(REFUSED, output=io.BytesIO())
        check("a refused COPY", "refused", "answered")
    except asyncpg.InsufficientPrivilegeError as refusal:
        check("SQLSTATE of a refused COPY", "42501", refusal.sqlstate)
    async with conn.transaction():
        try:
            async with conn.transaction():
                await conn.fetch(REFUSED)
        except asyncpg.InsufficientPrivilegeError:
            pass
        name = await conn.fetchval("SELECT name FROM products WHERE id = 2")
        check("a savepoint saves the transaction", "Black tea", name)


async def cancel(conn):
    try:
        await conn.fetchval(ENDLESS, timeout=0.5)
        check("cancel", "cancelled", "answered")
    except asyncio.TimeoutError:
        pass
    name = await asyncio.wait_for(conn.fetchval("SELECT name FROM products WHERE id = 1"), 10)
    check("after a cancel", "Green tea", name)


async def crowd():
    async def one(number):
        conn = await connect()
        try:
            return await conn.fetchval("SELECT id FROM products WHERE id = $1", number)
        finally:
            await conn.close()

    ids = await asyncio.gather(*(one(number) for number in range(1, 9)))
    check("several sessions", list(range(1, 9)), ids)


async def main():
    conn = await connect()
    for part in (queries, copies, refusals, cancel):
        await part(conn)
    await conn.close()
    await crowd()


report("asyncpg", lambda: asyncio.run(main()))
