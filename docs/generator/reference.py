"""Write the reference pages of the documentation from the code, each time the site is built.

MkDocs loads this file as a hook and calls `on_files`. A name that the code has and
``descriptions.toml`` does not describe ends the build with a KeyError that names it.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from mkdocs.structure.files import File

import odibi_nb
from odibi_nb import errors, settings
from odibi_nb.commands.parser import build_parser
from odibi_nb.core.model import (
    checks,
    events,
    log_columns,
    manifest,
    notification,
    retry,
    transformation,
)
from odibi_nb.core.planning import selection
from odibi_nb.core.running import hooks
from odibi_nb.core.text.toml import decode_toml
from odibi_nb.views import json_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

DESCRIPTIONS: Any = decode_toml(
    Path(__file__).with_name("descriptions.toml").read_text(encoding="utf-8")
)
ALWAYS = ("event", "run_id", "project", "env", "layer", "engine", "timestamp")
"""Keys that every payload has."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages to the site's *files*."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    files.append(File.generated(config, "contribute.md", content=contribute()))
    return files


def commands() -> str:
    """Return the page of commands and options."""
    lines = [
        "# Commands and options",
        "",
        "The same commands work in a shell (`odibi run`), in a notebook (`%odibi run`, after `%load_ext odibi_nb`) and as",
        "`python -m odibi_nb run`. Exit codes: 0, 1 if the run failed, 2 if the input was wrong.",
        "",
    ]
    for path, text, parser in all_commands():
        lines += [f"## {' '.join(path)}", "", _sentence(text), ""]
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        lines += ["```text", usage, "```", ""]
        actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]  # noqa: SLF001  no public list
        lines += _table(("argument", "meaning"), [(_argument(a), _meaning(a)) for a in actions])
    return _page(lines)


def all_commands(
    path: tuple[str, ...] = (), text: str = "", parser: Any = None
) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Walk the grammar: the words, the help and the parser of each command that does something."""
    parser = parser or build_parser()
    for action in parser._actions:  # noqa: SLF001  argparse has no public list
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  no public name
            helps = {x.dest: x.help or "" for x in action._choices_actions}  # noqa: SLF001  see above
            for name, child in action.choices.items():
                yield from all_commands((*path, name), helps[name], child)
            return
    yield path, text, parser


def _argument(action: argparse.Action) -> str:
    if action.option_strings:
        value = "" if action.nargs == 0 else f" {_value(action)}"
        return f"`{', '.join(action.option_strings)}{value}`"
    return f"`{_value(action)}`"


def _value(action: argparse.Action) -> str:
    return str(action.metavar or "|".join(map(str, action.choices or (action.dest.upper(),))))


def _meaning(action: argparse.Action) -> str:
    text = _sentence(action.help)
    if isinstance(action, argparse._ExtendAction):  # noqa: SLF001  argparse has no public name
        return f"{text} Takes several values, and may be repeated."
    return f"{text} Takes several values." if action.nargs == "+" else text


def manifest_keys() -> str:
    """Return the page of the manifest's keys."""
    lines = [
        "# Manifest keys",
        "",
        "A project is a folder with a `manifest.json`. An unknown key is an error that names the key that was probably meant.",
        (
            "`${NAME}` in an environment stands for an environment variable, `${secret:scope/key}` and `${param:name}` for a secret and a "
            "parameter of Databricks. odibi_nb expands them only for the environment that runs, and hides the secret in messages and logs."
        ),
        "",
        "## Top level",
        "",
        *_keys(manifest.ProjectManifest, without=("path",)),
        "## layers.LAYER",
        "",
        *_keys(manifest.LayerConfig),
        "## environments.ENV",
        "",
        *_keys(manifest.EnvironmentConfig),
        "## environments.ENV.registry",
        "",
        "As an object:",
        "",
        *_keys(manifest.RegistryConfig),
        "## environments.ENV.notify.CHANNEL",
        "",
        "Who gets messages about runs. See [Notifications](../guides/notify.md).",
        "",
        *_keys(notification.Channel),
        "## retry",
        "",
        "In `layers.LAYER.retry`, in a row's `constants.retry` and in the option `retry` of `run_project`. The closest wins, key by",
        "key: row, then layer, then run.",
        "",
        _prose(retry.RetryPolicy),
        "",
        *_keys(retry.RetryPolicy),
    ]
    return _page(lines)


