"""Rows in SQL: their text, its parameters, and the tables that it reads.

A row with ``module`` ``odibi_nb.sql`` is one SELECT. The text is in the row's constant ``sql``, or in the
file of the project that the constant ``file`` names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.query_tables import (
    DIALECTS,
    LONGEST,
    parse,
    table_parts,
    tables_read,
    tokens_of,
)
from odibi_nb.core.model.read_only_query import why_refused
from odibi_nb.core.model.sql_parameters import BoundQuery, bind, place_in
from odibi_nb.core.model.tables import MOST_PARTS, TableName, is_location
from odibi_nb.core.model.transformation import RESERVED_CONSTANTS, SQL_MODULE, why_no_table
from odibi_nb.core.text.redaction import shown
from odibi_nb.errors import DataError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from odibi_nb.core.model.readable_places import Reach
    from odibi_nb.core.model.transformation import Transformation

FUNCTION = "query"
"""The only function of `SQL_MODULE`."""
TEXT, FILE = "sql", "file"
SUFFIX = ".sql"
_MEANT = re.compile(r"(?i)did you mean|candidate| - in: ")
_FUNCTION_NAMED = re.compile(r"Function with name (\w+)")
_QUOTED = re.compile(r"\"[^\"]+\"|`[^`]+`(?:\.`[^`]+`)*|'[^']+'")


@dataclass(frozen=True, slots=True)
class SqlRow:
    """The SQL of a row.

    Attributes:
        text: the query as written.
        query: the query with a literal for each parameter; "" if it has problems.
        tables: key of each table that it reads, with the name and the place (line and column) in the text.
        problems: the problems, each with its place in the row.
    """

    text: str = ""
    query: str = ""
    tables: tuple[tuple[str, str, str], ...] = ()
    problems: tuple[Problem, ...] = ()


def is_sql(row: Transformation) -> bool:
    """Return True if *row* is a query."""
    return row.module == SQL_MODULE


def place_of(constants: Mapping[str, Any]) -> str:
    """Return the place of a row's query for messages: the file or the constant."""
    return str(constants[FILE]) if constants.get(FILE) else f"constants.{TEXT}"


def sql_row(row: Transformation, engine: str, folder: Path, reach: Reach | None = None) -> SqlRow:
    """Return the SQL of *row*, with all its problems.

    Args:
        row: a row for which `is_sql` is True.
        engine: engine of the row, which sets the dialect.
        folder: the project's folder.
        reach: places that rows may read; None for all.
    """
    where = f"row {row.transformation_id!r}"
    problems = [Problem(f"{where}{place}", wrong) for place, wrong in _odd_columns(row)]
    try:
        text = text_of(row.constants, folder, reach)
    except DataError as exc:
        return SqlRow(problems=(*problems, Problem(f"{where}, constants", str(exc))))
    found = sql_of(text, row.constants, engine)
    place = f"{where}, {place_of(row.constants)}"
    problems += [Problem(place, wrong.message) for wrong in found.problems]
    return replace(found, problems=tuple(problems))


def sql_of(text: str, constants: Mapping[str, Any], engine: str) -> SqlRow:
    """Return the query *text* with the parameters in *constants*, and all its problems."""
    values = parameters_of(constants)
    # Equal values of other types, such as 1 and True, become other literals.
    return _sql_of(text, tuple((name, _Value(value)) for name, value in values.items()), engine)


