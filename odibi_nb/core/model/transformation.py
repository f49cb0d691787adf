"""One parsed row of the TransformationRegistry."""

from __future__ import annotations

import ast
import hashlib
import math
import re
import warnings
from decimal import Decimal
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from odibi_nb.core.model.query_tables import keys_read
from odibi_nb.core.model.tables import is_location, table_key
from odibi_nb.core.text.json import TwinKeyError, as_json, decode_config, decode_json
from odibi_nb.core.text.redaction import MAX_SHOWN, plain_text, redact, shown
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.errors import DataError, Problem

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

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
"""Columns that every TransformationRegistry has, in the seed's order."""

OPTIONAL_COLUMNS = (
    "transformation_group_id",
    "step",
    "entity_3",
    "description",
    "created_at",
    "updated_at",
)
"""Columns that a registry table may have."""

ALIASES = {
    "id": "transformation_id",
    "env": "environment",
    "plant": "entity_1",
    "asset": "entity_2",
}
"""Column names that the seed's query renames; a provider's rows may have either name."""

_REQUIRED = dict.fromkeys(
    ("transformation_id", "project", "environment", "layer", "module", "function")
)
JSON_COLUMNS: Mapping[str, type] = {"inputs": list, "constants": dict, "outputs": list}
_BARE = re.compile(r"[\w./:-][\w ./:,=-]{0,199}")
"""Text that people write where JSON belongs: names of tables, paths, key=value."""
MAX_PYTHON_TEXT = 20_000
"""Longest text to parse as Python, because parsing takes time and memory."""
INPUT_FORMS = ("table", "sql", "path")
"""Keys that name the data of an input object; if it has several, the first one counts."""

INGEST_MODULE = "odibi_nb.ingest"
"""Module of the ready-made Bronze functions, which every row may name."""
SQL_MODULE = "odibi_nb.sql"
"""Module of rows that are one SQL query; every row may name it, because it reads tables only."""
READY_MADE = (INGEST_MODULE, SQL_MODULE)

RESERVED_CONSTANTS = frozenset(
    ("engine", "retry", "timeout_seconds", "priority", "depends_on", "checks", "tags", "always_run")
)
"""Keys of ``constants`` that the orchestrator reads; it also passes them to the function."""

_YES_NO = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y", "on", "\x01"), True),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n", "off", "\x00"), False),
}
_ALIKE = 0.8


