"""Shared by the Python programs of this folder: the test's variables, and counting checks.

The variables are described in `run`.
"""

import os
import sys
import traceback

HOST = os.environ["PGWARD_HOST"]
PORT = int(os.environ["PGWARD_PORT"])
TOKEN = os.environ["PGWARD_TOKEN"]
USER = os.environ["PGWARD_USER"]
DATABASE = os.environ["PGWARD_DB"]
CHANNEL = os.environ.get("PGWARD_CHANNEL", "password")
SSLROOTCERT = os.environ.get("PGWARD_SSLROOTCERT")

REFUSED = "SELECT ssn FROM customers"
# 8 to the power of 12 rows to count: more than anybody waits for.
ENDLESS = "SELECT count(*) FROM " + ", ".join(f"products p{n}" for n in range(12))

passed = 0


def check(what, expected, actual):
    """Counts one check; ends the program where the two are not equal."""
    global passed
    if expected != actual:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")
    passed += 1


def libpq_parameters():
    """Connection parameters for libpq, the token in the channel that the test asks for."""
    parameters = {
        "host": HOST,
        "port": PORT,
        "user": USER,
        "dbname": DATABASE,
        "connect_timeout": 10,
    }
    if CHANNEL == "password":
        parameters["password"] = TOKEN
    elif CHANNEL == "options":
        parameters["options"] = f"-c pgward.token={TOKEN}"
    else:
        raise AssertionError(f"unknown PGWARD_CHANNEL: {CHANNEL}")
    if SSLROOTCERT:
        parameters |= {"sslmode": "verify-full", "sslrootcert": SSLROOTCERT}
    return parameters


def report(client, program):
    """Runs the program and says how it went, as all programs of this folder do."""
    try:
        program()
    except Exception as failure:  # whatever it is, it is the test's result
        traceback.print_exc(file=sys.stdout)
        print(f"failed {client}: {failure}")
        sys.exit(1)
    print(f"ok {client}: {passed} checks")
