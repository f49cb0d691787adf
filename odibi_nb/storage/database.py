"""Connections to SQL databases, shared by the registry and the run log."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.running.stopping import stoppable
from odibi_nb.core.text.json import TwinKeyError, decode_config
from odibi_nb.core.text.redaction import REDACTED, redact_text, redact_url
from odibi_nb.errors import DataError, EngineNotAvailableError, TableNotFoundError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa
    from sqlalchemy.sql.type_api import TypeEngine

CONNECT_TRIES = 3
_LONGEST_REASON = 500

_EXTRAS = {
    "postgresql": ("postgres", "psycopg"),
    "mssql": ("mssql", "pyodbc"),
    "mysql": ("mysql", "pymysql"),
    "mariadb": ("mysql", "pymysql"),
    "databricks": ("databricks-sql", "databricks"),
}
"""Kind of database to our extra, and to the driver that the extra installs."""

_DIALECTS = {"postgresql": "postgres", "mssql": "tsql", "mariadb": "mysql"}
"""Kind of database to sqlglot's dialect, if its name differs."""

_TIMEOUT_ARGUMENTS = {
    "pysqlite": "timeout",
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "pyodbc": "timeout",
}
_IN_VAIN = re.compile(
    r"(?i)password|authentication|login failed|access denied|does not exist|unknown database"
)


class FoundTable(NamedTuple):
    """A table in the database's own spelling: its name, and its columns' names and types."""

    name: str
    columns: dict[str, TypeEngine[Any]]


