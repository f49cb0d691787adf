"""Rows in SQL: one SELECT over the lake's tables, without Python.

A row with ``module`` ``odibi_nb.sql`` and ``function`` ``query`` has its query in ``constants``:

``sql``
    the text of the query, in the dialect of the row's engine: DuckDB's on pandas, or Spark's.
``file``
    instead of ``sql``, the path of a ``.sql`` file below the project's folder.

All other constants, except for the orchestrator's own, are parameters. The query names them ``:name``.

The tables that the query reads are the row's inputs. They need not be listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.sql_rows import FILE, TEXT, place_named, place_of, sql_of, text_of
from odibi_nb.errors import DataError, TableNotFoundError

if TYPE_CHECKING:
    from odibi_nb.core.running.context import ExecutionContext

Constants = dict[str, Any]


def query(constants: Constants, context: ExecutionContext) -> Any:
    """Return the result of the row's query as a DataFrame.

    Raises:
        DataError: if the query or a parameter is wrong; the message has line and column where they are
            known.
        TableNotFoundError: if the query names a table that does not exist.
    """
    # The plan has read the file, so that a run uses one version of it.
    text = constants[TEXT] if constants.get(TEXT) else text_of(constants, Path(context.folder))
    return query_text(constants, context, text=text, where=place_of(constants))


def query_text(constants: Constants, context: ExecutionContext, *, text: str, where: str) -> Any:
    """Return the result of the query *text* with the row's parameters.

    Args:
        constants: the row's constants.
        context: the attempt's context.
        text: a query.
        where: place of the text for messages.
    """
    found = sql_of(text, constants, context.engine.value)
    if found.problems:
        raise DataError("; ".join(f"{problem.message} - at {where}" for problem in found.problems))
    name = str(constants.get(FILE) or "query")
    try:
        return context.read({"name": name, "sql": found.query})
    except DataError as exc:
        place = place_named(str(exc), text, context.engine.value)
        message = f"{exc} - at {where}, {place}" if place else f"{exc} - at {where}"
        if isinstance(exc, TableNotFoundError):
            raise TableNotFoundError(exc.table, message) from exc
        raise DataError(message) from exc