class Output(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A table that a transformation writes, and the mode of the write.

    If the frame's columns differ from the table's, the write fails unless *schema_mode* is ``merge``
    (add columns) or ``overwrite`` (replace the schema; only with mode ``overwrite``). The function may
    leave an *optional* output unchanged. If it leaves any other output unchanged, the run warns.

    Attributes:
        table: name of the table, ``schema.table``.
        mode: ``overwrite`` replaces the table, ``append`` adds rows, ``merge`` updates rows by `keys`.
        keys: columns that identify a row; needed for ``merge``.
        schema_mode: allowed change of the table's columns, ``merge`` or ``overwrite``; by default none.
        partition_by: columns that partition a new table.
        optional: True if the function may leave the table unchanged.
        skip_unchanged: True to commit nothing if the table holds exactly the rows to write, so that rows
            that read it stay fresh. Only with mode ``overwrite``.
    """

    table: str
    mode: Literal["overwrite", "append", "merge"] = "overwrite"
    keys: tuple[str, ...] = ()
    schema_mode: Literal["merge", "overwrite"] | None = None
    partition_by: tuple[str, ...] = ()
    optional: bool = False
    skip_unchanged: bool = False


_FIELDS = frozenset(Output.__struct_fields__)


class Transformation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A parsed registry row. Its function gets `inputs`, `constants` and `outputs`.

    Attributes:
        targets: the tables that the runner finds in `outputs`.
        output_problems: reasons why the runner cannot write to `outputs`. If the function writes its
            outputs itself, they may have any form.
        elsewhere: keys of the targets whose outputs have fields that only the function understands.
            The function may store these tables in a place of its own.
        query_reads: keys of the tables that the query of a SQL row reads; the plan finds them.
    """

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
    output_problems: tuple[Problem, ...] = ()
    elsewhere: tuple[str, ...] = ()
    query_reads: tuple[str, ...] = ()

    @property
    def sources(self) -> list[Any]:
        """The `inputs`, and the other tables that the query of a SQL row reads."""
        names = [item if isinstance(item, str) else item.get("table") for item in self.inputs]
        listed = {str(name).lower() for name in names if name}
        return [*self.inputs, *(key for key in self.query_reads if key not in listed)]

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
        """Return 16 hex digits that change with the row's configuration."""
        parts: list[Any] = [self.layer, self.step, self.entity_1, self.entity_2, self.entity_3]
        parts += [self.module, self.function, self.inputs, self.constants, self.outputs]
        text = as_json(parts, canonical=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def input_keys(
        self, known: Container[str] = (), engine: str = "pandas", unclear: list[str] | None = None
    ) -> set[str]:
        """Return the keys of the tables that this row reads.

        From a query, only keys in *known* are returned.

        Args:
            known: keys of tables.
            engine: engine that sets the SQL dialect, unless the row names another engine.
            unclear: list that receives a reason for each query whose tables are only guessed.
        """
        keys = set(self.query_reads)
        for item in self.inputs:
            if isinstance(item, str):
                if not is_location(item):
                    keys.add(table_key(item))
            elif item.get("table"):
                keys.add(table_key(item["table"]))
            elif item.get("sql"):
                dialect = str(self.constants.get("engine") or engine).lower()
                found, why = keys_read(item["sql"], dialect, known)
                keys |= found
                if why and unclear is not None:
                    unclear.append(why)
        return keys


_lower = lru_cache(maxsize=256)(str.lower)


def row_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a registry row that have a value, under the registry's names.

    Column names may have any case. A seed alias (`id`, `env`, `plant`, `asset`) counts if the column
    itself is missing. NULL, NaN and blank text count as no value.
    """
    columns: dict[str, Any] = {}
    for column, value in row.items():
        if isinstance(value, str):
            value = value.strip()  # noqa: PLW2901  columns of fixed width are padded
            if not value:
                continue
        elif value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        columns[_lower(column)] = value
    if not columns.keys().isdisjoint(ALIASES):
        for alias, name in ALIASES.items():
            if alias in columns:
                value = columns.pop(alias)
                columns.setdefault(name, value)
    return columns


def row_id(row: Mapping[str, Any]) -> str | None:
    """Return the id of a registry row, as `row_columns` finds it; None without an id."""
    return _text(row_columns(row).get("transformation_id"))


def enabled_from(value: Any) -> bool | None:
    """Convert a value of the column `enabled` to a bool; return None if it is neither yes nor no.

    NULL means False.
    """
    if value is None:
        return False
    if isinstance(value, (int, float, Decimal)):
        return bool(value) if value in (0, 1) else None
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return _YES_NO.get(text.lower())


def tags_from(constants: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a row from ``constants.tags``, which is one text or a list of texts.

    Values of other types are ignored.
    """
    tags = constants.get("tags")
    if isinstance(tags, str):
        return (tags,)
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def parse_row(row: Mapping[str, Any], number: int) -> tuple[Transformation | None, list[Problem]]:
    """Parse one registry row whose outputs the runner writes.

    Column names may have any form that `row_columns` accepts. If the row has no usable id, problems
    name it by *number* (from 1).
    """
    parsed, problems = parse_columns(row_columns(row), number)
    if parsed is not None and parsed.output_problems:
        return None, list(parsed.output_problems)
    return parsed, problems


def parse_columns(
    values: dict[str, Any], number: int
) -> tuple[Transformation | None, list[Problem]]:
    """Parse the columns that `row_columns` returned.

    Outputs that the runner cannot write to may be valid for the function, so their problems go to
    `output_problems`.
    """
    problems: list[Problem] = []  # with places relative to the row
    if not _REQUIRED.keys() <= values.keys():
        problems += [
            Problem("", f"column {name!r} is empty or missing")
            for name in _REQUIRED
            if name not in values
        ]
    identity = values.get("transformation_id")
    if isinstance(identity, str) and not _storable(identity):
        # The run log would store a different id.
        message = "a transformation_id must not have a NUL character or half a surrogate pair"
        problems.append(Problem("", message))
    for column, expected in JSON_COLUMNS.items():
        values[column], wrong = _parse_json(values.get(column), expected)
        if wrong:
            problems.append(Problem(f", {column}", wrong))
    problems += _check_inputs(values["inputs"])
    targets, odd_outputs = _parse_outputs(values["outputs"])
    if odd_outputs and (problems or any(map(_is_no_form, values["outputs"]))):
        problems += odd_outputs
    step, wrong = _parse_step(values.get("step"))
    if wrong:
        problems.append(Problem(", step", wrong))
    enabled = enabled_from(values.get("enabled"))
    if enabled is None:
        message = f"expected 1 or 0, found {shown(values['enabled'])}"
        problems.append(Problem(", enabled", message))
    if problems:
        return None, _in_row(problems, identity, number)
    return Transformation(
        transformation_id=str(values["transformation_id"]),
        project=str(values["project"]),
        environment=str(values["environment"]),
        layer=str(values["layer"]),
        module=str(values["module"]),
        function=str(values["function"]),
        enabled=bool(enabled),
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
        output_problems=tuple(_in_row(odd_outputs, identity, number)) if odd_outputs else (),
        elsewhere=_elsewhere(values["outputs"]) if odd_outputs else (),
    ), []


def _in_row(problems: list[Problem], identity: Any, number: int) -> list[Problem]:
    """Return the *problems* of one row, each place prefixed with the row."""
    row = f"row {str(identity)!r}" if identity is not None else f"row number {number}"
    return [Problem(f"{row}{where}", message) for where, message in problems]


def _storable(text: str) -> bool:
    """Return True if every kind of storage can store *text* unchanged."""
    return "\0" not in text and (text.isascii() or text == plain_text(text))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _parse_step(value: Any) -> tuple[int | None, str]:
    """Return *value* as a number, and an error message or ""."""
    if value is None:
        return None, ""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not number.is_integer():
        return None, f"expected a whole number, found {shown(value)}"
    return int(number), ""


def _parse_json(value: Any, expected: type) -> tuple[Any, str]:
    """Decode a JSON column, and return the value and an error message or "".

    Databases with a JSON type return a decoded value, which is accepted too.
    """
    if isinstance(value, (str, bytes, bytearray)):
        try:
            value = decode_config(value)
        except TwinKeyError as exc:
            return expected(), str(exc)
        except ValueError as exc:
            return expected(), why_not_json(value, expected, exc)
    if isinstance(value, expected):
        return value, ""
    if value is None:
        return expected(), ""
    kind = "a list" if expected is list else "an object"
    inner = _decoded_again(value)
    if isinstance(value, str) and isinstance(inner, expected):
        message = f"expected {kind}, found text that holds JSON of {kind}: it was encoded twice"
        return expected(), f"{message}; store {_cut(inner)} itself"
    return expected(), f"expected {kind}, found {shown(value)}"


def _decoded_again(value: Any) -> Any:
    """Decode *value* repeatedly, until it is not text that contains JSON."""
    while isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            return value
    return value


def why_not_json(text: str | bytes | bytearray, expected: type, error: ValueError) -> str:
    """Return the reason why *text* of a JSON column is not JSON, with a hint how to write it."""
    found = text.strip() if isinstance(text, str) else ""
    if not _BARE.fullmatch(found):
        return f"{error}{python_hint(text, expected)}"
    if expected is dict:
        return f'expected an object in JSON, such as {{"name": "value"}}, found the text {shown(found)}'
    items = [part.strip() for part in found.split(",")]
    return f"expected a list in JSON, found the text {shown(found)}: write {_cut(items)}"


def python_hint(text: str | bytes | bytearray, expected: type) -> str:
    """Return a hint for writing *text* as JSON if it is the ``str`` of a Python list or dict.

    Otherwise return "".
    """
    if isinstance(text, (bytes, bytearray)):
        text = text.decode(errors="replace")
    if len(text) > MAX_PYTHON_TEXT or text[:1] not in {"[", "{", "("}:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in its strings
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return ""
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, expected):
        return ""
    return (
        f"; this is Python text, whose quotes are not JSON's: write {_cut(value)}, "
        "as json.dumps(value), not str(value) does"
    )


def _cut(value: Any) -> str:
    text = as_json(redact(value))
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _check_inputs(inputs: list[Any]) -> list[Problem]:
    return [
        Problem(f", inputs[{i}]", message)
        for i, item in enumerate(inputs)
        if (message := _check_input(item))
    ]


def _check_input(item: Any) -> str:
    """Return an error message for one item of ``inputs``; "" if it is valid."""
    if isinstance(item, str):
        if item[:1] in ("{", '"') and isinstance(inner := _decoded_again(item), dict):
            return f"is text that holds JSON: it was encoded twice; store {_cut(inner)} itself"
        return "" if is_location(item) else why_no_table(item)
    form = next((f for f in INPUT_FORMS if f in item), "") if isinstance(item, dict) else ""
    named = item[form] if form else None
    if not isinstance(named, str) or not named.strip():
        expected = "expected a table name, or an object with 'table', 'path' or 'sql'"
        return f"{expected}, found {shown(item)}"
    return why_no_table(named) if form == "table" else ""


def why_no_table(name: str) -> str:
    """Return the reason why *name* is not a table's name; "" if it is one."""
    try:
        table_key(name)
    except DataError as exc:
        return str(exc)
    return ""


def _parse_outputs(outputs: list[Any]) -> tuple[tuple[Output, ...], list[Problem]]:
    targets: list[Output] = []
    problems: list[Problem] = []
    for i, raw in enumerate(outputs):
        try:
            output = msgspec.convert(raw, Output)
        except msgspec.ValidationError:  # rare: collect all problems, or accept a null
            decoded, found = decode_struct(raw, Output, f", outputs[{i}]")
            problems += found
            if decoded is None:
                targets += _named_by(raw)
                continue
            output = decoded
        if wrong := check_output(output):
            problems += [Problem(f", outputs[{i}]", message) for message in wrong]
            targets += _named_by(raw)
        else:
            targets.append(output)
    return tuple(targets), problems


def _named_by(raw: Any) -> list[Output]:
    """Return the table that an output in a function's own form names; [] if it names none."""
    name = raw.get("table") if isinstance(raw, dict) else raw
    if not isinstance(name, str) or why_no_table(name):
        return []
    optional = isinstance(raw, dict) and raw.get("optional") is True
    # The mode is unknown. ``append`` allows two rows to write the same table.
    return [Output(table=name, mode="append", optional=optional)]


def _elsewhere(outputs: list[Any]) -> tuple[str, ...]:
    """Return the keys of the tables whose *outputs* have fields of the function's own, such as a path."""
    own = [raw for raw in outputs if isinstance(raw, dict) and not raw.keys() <= _FIELDS]
    return tuple(table_key(output.table) for raw in own for output in _named_by(raw))


def _is_no_form(raw: Any) -> bool:
    """Return True if *raw* is a mistake rather than a form of the function's own.

    A mistake has a ``table`` that is neither a table name nor a path, or that is a path with ``..``.
    An output without ``table`` is a mistake if a similar key, such as ``tabel``, holds text.
    """
    if not isinstance(raw, dict):
        return False
    name = raw.get("table")
    if isinstance(name, str):
        is_path = is_location(name) and ".." not in re.split(r"[/\\]", name)
        return bool(why_no_table(name)) and not is_path
    return "table" not in raw and any(
        isinstance(value, str) and SequenceMatcher(None, str(name), "table").ratio() >= _ALIKE
        for name, value in raw.items()
    )


def check_output(output: Output) -> list[str]:
    """Return error messages for *output*, apart from the types of its fields."""
    wrong = why_no_table(output.table)
    messages = [wrong] if wrong else []
    if output.mode == "merge" and not output.keys:
        messages.append("mode 'merge' needs 'keys', the columns that identify a row")
    if output.skip_unchanged and output.mode != "overwrite":
        messages.append(f"'skip_unchanged' needs mode 'overwrite', found {output.mode!r}")
    return messages