class Database:
    """A database by its SQLAlchemy URL. Each `begin` opens its own connection.

    Attributes:
        shown: the URL without its secrets, for messages.
    """

    def __init__(self, url: str, folder: Path | None = None, timeout: float = 5.0) -> None:
        """Store the arguments. Nothing is connected yet.

        Args:
            url: the SQLAlchemy URL.
            folder: start of a relative SQLite path; None for the working directory.
            timeout: seconds to wait for locks and servers.
        """
        self.shown = shown_url(url)
        self._text = url
        self._folder = folder
        self._timeout = timeout

    @contextlib.contextmanager
    def begin(self, *, create: bool = False) -> Iterator[sa.Connection]:
        """Open a connection with one transaction, and commit it at the end of the block.

        Args:
            create: make a missing SQLite file. Otherwise nothing is ever created.

        Raises:
            TableNotFoundError: if an SQLite file is missing.
            DataError: if the database cannot be reached, or refuses something in the block.
            EngineNotAvailableError: if its driver is not installed.
        """
        engine = self._engine(create=create)
        with self._used(engine), self._connect(engine) as connection, connection.begin():
            yield connection

    @property
    def dialect(self) -> str:
        """Return sqlglot's name of the database's SQL dialect, or "" if it has none."""
        import sqlglot

        kind = re.split(r"[+:]", self._text, maxsplit=1)[0].lower()
        name = _DIALECTS.get(kind, kind)
        return name if sqlglot.Dialect.get(name) is not None else ""

    @property
    def takes_one_statement(self) -> bool:
        """Return True if, in `reading`, the driver accepts only one statement and the server refuses writes."""
        kind, _, driver = re.split(r":", self._text, maxsplit=1)[0].lower().partition("+")
        if kind == "postgresql":
            # psycopg2, which SQLAlchemy 2.0 prefers, sends text that may contain several statements.
            plain = not driver and importlib.util.find_spec("psycopg2") is None
            return plain or driver in {"psycopg", "pg8000"}
        return kind == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection that is read-only as far as the database supports it, and roll it back.

        When the current attempt is revoked, the running statement is cancelled.

        Raises:
            TableNotFoundError: if an SQLite file is missing.
            DataError: if the database cannot be reached, or refuses something in the block.
            RevokedError: if the attempt was revoked.
            EngineNotAvailableError: if its driver is not installed.
        """
        engine = self._engine(create=False)
        import sqlalchemy as sa

        cursors: list[Any] = []
        sa.event.listen(
            engine, "before_cursor_execute", lambda _, cursor, *__: cursors.append(cursor)
        )
        raw: list[Any] = []
        with (
            self._used(engine),
            stoppable(lambda: _cancel(raw, cursors)),
            self._connect(engine) as connection,
        ):
            raw.append(connection.connection.dbapi_connection)
            try:
                yield _made_read_only(connection)
            finally:
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()

    @contextlib.contextmanager
    def _used(self, engine: sa.Engine) -> Iterator[None]:
        """Convert the errors in the block to DataError, and dispose of *engine* after it."""
        import sqlalchemy as sa

        try:
            yield
        except (sa.exc.SQLAlchemyError, OverflowError, UnicodeError) as exc:
            raise DataError(self._reason(exc)) from exc
        finally:
            engine.dispose()

    def _engine(self, *, create: bool) -> sa.Engine:
        try:
            import sqlalchemy as sa
        except ImportError as exc:
            raise EngineNotAvailableError(self.shown, "sql", "sqlalchemy") from exc
        url = self._url(create=create)
        kind = url.get_backend_name()
        extra, driver = _EXTRAS.get(kind, ("", ""))
        # A plain "postgresql://" means an installed driver: SQLAlchemy's default, else our extra's.
        plain = driver and "+" not in url.drivername
        missing = driver
        for name in (url.drivername, f"{kind}+{driver}") if plain else (url.drivername,):
            try:
                return self._make_engine(url.set(drivername=name))
            except ModuleNotFoundError as exc:
                missing = exc.name or driver
            except ImportError as exc:  # the driver is installed, but lacks a system library
                reason = " ".join(str(exc).split())
                raise DataError(f"its driver cannot be loaded: {reason}") from exc
            except sa.exc.NoSuchModuleError:
                if kind != "databricks":  # the only kind whose dialect comes with its driver
                    hint = did_you_mean(kind, [*_EXTRAS, "sqlite"])
                    raise DataError(f"unknown kind of database {url.drivername!r}{hint}") from None
        if not extra:
            raise DataError(f"its driver {missing} is not installed")
        raise EngineNotAvailableError(self.shown, extra, missing)

    def _make_engine(self, url: sa.URL) -> sa.Engine:
        import sqlalchemy as sa

        driver = url.get_driver_name()
        argument = _TIMEOUT_ARGUMENTS.get(driver)
        seconds = self._timeout if driver == "pysqlite" else max(2, math.ceil(self._timeout))
        given = argument is None or argument in url.query
        if driver == "pysqlite" and "timeout" in url.query:
            with contextlib.suppress(ValueError):  # SQLAlchemy reports an invalid value
                self._timeout = float(str(url.query["timeout"]))
        return sa.create_engine(
            url,
            poolclass=sa.NullPool,
            hide_parameters=True,
            connect_args={} if given else {str(argument): seconds},
        )

    def _url(self, *, create: bool) -> sa.URL:
        import sqlalchemy as sa

        try:
            url = sa.make_url(self._text)
        except (sa.exc.ArgumentError, ValueError):
            raise DataError(
                "not a database URL; expected dialect://user:password@host:port/database, "
                "with special characters of the password written as %XX, or sqlite:///file.db"
            ) from None
        if url.get_backend_name() != "sqlite" or (url.database or "").startswith("file:"):
            return url
        if not url.database or url.database == ":memory:":
            raise DataError(
                "each connection to an in-memory database gets a new, empty one: name a file: sqlite:///file.db"
            )
        path = (self._folder or Path.cwd()) / url.database
        if create:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise DataError(f"the folder {path.parent} cannot be made: {exc.strerror}") from exc
        elif not path.exists():
            raise TableNotFoundError(url.database, f"the file {path} does not exist")
        return url.set(database=str(path))

    def _connect(self, engine: sa.Engine) -> sa.Connection:
        """Connect to the database. If a server does not answer yet, try a few times."""
        import sqlalchemy as sa
        import tenacity

        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(CONNECT_TRIES)
            | tenacity.stop_after_delay(self._timeout),
            wait=tenacity.wait_fixed(0.2),
            retry=tenacity.retry_if_exception(
                lambda exc: (
                    isinstance(exc, sa.exc.OperationalError)
                    and engine.dialect.name != "sqlite"
                    and not _IN_VAIN.search(str(exc))
                )
            ),
            reraise=True,
        )
        try:
            return tries(engine.connect)
        except (sa.exc.SQLAlchemyError, TypeError, ValueError, OSError) as exc:
            raise DataError(self._reason(exc)) from exc

    def _reason(self, exc: Exception) -> str:
        """Return the database's message in one line."""
        text = " ".join(str(getattr(exc, "orig", None) or exc).split())
        if "database is locked" in text:
            return f"the file is locked by another process (waited {self._timeout:g} s)"
        if "disk I/O error" in text or "unable to open database file" in text:
            return (
                f"{text}: SQLite cannot use this file here, as on the mounts of Databricks and of object "
                "stores, or without the right to write: use a file of rows, a table of the lake, or a server"
            )
        if "file is not a database" in text:
            return "the file is not an SQLite database"
        text = re.sub(r" ?\(Background on this error at: .*", "", text)
        return scrub(text, self._password())[:_LONGEST_REASON]

    def _password(self) -> str:
        import sqlalchemy as sa

        with contextlib.suppress(sa.exc.ArgumentError, ValueError):
            url = sa.make_url(self._text)
            if url.password is not None and url.password != url.username:
                return str(url.password)
        return ""


