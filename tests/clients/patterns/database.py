"""Profiles in a database: SQLite in a file, or PostgreSQL.

Two things are asked of the database, and both of these give them: a read sees every transaction
that was committed before it began, and `update` holds the row's lock from before its body until the
commit, so that the writers of one row come one after the other. A replica that lags gives neither:
read from the primary.
"""

import contextlib
import sqlite3
import threading

COLUMNS = "id, name, about, version"
SCHEMA = """
    CREATE TABLE IF NOT EXISTS profile (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, about TEXT NOT NULL, version BIGINT NOT NULL
    )
"""
READ = f"SELECT {COLUMNS} FROM profile WHERE id = %s"
# The version counts the updates of a row; it is 1 at first.
WRITE = f"""
    INSERT INTO profile (id, name, about, version) VALUES (%s, %s, %s, 1)
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, about = excluded.about, version = profile.version + 1
    RETURNING {COLUMNS}
"""


def open_database(address):
    """`sqlite:PATH`, or what libpq takes: `postgresql://...` and such."""
    if address.startswith("sqlite:"):
        return Sqlite(address.removeprefix("sqlite:"))
    return Postgresql(address)


def profile(row):
    """A row as the program has it."""
    return row and dict(zip(COLUMNS.split(", "), row))


class _Database:
    """A connection a thread, made when it first asks."""

    def __init__(self):
        self._own = threading.local()

    def _connection(self):
        try:
            return self._own.connection
        except AttributeError:
            self._own.connection = self._connect()
            return self._own.connection

    def read(self, id):
        """The profile, or None."""
        return profile(self._execute(READ, (id,)).fetchone())

    def value(self, query, *values):
        """The one value that a query gives."""
        return self.row(query, *values)[0]

    def row(self, query, *values):
        """The first row that a query gives, or None."""
        return self._execute(query, values).fetchone()

    def write_many(self, statement, rows):
        """Carries out a statement for each row, in one transaction. In the order of their first
        columns, so that two servers that write the same rows do not wait for each other."""
        with self._transaction():
            for row in sorted(rows):
                self._execute(statement, row)

    @contextlib.contextmanager
    def update(self, id, name, about):
        """Writes a profile. The body has it as it will be, and the row's lock; an error in the
        body leaves all as it was. Committed when the context ends without one."""
        with self._transaction():
            yield profile(self._execute(WRITE, (id, name, about)).fetchone())


class Sqlite(_Database):
    """A file in WAL mode: readers never wait for the one writer."""

    # How long a writer waits for another one, in seconds.
    PATIENCE = 30.0

    errors = (sqlite3.Error,)

    def __init__(self, path):
        super().__init__()
        self._path = path
        self.prepare(SCHEMA)

    def prepare(self, schema):
        """Makes a table where it is not there."""
        self._execute(schema)

    def _connect(self):
        connection = sqlite3.connect(self._path, timeout=self.PATIENCE, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        # Without an fsync a commit: WAL loses no consistency by that, only power failures count.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _execute(self, statement, values=()):
        return self._connection().execute(statement.replace("%s", "?"), values)

    @contextlib.contextmanager
    def _transaction(self):
        # SQLite has one lock for all rows. It is taken at once: a transaction that read first
        # could not be sure to get it afterwards.
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            # A commit that failed may have ended the transaction, or not.
            if self._connection().in_transaction:
                self._execute("ROLLBACK")
            raise


class Postgresql(_Database):
    """A server, by psycopg. READ COMMITTED is enough: `update` waits for the row's lock."""

    def __init__(self, address):
        super().__init__()
        import psycopg

        self._address, self.errors = address, (psycopg.Error,)
        self.prepare(SCHEMA)

    def prepare(self, schema):
        """Makes a table where it is not there."""
        with self._transaction():
            # Two servers that start at once would both make it, and one would fail.
            self._execute("SELECT pg_advisory_xact_lock(hashtext('schema'))")
            self._execute(schema)

    def _connection(self):
        # One that the server has ended is of no more use.
        if getattr(self._own, "connection", None) is not None and self._own.connection.closed:
            del self._own.connection
        return super()._connection()

    def _connect(self):
        import psycopg

        return psycopg.connect(self._address, autocommit=True)

    def _execute(self, statement, values=None):
        return self._connection().execute(statement, values)

    def _transaction(self):
        return self._connection().transaction()
