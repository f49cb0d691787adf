"""One parsed row of the TransformationRegistry."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from odibi_nb.core.decoding import as_json, decode_json, decode_struct
from odibi_nb.core.tables import TableName, is_location
from odibi_nb.errors import DataError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEED_COLUMNS = (
    "transformation_id",
    "project",
    "environment",
    "layer",
    "entity_1",
    "entity_2",
    "module",
    "function",
    "inputs",
    "constants",
    "outputs",
    "enabled",
)
"""The columns every TransformationRegistry has, in the seed's order."""

OPTIONAL_COLUMNS = (
    "transformation_group_id",
    "step",
    "entity_3",
    "description",
    "created_at",
    "updated_at",
)
"""Columns that are read where a table has them."""

ALIASES = {
    "id": "transformation_id",
    "env": "environment",
    "plant": "entity_1",
    "asset": "entity_2",
}
"""The seed's query renames these; a provider may hand rows under either name."""

JSON_COLUMNS: Mapping[str, type] = {"inputs": list, "constants": dict, "outputs": list}
RESERVED_CONSTANTS = frozenset({"engine", "retry", "timeout_seconds", "priority", "depends_on"})
"""Keys of ``constants`` that the orchestrator reads; the function gets them all the same."""

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_SQL_NOISE = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SQL_NAME = re.compile(r"[\w`\"\[\].]+")


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, and when, a failed transformation is tried again.

    The wait before retry *n* (1, 2, …) is ``min(max_delay, base_delay * 2**(n-1))`` plus a random
    part of up to *jitter*, in seconds. An error whose class, or a base of it, is named in
    *never_retry* is final; so is every other one if *retry_on* is given and does not name it.
    """

    max_retries: int = 3
    base_delay: float = 2.0
    max_delay: float = 60.0
    jitter: float = 1.0
    retry_on: tuple[str, ...] = ()
    never_retry: tuple[str, ...] = (
        "ImportError",
        "AttributeError",
        "TypeError",
        "NameError",
        "LookupError",
        "SyntaxError",
        "ArithmeticError",
        "AssertionError",
        "NotImplementedError",
        "MemoryError",
        "SystemExit",
        "KeyboardInterrupt",
        "AnalysisException",
        "ParseException",
        "DataError",
        "RevokedError",
    )

    def delay(self, failures: int, random_part: float) -> float:
        """Seconds to wait after the *failures*-th failure; *random_part* is from 0 to 1."""
        doubled = self.base_delay * 2.0 ** min(failures - 1, 30)
        return min(self.max_delay, doubled) + self.jitter * random_part

    def allows(self, error: BaseException, retries_done: int) -> bool:
        """Whether *error* may be followed by another attempt."""
        if retries_done >= self.max_retries:
            return False
        names = {cls.__name__ for cls in type(error).__mro__}
        if names & set(self.retry_on):
            return True
        return not self.retry_on and not names & set(self.never_retry)


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a transformation writes: a table and how.

    *schema_mode* says what happens when the columns differ from the table's: refused unless
    ``merge`` (add columns) or ``overwrite`` (replace the schema; with mode overwrite).
    """

    table: str
    mode: Literal["overwrite", "append", "merge"] = "overwrite"
    keys: tuple[str, ...] = ()
    schema_mode: Literal["merge", "overwrite"] | None = None
    partition_by: tuple[str, ...] = ()


