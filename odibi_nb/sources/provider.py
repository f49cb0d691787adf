"""The TransformationRegistry through the ``sql_provider`` that ``auth_provider`` returned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.transformation import SEED_COLUMNS
from odibi_nb.core.protocols import DataType, RegistrySource
from odibi_nb.core.text.sql_text import literal
from odibi_nb.errors import Problem, RegistryError
from odibi_nb.sources.upsert import canonical_names, require_columns
from odibi_nb.storage.database import scrub

if TYPE_CHECKING:
    from odibi_nb.core.protocols import Row, SqlProvider

_TABLE = re.compile(r"[\w .$\[\]`\"]+")
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]")


class ProviderRegistry(RegistrySource):
    """The seed's registry: one SQL query that the provider runs on its own connection.

    The provider may return a Spark or pandas DataFrame, SQLAlchemy rows, named tuples or dicts. Columns
    may have the registry's names or the aliases of the seed's query.
    """

    def __init__(
        self, sql_provider: SqlProvider, spark: Any = None, table: str = "TransformationRegistry"
    ) -> None:
        """Store the arguments. *spark* is passed on to the provider, and may be None."""
        self._provider = sql_provider
        self._spark = spark
        self._table = table

    @property
    def name(self) -> str:
        """Return the names of the table and of the provider's class."""
        return f"{self._table} through {type(self._provider).__name__}"

    def fetch(self, project: str, env: str) -> list[Row]:
        """Return the rows of *project* and *env* (both in any case), enabled or not, ordered by id."""
        query = self._query(project, env)
        try:
            answer = self._provider.read(
                data_type=_data_types().SQL,
                container="",
                path_prefix="",
                object_name=query,
                spark=self._spark,
            )
            rows = [canonical_names(row) for row in self._rows(answer)]
        except RegistryError:
            raise
        except Exception as exc:
            reason = " ".join(scrub(str(exc)).split())[:500]
            failed = f"the SQL provider failed: {type(exc).__name__}: {reason}"
            raise RegistryError(self.name, [failed]) from exc
        if rows:
            spare = [name for name in rows[0] if name not in SEED_COLUMNS]
            require_columns(rows[0], spare, self.name)
        # The query's literals are quoted for standard SQL. A database that reads them differently must
        # not bring in rows of other projects.
        mine = [
            row for row in rows if _same(row["project"], project) and _same(row["environment"], env)
        ]
        return sorted(mine, key=lambda row: str(row["transformation_id"]))

    def census(self) -> list[tuple[str, str, int]]:
        """Return nothing: a provider is only queried for the rows of a run."""
        return []

    def _query(self, project: str, env: str) -> str:
        odd = "has a backslash or a control character, which databases quote in different ways"
        problems = [
            Problem(what, f"{value!r} {odd}")
            for what, value in (("project", project), ("env", env))
            if _UNSAFE.search(value)
        ]
        if not _TABLE.fullmatch(self._table):
            problems.append(Problem("table", f"{self._table!r} is not a table name"))
        if problems:
            raise RegistryError(self.name, problems)
        return (
            f"SELECT * FROM {self._table} "
            f"WHERE LOWER(project) = LOWER({literal(project)}) AND environment = {literal(env)}"
        )

    def _rows(self, answer: Any) -> Iterable[Mapping[str, Any]]:
        if hasattr(answer, "collect"):
            answer = answer.collect()
        elif hasattr(answer, "to_dict") and hasattr(answer, "notna"):
            answer = _without_gaps(answer)
        if isinstance(answer, (str, bytes, Mapping)) or not isinstance(answer, Iterable):
            expected = "expected a DataFrame or rows of the SQL provider"
            raise RegistryError(self.name, [f"{expected}, found {type(answer).__name__}"])
        return [self._mapping(row) for row in answer]

    def _mapping(self, row: Any) -> Mapping[str, Any]:
        if isinstance(row, Mapping) or hasattr(row, "keys"):
            return dict(row)
        for method in ("asDict", "_asdict"):
            if hasattr(row, method):
                return dict(getattr(row, method)())
        found = f"{type(row).__name__} {row!r:.60}"
        raise RegistryError(self.name, [f"expected rows with column names, found {found}"])


def _data_types() -> Any:
    """Return the enumeration that the provider compares with: the framework's own if it is installed."""
    try:
        import odibi_de_v2.core as framework
    except ImportError:
        return DataType
    return framework.DataType


def _same(found: Any, asked: str) -> bool:
    # Some databases pad text with blanks, or compare without case.
    return str(found).strip().lower() == asked.strip().lower()


def _without_gaps(frame: Any) -> list[Row]:
    """Return the rows of a pandas DataFrame, with None for missing values and whole numbers as int.

    pandas makes a float column of whole numbers if one of them is missing.
    """
    records: list[Row] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [
        {
            str(name): int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in record.items()
        }
        for record in records
    ]