def registry_columns() -> str:
    """Return the page of the registry's columns, inputs, outputs, constants and checks."""
    described = DESCRIPTIONS["registry_columns"]
    lines = [
        "# Registry columns",
        "",
        "One row of the TransformationRegistry is one transformation: a function, what it reads, and what it writes.",
        "",
        "## Columns",
        "",
        *_table(
            ("column", "meaning"), [(f"`{c}`", described[c]) for c in transformation.SEED_COLUMNS]
        ),
        "A table may also have these columns (`odibi registry init --all-columns` adds them):",
        "",
        *_table(
            ("column", "meaning"),
            [(f"`{c}`", described[c]) for c in transformation.OPTIONAL_COLUMNS],
        ),
        "## inputs",
        "",
        "Each item is one of:",
        "",
        '- text: a table, `"bronze.sensors"`, or a file\'s path or URL, `"adls://raw/sensors.csv"`',
        '- `{"table": "bronze.sensors"}`',
        '- `{"sql": "SELECT … FROM bronze.sensors"}`, with an optional `name` for the log',
        '- `{"path": "adls://raw/sensors.csv"}`, with optional `format`, `schema` and `options`',
        "",
        "## outputs",
        "",
        _prose(transformation.Output),
        "",
        *_keys(transformation.Output),
        "## constants",
        "",
        "The function gets all constants. The orchestrator reads these:",
        "",
        *_table(
            ("constant", "meaning"),
            [(f"`{c}`", DESCRIPTIONS["constants"][c]) for c in _reserved_constants()],
        ),
        "A row with the module `odibi_nb.sql` and the function `query` is [a row in SQL](../guides/sql.md). Its query is in",
        "the constant `sql`, or in the file that the constant `file` names. All its other constants are parameters of the query.",
        "",
        "## checks",
        "",
        "Each item of `constants.checks` has exactly one rule: "
        + ", ".join(f"`{kind}`" for kind in checks.KINDS)
        + ". The decorator `expect` declares the same in code.",
        "",
        *_keys(checks.Check),
        "### Bounds",
        "",
        *_keys(checks.Bounds),
    ]
    return _page(lines)


def _reserved_constants() -> list[str]:
    order = [*DESCRIPTIONS["constants"]]
    return sorted(transformation.RESERVED_CONSTANTS, key=lambda c: (order.index(c), c))


def selection_grammar() -> str:
    """Return the page of the selection grammar."""
    terms, states = DESCRIPTIONS["selection"], DESCRIPTIONS["states"]
    lines = [
        "# Selection grammar",
        "",
        "`--select` and `--exclude` of commands, `select=` and `exclude=` of `run_project`. An unknown name is an error that names the",
        "closest one. In an exclusion, a tag, entity or function that no row has excludes nothing, unless it resembles one that a row has.",
        "",
        "## Terms",
        "",
        *_table(("term", "selects"), [(f"`{term}`", text) for term, text in terms.items()]),
        "`+` goes with every term. Values may be patterns. Upper and lower case matter in ids and functions only.",
        "",
        "## States",
        "",
        *_table(
            ("term", "selects rows that", "statuses"),
            [
                (f"`state:{name}`", states[name], ", ".join(sorted(statuses)))
                for name, statuses in selection.STATES.items()
            ],
        ),
    ]
    return _page(lines)


def event_payloads() -> str:
    """Return the page of events and their payloads."""
    payload, keys_of = DESCRIPTIONS["payload"], DESCRIPTIONS["event_keys"]
    of_rows = [events.EventType.TRANSFORM_START, *events.ENDED]
    shared = [k for k in keys_of["transform_start"] if all(k in keys_of[e.value] for e in of_rows)]
    lines = [
        "# Events and payloads",
        "",
        "A listener gets one dict per event: `hooks.register(event, listener, filters=…)`. Each listener gets its own copy.",
        "`*` registers for all events. Functions may emit events of their own with `context.hooks.emit(name, payload)`.",
        "",
        "Every payload has:",
        "",
        *_table(("key", "type", "meaning"), [_key(k, payload) for k in ALWAYS]),
        "Events of a row (`transform_…`) also have:",
        "",
        *_table(("key", "type", "meaning"), [_key(k, payload) for k in shared]),
        "Filters may use " + ", ".join(f"`{k}`" for k in hooks.FILTER_KEYS) + ".",
        "",
    ]
    for event in events.EventType:
        name = event.value
        lines += [f"## {name}", "", DESCRIPTIONS["events"][name], ""]
        keys = [k for k in keys_of[name] if event not in of_rows or k not in shared]
        lines += _table(("key", "type", "meaning"), [_key(k, payload) for k in keys])
    lines += [
        "## Names of the original framework",
        "",
        "No run emits these names. `register` takes them and warns with today's name:",
        "",
        *_table(
            ("original", "here"), [(f"`{a}`", f"`{b.value}`") for a, b in hooks.RENAMED.items()]
        ),
    ]
    return _page(lines)