def _made_read_only(connection: sa.Connection) -> sa.Connection:
    """Make *connection* refuse writes, and accept one statement at a time, by the server's own means."""
    name = connection.dialect.name
    if name == "postgresql":
        # A server-side cursor takes one SELECT only, and psycopg sends it by the extended protocol,
        # which carries one statement. So the safety does not depend on parsing the SQL text.
        return connection.execution_options(postgresql_readonly=True, stream_results=True)
    before = {
        "sqlite": ["PRAGMA query_only = ON"],
        "mysql": ["SET SESSION TRANSACTION READ ONLY"],
        "mariadb": ["SET SESSION TRANSACTION READ ONLY"],
        "oracle": ["SET TRANSACTION READ ONLY"],
        "duckdb": ["SET enable_external_access = false", "SET lock_configuration = true"],
    }
    for statement in before.get(name, []):
        connection.exec_driver_sql(statement)
    if name in {"mysql", "mariadb"}:
        connection.rollback()  # the setting applies to the next transactions
    return connection


def _cancel(connections: Sequence[Any], cursors: Sequence[Any]) -> None:
    """Cancel the running statement from another thread, by whichever method the driver has."""
    for thing in (*connections, *cursors[-1:]):
        for name in ("interrupt", "cancel_safe", "cancel", "_force_close"):
            cancel = getattr(thing, name, None)
            if callable(cancel):
                cancel()
                break


def shown_url(url: str) -> str:
    """Return *url* without its secrets, even if it is malformed."""
    # An unescaped "@" in a password must not reveal the rest of it: hide everything up to the last "@".
    start = r"^([^:]*://[^:@]*:).*@" if "://" in url else r"^([^:]*:).*@"
    hidden = re.sub(start, rf"\1{REDACTED}@", url, flags=re.DOTALL)
    try:
        return redact_url(hidden)
    except ValueError:
        return hidden


def scrub(text: str, password: str = "") -> str:
    """Return a library's *text* without *password* and without anything that looks like a secret."""
    if password:
        text = text.replace(password, REDACTED)
    return redact_text(text)


def find_table(connection: sa.Connection, name: str, schema: str | None = None) -> FoundTable:
    """Return the table or view called *name*, whatever its case in the database.

    Raises:
        TableNotFoundError: if it does not exist.
    """
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    names = inspector.get_table_names(schema)
    actual = _same_name(name, names)
    if actual is None:
        names = [*names, *inspector.get_view_names(schema)]
        actual = _same_name(name, names)
    if actual is None:
        where = f" in schema {schema!r}" if schema else ""
        raise TableNotFoundError(name, f"no table {name!r}{where}{did_you_mean(name, names)}")
    with warnings.catch_warnings():
        # SQLAlchemy warns of types that it does not support. None of our columns has such a type.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        columns = inspector.get_columns(actual, schema)
    return FoundTable(actual, {column["name"]: column["type"] for column in columns})


def ensure_table(
    connection: sa.Connection,
    name: str,
    schema: str | None,
    columns: Sequence[sa.Column[Any]],
    key: Sequence[str],
) -> None:
    """Create the table, or add its missing columns."""
    import sqlalchemy as sa

    try:
        found = find_table(connection, name, schema)
    except TableNotFoundError:
        # PostgreSQL folds unquoted names, such as those in the seed's SQL, to lower case.
        plain = name.lower() if connection.dialect.name == "postgresql" else name
        sa.Table(
            plain, sa.MetaData(), *columns, sa.PrimaryKeyConstraint(*key), schema=schema
        ).create(connection)
        return
    known = {column.lower() for column in found.columns}
    for column in columns:
        if column.name.lower() not in known:
            table = sa.Table(found.name, sa.MetaData(), column, schema=schema)
            _add_column(connection, table, column)


def bound(value: Any, kind: TypeEngine[Any]) -> Any:
    """Convert *value* for a column of type *kind*."""
    import sqlalchemy as sa

    if isinstance(value, dt.datetime):
        if isinstance(kind, sa.DateTime):
            return value if kind.timezone else value.replace(tzinfo=None)
        return value.isoformat()
    if value is not None:
        if isinstance(kind, sa.Boolean):
            return bool(value)
        if isinstance(kind, sa.JSON):
            try:
                return decode_config(value) if isinstance(value, str) else value
            except TwinKeyError as exc:
                raise DataError(f"a column of type JSON keeps only one of them: {exc}") from exc
        if isinstance(kind, sa.String):
            return str(value)
    return value


def _add_column(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> None:
    from sqlalchemy.schema import CreateColumn

    column.nullable = column.server_default is None  # the table may have rows already
    dialect = connection.dialect
    target = dialect.identifier_preparer.format_table(table)
    add = "ADD" if dialect.name == "mssql" else "ADD COLUMN"
    definition = CreateColumn(column).compile(dialect=dialect)
    connection.exec_driver_sql(f"ALTER TABLE {target} {add} {definition}")


def _same_name(name: str, names: Sequence[str]) -> str | None:
    if name in names:
        return name
    return next((n for n in sorted(names, reverse=True) if n.casefold() == name.casefold()), None)
