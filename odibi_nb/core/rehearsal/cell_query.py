"""SQL of notebook cells, which takes the place of a SQL row's query."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.sql_rows import FILE, TEXT, parameters_of, sql_of
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from odibi_nb.core.model.transformation import Transformation

CELL = "the cell"


@dataclass(frozen=True, slots=True)
class CellQuery:
    """A query that a cell has, and the row's constants that it uses.

    Attributes:
        text: the query behind an empty line, because the magic's own line counts as the first.
    """

    text: str
    constants: dict[str, Any]


def cell_query(body: str, row: Transformation, engine: str) -> CellQuery:
    """Return the query in a cell's text, for a SQL row. It may leave parameters of the row unused.

    Raises:
        ConfigurationError: if the text is not one SELECT that only reads, or a parameter is wrong.
    """
    text = f"\n{body}"
    unused = {n for n in parameters_of(row.constants) if not re.search(rf":{re.escape(n)}\b", text)}
    constants = {name: value for name, value in row.constants.items() if name not in unused}
    found = sql_of(text, constants, engine)
    if found.problems:
        problems = [f"{problem.message} - in the cell" for problem in found.problems]
        if re.match(r"\s*(def|import|from\s+\S+\s+import|@)\b", body):
            problems = ["the row is a query, so that the cell must be SQL, and not Python"]
        raise ConfigurationError(f"try {row.transformation_id}", problems)
    return CellQuery(text, constants)


def query_diff(row: Transformation, body: str) -> str:
    """Return a unified diff from the query of a SQL row to the query in a cell; "" without changes."""
    shown = str(row.constants.get(FILE) or f"{row.transformation_id}, constants.{TEXT}")
    old, new = (text.strip().splitlines() for text in (str(row.constants.get(TEXT, "")), body))
    return "\n".join(difflib.unified_diff(old, new, shown, f"{shown} (as tried)", lineterm=""))