def _key(key: str, payload: Any) -> tuple[str, str, str]:
    kind, meaning = payload[key]
    return f"`{key}`", f"`{kind}`", meaning


def run_log_columns() -> str:
    """Return the page of the run log's columns."""

    def rows(columns: Iterable[tuple[str, str]], described: Any) -> list[tuple[str, str, str]]:
        return [(f"`{name}`", kind, described[name]) for name, kind in columns]

    lines = [
        "# Run log columns",
        "",
        "Timestamps are UTC with microseconds. `int` has 64 bits. `odibi history` and `read_table` read both tables.",
        "",
        "## config_driven.TransformationRunLog",
        "",
        "One row for each attempt that ended. The first ten columns are the original framework's.",
        "",
        *_table(
            ("column", "type", "meaning"),
            rows(log_columns.RECORD_COLUMNS, DESCRIPTIONS["record_columns"]),
        ),
        f"## config_driven.{log_columns.RUN_TABLE}",
        "",
        "One row for each run that ended, in the same schema as the first table.",
        "",
        *_table(
            ("column", "type", "meaning"),
            rows(log_columns.RUN_COLUMNS, DESCRIPTIONS["run_columns"]),
        ),
    ]
    return _page(lines)


def known_settings() -> str:
    """Return the page of settings."""
    lines = [
        "# Settings",
        "",
        "The first place that sets a value wins:",
        "",
        "1. an argument of the call, or an option of the command",
        "2. `%config OdibiMagics.NAME = value`, for this kernel",
        "3. `odibi.toml`, or `[tool.odibi]` in `pyproject.toml`, in this folder or the nearest one above",
        "4. the manifest",
        "5. an environment variable",
        "6. the default",
        "",
        "`odibi doctor` shows each value and where it comes from.",
        "",
        *_table(
            ("setting", "variable", "type", "meaning"),
            [
                (
                    f"`{field.name}`",
                    f"`{settings.PREFIX}{field.name.upper()}`",
                    f"`{_type(field.type)}`",
                    _attribute(settings.KnownSettings, field.name),
                )
                for field in msgspec.structs.fields(settings.KnownSettings)
            ],
        ),
    ]
    return _page(lines)


def error_classes() -> str:
    """Return the page of errors."""
    lines = [
        "# Errors, causes, remedies",
        "",
        "A function's own failure is a result of the run, never an exception of `run_project`.",
        "Commands exit with 2 after a `ConfigurationError` and with 1 after any other error.",
        "",
        *_table(
            ("error", "is a", "cause", "remedy"),
            [
                (
                    f"`{cls.__name__}`",
                    f"`{cls.__bases__[0].__name__}`",
                    *DESCRIPTIONS["errors"][cls.__name__],
                )
                for cls in all_errors()
            ],
        ),
        "All but `CommandLineError` are in `odibi_nb.errors`. By default a retry never follows one of these classes, or one",
        "derived from them: " + ", ".join(f"`{n}`" for n in retry.RetryPolicy().never_retry) + ".",
    ]
    return _page(lines)


def all_errors() -> list[type[errors.OdibiError]]:
    """Return `OdibiError` and every class of the package that is derived from it, parents first."""
    for module in pkgutil.walk_packages(odibi_nb.__path__, "odibi_nb."):
        if module.name.startswith(("odibi_nb.commands.", "odibi_nb.core.")):
            importlib.import_module(module.name)
    found: list[type[errors.OdibiError]] = []

    def add(cls: type[errors.OdibiError]) -> None:
        if cls.__module__.startswith("odibi_nb.") and cls not in found:
            found.append(cls)
            for child in cls.__subclasses__():
                add(child)

    add(errors.OdibiError)
    return found


def json_documents_page() -> str:
    """Return the page of the documents that ``--json`` prints."""
    lines = [
        "# JSON documents",
        "",
        "With `--json` these commands print one JSON document instead of text. In a notebook the document is the cell's result:",
        "its fields are attributes, and `to_dict()` returns plain values. Messages and errors go to the standard error, and the",
        "exit code is the command's.",
        "",
        "Times are UTC in ISO 8601. A value that JSON lacks is text; NaN and the infinities are null.",
        "",
        "Every document begins with `kind` and `version`. The keys are stable: a later version of odibi_nb may add keys, and",
        f"`version`, now {json_documents.VERSION}, grows only if a key goes or changes its meaning.",
        "",
    ]
    listed: set[type] = set()
    for document in json_documents.JsonDocument.__subclasses__():
        lines += [f"## {document.__struct_config__.tag}", "", _prose(document), ""]
        lines += _document_keys(document)
        for name, entry in _entries(document, listed):
            lines += [f"### {name}", "", _prose(entry), "", *_document_keys(entry)]
    return _page(lines)


