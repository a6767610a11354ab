"""libpq 18 with SASL OAUTHBEARER (RFC 7628): the first attempt has no token and learns where the issuer
is, the second brings it. What a device flow or a token exchange would do in between is done by libpq's
own hook for applications, PQsetAuthDataHook, which Python reaches through ctypes.
"""

import ctypes
import glob
import os

import psycopg
import psycopg_binary
from psycopg import errors

from common import DATABASE, HOST, PORT, REFUSED, SSLROOTCERT, TOKEN, check, report

ISSUER = "https://issuer.example"
# PQAUTHDATA_OAUTH_BEARER_TOKEN of PGauthData.
BEARER_TOKEN = 1


class BearerRequest(ctypes.Structure):
    """PGoauthBearerRequest: what is asked, and what the application answers."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("asynchronous", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

token = TOKEN.encode()
asked = []


@HOOK
def give_token(kind, _connection, data):
    if kind != BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(BearerRequest)).contents
    asked.append((request.openid_configuration, request.scope))
    request.token = token
    return 1


def libpq():
    """The library that psycopg's binary package has brought along and loaded."""
    folder = os.path.dirname(psycopg_binary.__file__) + ".libs"
    (path,) = glob.glob(os.path.join(folder, "libpq-*"))
    return ctypes.CDLL(path)


def connect(**more):
    parameters = {
        "host": HOST,
        "port": PORT,
        "dbname": DATABASE,
        "user": os.environ["PGWARD_USER"],
        "oauth_issuer": ISSUER,
        "oauth_client_id": "support-bot",
        "require_auth": "oauth",
        "connect_timeout": 10,
    }
    if SSLROOTCERT:
        parameters |= {"sslmode": "verify-full", "sslrootcert": SSLROOTCERT}
    return psycopg.connect(**(parameters | more))


def program():
    global token
    check("libpq's version", 18, psycopg.pq.version() // 10000)
    libpq().PQsetAuthDataHook(give_token)
    with connect() as connection:
        check("what the server told of its issuer", 1, len(asked))
        url, scope = asked[0]
        check("the discovery document", f"{ISSUER}/.well-known/openid-configuration".encode(), url)
        check("the scope", b"pgward", scope)
        row = connection.execute("SELECT name FROM products WHERE id = 1").fetchone()
        check("a query", ("Green tea",), row)
        try:
            connection.execute(REFUSED)
            check("a refused query", "refused", "answered")
        except errors.InsufficientPrivilege as refusal:
            check("SQLSTATE of a refusal", "42501", refusal.sqlstate)
    if SSLROOTCERT:
        with connect(sslnegotiation="direct") as connection:
            row = connection.execute("SELECT name FROM products WHERE id = 2").fetchone()
            check("a query in direct TLS", ("Black tea",), row)
    with connect(min_protocol_version="3.2", max_protocol_version="3.2") as connection:
        row = connection.execute("SELECT name FROM products WHERE id = 3").fetchone()
        check("a query in protocol 3.2", ("Espresso beans",), row)
    token = TOKEN[:-8].encode() + b"AAAAAAAA"
    try:
        connect()
        check("a forged token", "refused", "accepted")
    except psycopg.OperationalError as refusal:
        check("what is said of a forged token", True, "signature" in str(refusal))
        check("whether it is echoed", False, token.decode() in str(refusal))
    libpq().PQsetAuthDataHook(None)
    try:
        connect()
        check("no token at all", "refused", "accepted")
    except psycopg.OperationalError:
        check("no token at all", "refused", "refused")


report("oauthbearer", program)