class Transformation(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A registry row, parsed. `inputs`, `constants` and `outputs` are what the function gets."""

    transformation_id: str
    project: str
    environment: str
    layer: str
    module: str
    function: str
    enabled: bool = True
    entity_1: str | None = None
    entity_2: str | None = None
    entity_3: str | None = None
    transformation_group_id: str | None = None
    step: int | None = None
    description: str | None = None
    inputs: list[Any] = msgspec.field(default_factory=list)
    constants: dict[str, Any] = msgspec.field(default_factory=dict)
    outputs: list[dict[str, Any]] = msgspec.field(default_factory=list)
    targets: tuple[Output, ...] = ()

    @property
    def plant(self) -> str | None:
        """The seed's word for `entity_1`."""
        return self.entity_1

    @property
    def asset(self) -> str | None:
        """The seed's word for `entity_2`."""
        return self.entity_2

    @property
    def qualified_function(self) -> str:
        """``module.function``, as the seed's console lines name it."""
        return f"{self.module}.{self.function}"

    def config_hash(self) -> str:
        """16 hex digits that change when what the row would do changes."""
        parts = [self.module, self.function, self.inputs, self.constants, self.outputs]
        return hashlib.blake2b(as_json(parts).encode(), digest_size=8).hexdigest()

    def input_keys(self, known: Iterable[str] = ()) -> set[str]:
        """Keys of the tables this row reads; for queries those of *known* that they mention."""
        keys: set[str] = set()
        for item in self.inputs:
            if isinstance(item, str):
                if not is_location(item):
                    keys.add(item.replace("`", "").lower())
            elif item.get("table"):
                keys.add(str(item["table"]).replace("`", "").lower())
            elif item.get("sql"):
                names = sql_names(str(item["sql"]))
                keys.update(key for key in known if key in names)
        return keys


def sql_names(sql: str) -> set[str]:
    """Every name, dotted or not, that stands in *sql* outside literals and comments, lower-case."""
    bare = _SQL_NOISE.sub(" ", sql)
    return {re.sub(r'[`"\[\]]', "", name).lower() for name in _SQL_NAME.findall(bare)}


def parse_row(row: Mapping[str, Any], number: int) -> tuple[Transformation | None, list[Problem]]:
    """Parse one registry row; *number* (from 1) names it where it has no usable id.

    Column names may have any case, and the seed's aliases (`id`, `env`, `plant`, `asset`) are
    understood. SQL NULL and "" mean the default.
    """
    values: dict[str, Any] = {}
    for column, value in row.items():
        name = column.lower()
        if value is not None and value != "":
            values[ALIASES.get(name, name)] = value
    identity = values.get("transformation_id")
    where = f"row {identity!r}" if identity is not None else f"row number {number}"
    problems = [
        Problem(where, f"column {name!r} is empty or missing")
        for name in ("transformation_id", "project", "environment", "layer", "module", "function")
        if name not in values
    ]
    for column, expected in JSON_COLUMNS.items():
        values[column], found = _parse_json(values.get(column), expected, f"{where}, {column}")
        problems += found
    problems += _check_inputs(values["inputs"], where)
    targets, found = _parse_outputs(values["outputs"], where)
    problems += found
    step, found = _parse_step(values.get("step"), where)
    problems += found
    if problems:
        return None, problems
    return Transformation(
        transformation_id=str(values["transformation_id"]),
        project=str(values["project"]),
        environment=str(values["environment"]),
        layer=str(values["layer"]),
        module=str(values["module"]),
        function=str(values["function"]),
        enabled=str(values.get("enabled", 0)).lower() in _TRUE,
        entity_1=_text(values.get("entity_1")),
        entity_2=_text(values.get("entity_2")),
        entity_3=_text(values.get("entity_3")),
        transformation_group_id=_text(values.get("transformation_group_id")),
        step=step,
        description=_text(values.get("description")),
        inputs=values["inputs"],
        constants=values["constants"],
        outputs=values["outputs"],
        targets=targets,
    ), []


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _parse_step(value: Any, where: str) -> tuple[int | None, list[Problem]]:
    try:
        return (None if value is None else int(value)), []
    except (TypeError, ValueError):
        return None, [Problem(f"{where}, step", f"expected a whole number, found {value!r}")]


def _parse_json(value: Any, expected: type, where: str) -> tuple[Any, list[Problem]]:
    """Decode a JSON column; databases with a JSON type hand over the decoded value."""
    if value is None:
        return expected(), []
    if isinstance(value, (str, bytes)):
        try:
            value = decode_json(value)
        except ValueError as exc:
            return expected(), [Problem(where, str(exc))]
    if value is None:
        return expected(), []
    if not isinstance(value, expected):
        kind = "a list" if expected is list else "an object"
        return expected(), [Problem(where, f"expected {kind}, found {value!r:.60}")]
    return value, []


def _check_inputs(inputs: list[Any], where: str) -> list[Problem]:
    problems: list[Problem] = []
    for i, item in enumerate(inputs):
        place = f"{where}, inputs[{i}]"
        if isinstance(item, str):
            problems += _check_table(item, place)
        elif not isinstance(item, dict) or not ({"table", "sql", "path"} & item.keys()):
            problems.append(
                Problem(
                    place,
                    "expected a table name, or an object with 'table', 'path' or 'sql', "
                    f"found {item!r:.60}",
                )
            )
        elif "table" in item:
            problems += _check_table(str(item["table"]), place)
    return problems


def _check_table(name: str, where: str) -> list[Problem]:
    if is_location(name):
        return []
    try:
        TableName.parse(name)
    except DataError as exc:
        return [Problem(where, str(exc))]
    return []


def _parse_outputs(outputs: list[Any], where: str) -> tuple[tuple[Output, ...], list[Problem]]:
    targets: list[Output] = []
    problems: list[Problem] = []
    for i, raw in enumerate(outputs):
        place = f"{where}, outputs[{i}]"
        output, found = decode_struct(raw, Output, place)
        problems += found
        if output is None:
            continue
        try:
            TableName.parse(output.table)
        except DataError as exc:
            problems.append(Problem(place, str(exc)))
        if output.mode == "merge" and not output.keys:
            problems.append(
                Problem(place, "mode 'merge' needs 'keys', the columns that identify a row")
            )
        targets.append(output)
    return tuple(targets), problems