def _document_keys(struct: type[msgspec.Struct]) -> list[str]:
    fields = [f for f in msgspec.structs.fields(struct) if f.name != "version"]
    rows = [
        (f"`{f.encode_name}`", f"`{_document_type(f.type)}`", _attribute(struct, f.name))
        for f in fields
    ]
    return _table(("key", "type", "meaning"), rows)


def _document_type(kind: Any) -> str:
    """Return the type of a document's key; an entry's class is called an object."""
    optional = type(None) in typing.get_args(kind)
    text = re.sub(r"\b\w+Entry\b", "object", _type(kind)) if kind is not None else "None"
    return f"{text} or null" if optional else text


def _entries(struct: Any, listed: set[type]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield each class of the objects in a document, once, with the key that holds them."""
    for field in msgspec.structs.fields(struct):
        for kind in _structs_in(field.type):
            if kind not in listed:
                listed.add(kind)
                yield f"{field.encode_name}[]", kind
                yield from _entries(kind, listed)


def _structs_in(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in typing.get_args(kind):
        yield from _structs_in(part)


def python_api() -> str:
    """Return the page of the public Python names; mkdocstrings fills it in."""
    lines = [
        "# Python API",
        "",
        "`import odibi_nb` costs milliseconds: each name below is imported when it is first used.",
        "",
    ]
    for name in odibi_nb.__all__:
        lines += [f"::: odibi_nb.{name}", ""]
    return _page(lines)


def contribute() -> str:
    """Return CONTRIBUTING.md as a page of the site."""
    path = Path(__file__).parents[2] / "CONTRIBUTING.md"
    return path.read_text(encoding="utf-8").replace("](docs/", "](")


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "manifest": manifest_keys,
    "registry": registry_columns,
    "selection": selection_grammar,
    "events": event_payloads,
    "run-log": run_log_columns,
    "settings": known_settings,
    "errors": error_classes,
    "json": json_documents_page,
    "python": python_api,
}
"""Page name to the function that writes it."""


def _keys(struct: type[msgspec.Struct], without: Iterable[str] = ()) -> list[str]:
    rows = [
        (f"`{f.encode_name}`", f"`{_type(f.type)}`", _default(f), _attribute(struct, f.name))
        for f in msgspec.structs.fields(struct)
        if f.name not in without
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _type(kind: Any) -> str:
    """Return a type as people write it: without modules, constraints and ``None``."""
    text = kind.__name__ if inspect.isclass(kind) and not hasattr(kind, "__args__") else str(kind)
    text = re.sub(r"\b(?:typing|odibi_nb|msgspec|pathlib)\.(?:\w+\.)*", "", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda m: m[1].replace("'", "").replace(", ", " or "), text)
    text = re.sub(r"Annotated\[(\w+), Meta\((.*?)\)\]", r"\1 (\2)", text)
    text = re.sub(r"tuple\[(.*?), \.\.\.\]", r"list[\1]", text)
    return re.sub(r" \| None$|^Optional\[(.*)\]$", r"\1", text).replace("NoneType", "None")


def _default(field: Any) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        return "empty"
    value = field.default
    if value is None or value in ("", ()):
        return "–"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _attribute(cls: type, name: str) -> str:
    """Return the entry of the attribute *name* in *cls*'s docstring.

    Raises:
        KeyError: if the docstring has none.
    """
    text = inspect.getdoc(cls) or ""
    section = text.partition("Attributes:\n")[2]
    found = re.search(rf"^    {name}: (.*(?:\n {{5,}}.*)*)", section, re.MULTILINE)
    if found is None:
        raise KeyError(f"{cls.__qualname__} does not document {name}")
    return _sentence(found[1])


def _prose(cls: type) -> str:
    """Return *cls*'s docstring without its list of attributes."""
    text = (inspect.getdoc(cls) or "").partition("Attributes:\n")[0]
    return _code(text.strip())


def _code(text: str) -> str:
    """Return reStructuredText's ``code`` and *emphasis* of names as Markdown's code."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return re.sub(r"(?<![\w*`])\*(\w+)\*(?!\w)", r"`\1`", text)


def _sentence(text: str | None) -> str:
    text = _code(" ".join((text or "").replace("%%", "%").split()))
    text = text[:1].upper() + text[1:] if not re.match(r"\w+_", text) else text
    return text if not text or text[-1] in ".!?" else f"{text}."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = [*rows]
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    return [*(f"| {' | '.join(map(_cell, line))} |" for line in lines), ""]


def _cell(text: str) -> str:
    """Return *text* for a table: a bar ends a cell, except in code, where Markdown shows a backslash."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
    return "`".join(parts)


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"