class _Value:
    """A constant as a part of a cache's key: equal if type and text are equal."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = repr(value)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and self._key == other._key


@lru_cache(maxsize=1 << 13)
def _sql_of(text: str, values: tuple[tuple[str, _Value], ...], engine: str) -> SqlRow:
    """Return the result of `sql_of`. Parsing takes a millisecond, and a plan has thousands of rows."""
    dialect = DIALECTS.get(engine, engine)
    bound = bind(text, {name: one.value for name, one in values}, dialect)
    wrong = bound.problems
    if not wrong and (refused := why_refused(bound.text, dialect)):
        wrong = (refused,)
    if wrong:
        return SqlRow(text=text, problems=tuple(Problem("", message) for message in wrong))
    tables = (*_tables(text, bound, dialect),)
    odd = tuple(
        Problem("", f"{place}: {name!r:.100} is not a table: a query can only read tables")
        for _, name, place in tables
        if why_no_table(name)
    )
    return SqlRow(text=text, problems=odd) if odd else SqlRow(text, bound.text, tables)


def _odd_columns(row: Transformation) -> Iterator[tuple[str, str]]:
    """Yield the place and the message of each column that no SQL row can have."""
    if row.function != FUNCTION:
        hint = did_you_mean(row.function, [FUNCTION])
        yield "", f"{SQL_MODULE} has the one function {FUNCTION!r}, found {row.function!r}{hint}"
    for i, item in enumerate(row.inputs):
        if is_location(item) if isinstance(item, str) else not item.get("table"):
            message = (
                "a SQL row reads the tables that its query names, and no files or other queries"
            )
            yield f", inputs[{i}]", message


def text_of(constants: Mapping[str, Any], folder: Path, reach: Reach | None = None) -> str:
    """Return the text of a SQL row's query, from its constants or from its file in *folder*.

    Raises:
        DataError: if the row gives neither or both, or the file cannot be read or is outside of *reach*.
    """
    text, file = constants.get(TEXT), constants.get(FILE)
    if (text is None) == (file is None):
        found = "neither" if text is None else "both"
        raise DataError(f"give either '{TEXT}' (a query) or '{FILE}' (its file), found {found}")
    if file is not None:
        text = _file_text(file, folder, reach)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"'{file or TEXT}' must be a query, found {shown(text)}")
    if len(text) > LONGEST:
        raise DataError(f"'{file or TEXT}' has more than {LONGEST:,} characters")
    return text


def _file_text(file: Any, folder: Path, reach: Reach | None) -> str:
    """Return the text of a ``.sql`` file in *folder*; other files could have secrets."""
    if not isinstance(file, str) or not file.endswith(SUFFIX) or "\0" in file:
        raise DataError(f"'{FILE}' must be the path of a {SUFFIX} file, found {shown(file)}")
    inside = folder.resolve()
    if "://" in file or "\\" in file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise DataError(f"{file}: '{FILE}' must be a path below the project's folder, without '..'")
    try:
        path = (folder / file).resolve()
        if not path.is_relative_to(inside) or path.suffix != SUFFIX:
            raise DataError(f"{file}: it leads out of the project's folder")
        if reach is not None and (refused := reach.refusal(str(path))):
            raise DataError(refused)
        if not path.is_file():
            raise DataError(f"no file {file!r}{did_you_mean(file, _sql_files(folder))}")
        if path.stat().st_size > 4 * LONGEST:
            raise DataError(f"{file}: has more than {LONGEST:,} characters")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeError as exc:
        raise DataError(f"{file}: is not UTF-8 text") from exc
    except (OSError, RuntimeError) as exc:  # before Python 3.13, a loop of links is a RuntimeError
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise DataError(f"{file}: cannot be read: {why}") from exc


def _sql_files(folder: Path) -> list[str]:
    """Return the ``.sql`` files in *folder* and one and two levels deeper, for a suggestion."""
    found = [p for pattern in ("*", "*/*", "*/*/*") for p in folder.glob(f"{pattern}{SUFFIX}")]
    return [p.relative_to(folder).as_posix() for p in found]


def parameters_of(constants: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constants that a query can name as ``:name``."""
    own = {TEXT, FILE} | RESERVED_CONSTANTS
    return {name: value for name, value in constants.items() if name not in own}


def _tables(text: str, bound: BoundQuery, dialect: str) -> Iterator[tuple[str, str, str]]:
    """Yield key, name and place of each table that the query reads, once per table."""
    trees, _ = parse(bound.text, dialect)
    seen = set()
    for table in tables_read(trees or ()):
        parts = table_parts(table)
        if len(parts) > MOST_PARTS:
            continue  # the engine refuses it
        key = TableName(parts).key
        if key not in seen:
            seen.add(key)
            start = table.parts[0].meta.get("start")
            place = "" if start is None else place_in(text, bound.original(start))
            yield key, ".".join(parts), place or "its FROM"


def place_named(message: str, text: str, engine: str) -> str:
    """Return line and column of the first name in an error *message* that the query *text* has; or "".

    Engines quote the table, column or function that they cannot find, but do not always give its place.
    """
    words = _words(text, DIALECTS.get(engine, engine))
    wrong = _MEANT.split(message)[0]
    named = [f'"{name}"' for name in _FUNCTION_NAMED.findall(wrong)]
    for quoted in [*named, *_QUOTED.findall(wrong)]:
        parts = [part.strip('`"').lower() for part in quoted[1:-1].split(".")]
        for size in range(len(parts)):  # Spark names a column with the table that the query omits
            tail = parts[size:]
            for i in range(len(words)):
                if [word for word, _ in words[i : i + len(tail)]] == tail:
                    return place_in(text, words[i][1])
    return ""


def _words(text: str, dialect: str) -> list[tuple[str, int]]:
    """Return the names and keywords of a query in lower case, with their offsets."""
    from sqlglot import TokenType

    tokens = tokens_of(text, dialect) or ()
    ignored = {TokenType.STRING, TokenType.DOT}
    return [(t.text.lower(), t.start) for t in tokens if t.token_type not in ignored]
