"""Hash of a function's code: the function itself, and all code of the project that it can reach.

The code is found by its text, from name to name: functions, classes and constants, in modules beside
the manifest, in ``transformation_modules``, and in any other module that is not installed. Code that
chooses a name at run time counts with the whole module. Comments, docstrings and formatting do not
count. Values that only exist in memory count too: arguments of a `functools.partial`, closures,
constants that differ from their text, and names of notebook cells.

If such a value cannot be compared, the code has no hash, and its `Code.unclear` contains the reason.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import linecache
import logging
import pathlib
import pickle
import re
import threading
import types
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.module_source import (
    Chain,
    Imported,
    ModuleSource,
    Unit,
    hash_of,
    is_importer,
)
from odibi_nb.core.functions.modules import is_one_of
from odibi_nb.core.functions.project_sources import ProjectSources, UnclearSourceError
from odibi_nb.core.functions.sibling_modules import plain_name
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import redact
from odibi_nb.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_PACKAGE = "odibi_nb"
_READY_MADE = ("odibi_nb.ingest", "odibi_nb.sql", "odibi_nb.concatenation")
_DECORATING = frozenset(
    {
        *("abc", "attr", "attrs", "contextlib", "dataclasses", "enum", "functools", "msgspec"),
        *("odibi_nb", "pydantic", "typing", "typing_extensions"),
    }
)
"""Libraries whose decorators store nothing elsewhere."""
_PARAMETERS = "the manifest's parameters"
_REACHES_PARAMETERS = ("parameters", "__dict__", "getattr", "vars(", "asdict")
"""Words in code that can read `ExecutionContext.parameters`."""
_MARKS = ("__doc__", "getdoc", "__subclasses__")
"""Words in code that add other code to the hash: docstrings, or the subclasses of each class."""
_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None))
_COMPARED_BY_TEXT = (
    *(dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, fractions.Fraction),
    *(uuid.UUID, pathlib.PurePath, enum.Enum, re.Pattern, range, slice),
)
_BUILTIN = (
    *(types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType),
)
_MADE_BY_PYTHON = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__slots__"),
        *("__static_attributes__", "__dataclass_params__", "__dataclass_fields__"),
        *("__annotate_func__", "__annotations_cache__", "_abc_impl", "__abstractmethods__"),
        *("__hash__", "__match_args__"),
    }
)
"""Attributes of a class that follow from the others."""
_MUTABLE = (dict, list, set, collections.deque)
_CONTAINERS = (*_MUTABLE, tuple, frozenset, types.MappingProxyType)
_DATA = frozenset({"numpy", "pandas"})
"""Libraries whose objects are constants with many values."""
_MAX_VALUE = 100_000
_MAX_OBJECTS = 20_000
_EMPTY: dict[str, Callable[[], Any]] = {"dict()": dict, "list()": list, "set()": set}


@dataclass(frozen=True, kw_only=True)
class Code:
    """Code of a function.

    Attributes:
        parts: name of each part, such as ``helpers.to_utc``, to the hash of its text.
        texts: hash to source text.
        unclear: reasons why the code cannot be compared; then it has no hash.
    """

    parts: Mapping[str, str]
    texts: Mapping[str, str] = field(repr=False)
    unclear: tuple[str, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """16 hex digits that change with any part; "" if the code cannot be compared."""
        if self.unclear:
            return ""
        return hash_of(as_json(dict(sorted(self.parts.items()))))


class CodeReader:
    """Reader of the code of a project's functions, for one plan. Reads each function once.

    Args:
        sources: the project's sources.
        parameters: the manifest's parameters. They count for code that mentions parameters.
    """

    def __init__(self, sources: ProjectSources, parameters: Mapping[str, Any]) -> None:
        self.sources = sources
        self.parameters = parameters
        self._known: dict[tuple[Any, ...], tuple[Any, Code]] = {}
        self._lock = threading.Lock()

    def read(
        self, fn: Callable[..., Any], module: str, function: str, checks: Iterable[Any] = ()
    ) -> Code:
        """Return the code of *fn*, which rows call *function* of *module*, and of its *checks*."""
        functions = tuple(checks)
        key = (id(fn), module, function, *map(id, functions))
        with self._lock:
            if key not in self._known:
                marks: frozenset[str] = frozenset()
                while True:  # each mark makes more code count, and that may have another mark
                    walk = _Walk(self.sources, marks)
                    walk.root(fn, module, function)
                    for check in functions:
                        walk.value(check, getattr(check, "__name__", "check"))
                    code = walk.code(self.parameters)
                    if walk.marks == marks:
                        break
                    marks = walk.marks
                self._known[key] = ((fn, functions), code)
            return self._known[key][1]


class _Walk:
    """Search for all code that one function can reach."""

    def __init__(self, sources: ProjectSources, known: frozenset[str]) -> None:
        self.sources = sources
        self.known = known
        self.marks = known
        self.parts: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.unclear: dict[str, None] = {}
        self.reads_parameters = False
        self._seen: set[Any] = set()
        self._alive: list[Any] = []  # so that no id of `_seen` is used twice
        self._waiting: list[Callable[[], None]] = []

    def code(self, parameters: Mapping[str, Any]) -> Code:
        """Return the code that was found."""
        while self._waiting:
            step = self._waiting.pop()
            try:
                step()
            except UnclearSourceError as exc:
                self.unclear[str(exc)] = None
            except RecursionError:
                self.unclear["the code is nested too deeply"] = None
        if self.reads_parameters and parameters:
            self._add(_PARAMETERS, as_json(dict(parameters), canonical=True), shown="")
            self.texts[self.parts[_PARAMETERS]] = as_json(redact(dict(parameters)))
        return Code(parts=self.parts, texts=self.texts, unclear=tuple(self.unclear))

    def root(self, fn: Any, module: str, function: str) -> None:
        """Add the row's function: the object, and the name that the row has for it."""
        if module in _READY_MADE:
            self._ready_made(module)
            return
        self.value(fn, function)
        self._later(lambda: self._name_in(module, (function,)))

    def _name_in(self, module: str, chain: Chain) -> None:
        source = self.sources.find(module)
        if source is not None and chain[0] in source.binding:
            self._resolve(source, chain)

    def _later(self, step: Callable[[], None]) -> None:
        self._waiting.append(step)

    def _once(self, *key: Any) -> bool:
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _add(self, name: str, counted: str, shown: str | None = None) -> None:
        digest = hash_of(counted)
        while self.parts.get(name, digest) != digest:
            name += "'"  # another object of the same name, as in a closure
        self.parts[name] = digest
        self.texts[digest] = counted if shown is None else shown
        if any(word in counted for word in _REACHES_PARAMETERS):
            self.reads_parameters = True
        self.marks |= {mark for mark in _MARKS if mark in counted}

    def _plain(self, name: str, value: Any) -> None:
        """Add a plain value, whose text is stored without secrets."""
        text = _shown(value)
        self._add(name, f"{name} = {text}", f"{name} = {redact({name: text})[name]}")

    def _ready_made(self, module: str) -> None:
        self.reads_parameters = True
        self._add(module, f"{module} of odibi_nb {__version__}")

    # -- modules -------------------------------------------------------------------------------

    def _whole(self, source: ModuleSource) -> None:
        if not self._once("whole", source.name):
            return
        self._parents(source)
        for target in source.imports:
            self._imported(target, ())
        for name in source.binding:
            self._resolve(source, (name,))
        self._units(source, f"{source.name}.*", source.units)

    def _parents(self, source: ModuleSource) -> None:
        """Add the statements that run when the module of *source* is imported, with its own imports."""
        if not self._once("effects", source.name):
            return
        for target in source.imports:
            if target.module.partition(".")[0] != _PACKAGE:
                self._later(functools.partial(self._run_by_import, target))
        if effects := [
            unit for unit in source.units if unit.effect or self._registers(source, unit)
        ]:
            self._units(source, f"{source.name} (statements)", effects)
        parent = source.name.rpartition(".")[0]
        if parent and (above := self.sources.find(parent)) is not None:
            self._parents(above)

    def _registers(self, source: ModuleSource, unit: Unit) -> bool:
        """Return True if a decorator of a library got the definition *unit* and left it as it was.

        Such a decorator works by what it stores elsewhere: pandas' accessors, and handlers, are found there.
        """
        outer = [
            target.module
            for name in unit.decorators
            for target in source.imported.get(name, ())
            if target.module.partition(".")[0] not in _DECORATING
        ]
        if not outer or all(self.sources.find(module) is not None for module in outer):
            return False
        (name,) = unit.names
        value = getattr(self.sources.loaded(source.name), name, None)
        return value is None or (
            isinstance(value, (type, types.FunctionType)) and not hasattr(value, "__wrapped__")
        )

    def _run_by_import(self, target: Imported) -> None:
        found = self.sources.find(target.module)
        if found is None:
            return
        self._parents(found)
        if found.is_package and target.attribute:
            inner = self.sources.find(f"{target.module}.{target.attribute}")
            if inner is not None:
                self._parents(inner)

    def _part(self, source: ModuleSource, name: str) -> None:
        """Add *name* of a module."""
        if not self._once("part", source.name, name):
            return
        self._parents(source)
        bound = source.binding[name]
        units = [unit for unit in bound if not unit.effect]
        if any(not unit.is_definition and not unit.is_import for unit in bound):
            units += source.touching(name)
        if units:
            self._units(source, f"{source.name}.{name}", units, only=name)
        self._compare_with_memory(source, name, bound)

    def _units(
        self, source: ModuleSource, part: str, units: Iterable[Unit], only: str = ""
    ) -> None:
        units = [*units]
        bare = self.known.isdisjoint(("__doc__", "getdoc"))
        plain = [
            self._import_text(unit, only) or (unit.plain if bare else unit.verbatim)
            for unit in units
        ]
        self._add(part, "\n".join(plain), "\n\n".join(unit.text for unit in units))
        for unit in units:
            if not (unit.is_import and only):
                self._later(functools.partial(self._uses, source, unit))

    def _import_text(self, unit: Unit, only: str) -> str:
        """Return the text of an import of the name *only*, without the statement's other names."""
        targets = unit.uses.imported.get(only, ()) if unit.is_import else ()
        return "\n".join(f"import {one.module} {one.attribute} as {only}" for one in targets)

    def _uses(self, source: ModuleSource, unit: Unit) -> None:
        uses = unit.uses
        if any(
            self._leaves_the_project(source, unit, chain) for chain in sorted(uses.given_context)
        ):
            self.reads_parameters = True
        if uses.anything:
            self._anything()
        if uses.whole:
            self._whole(source)
            for target in uses.imports:
                self._imported(target, ())
        for module_name in uses.modules:
            self._star(module_name)
        self._names_of(source, unit)

    def _anything(self) -> None:
        for module in self.sources.everything():
            self._whole(module)

    def _leaves_the_project(self, source: ModuleSource, unit: Unit, called: Chain) -> bool:
        """Return True if a call of *called* may run code that is not part of the hash."""
        targets = unit.uses.imported.get(called[0]) or source.imported.get(called[0])
        if targets:
            return any(self.sources.find(target.module) is None for target in targets)
        # A name alone is a function of this module, or one that the code got as an argument.
        return len(called) > 1 and called[0] not in source.binding and called[0] != "self"

    def _names_of(self, source: ModuleSource, unit: Unit) -> None:
        uses = unit.uses
        local = {} if not unit.is_definition else uses.imported
        for chain in sorted(uses.chains):
            targets = local.get(chain[0], ())
            for target in targets:
                self._imported(target, chain[1:])
            if chain[0] in source.binding:
                self._resolve(source, chain)
            elif not targets and source.stars:
                self._from_stars(source, chain)
            elif not targets:
                self._unwritten(source, chain[0])
        for target in uses.imports if unit.is_definition else ():
            self._imported(target, (), mentioned=False)

    def _unwritten(self, source: ModuleSource, name: str) -> None:
        """Add a value of the module that no statement of its text binds, as after ``exec``."""
        value = vars(self.sources.loaded(source.name) or types.SimpleNamespace()).get(name)
        own = _sets_global(source, name)
        if value is None or own or name.startswith("__") or isinstance(value, types.ModuleType):
            return
        self.value(value, f"{source.name}.{name}")

    def _star(self, module: str) -> None:
        found = self.sources.find(module)
        if found is not None:
            self._whole(found)
        elif module.startswith(_READY_MADE):
            self._ready_made(module)

    def _from_stars(self, source: ModuleSource, chain: Chain) -> None:
        for module in source.stars:
            found = self.sources.find(module)
            if found is not None and (chain[0] in found.binding or found.stars):
                self._whole(found)

    def _resolve(self, source: ModuleSource, chain: Chain) -> None:
        """Add the object that *chain* means in the module of *source*."""
        name, rest = chain[0], chain[1:]
        for target in source.imported.get(name, ()):
            self._imported(target, rest)
        self._part(source, name)

    def _imported(self, target: Imported, rest: Chain, *, mentioned: bool = True) -> None:
        """Add the object that the attributes *rest* of an imported name lead to.

        If the import is never *mentioned*, only the effects of the module count.
        """
        if target.module.partition(".")[0] == _PACKAGE:
            full = ".".join(filter(None, target))
            if is_one_of(full, _READY_MADE):
                self._ready_made(full)
            return
        if mentioned and is_importer((target.attribute, *rest)):
            self._anything()
        self._imported_from_project(target, rest, mentioned=mentioned)

    def _imported_from_project(self, target: Imported, rest: Chain, *, mentioned: bool) -> None:
        chain = (target.attribute, *rest) if target.attribute else rest
        source = self.sources.find(target.module)
        if source is None:
            # A package that is not the project's may contain modules that are.
            source = self.sources.find(".".join([target.module, *chain[:1]]))
            chain = chain[1:]
        if source is None:
            return
        while chain and chain[0] not in source.binding:
            inner = self.sources.find(f"{source.name}.{chain[0]}")
            if inner is None:
                break
            self._parents(source)
            source, chain = inner, chain[1:]
        if not chain and not mentioned:
            self._parents(source)
        elif not chain:
            self._whole(source)
        elif chain[0] in source.binding:
            self._resolve(source, chain)
        else:
            self._whole(source)  # __getattr__, a star, or a name that is set from elsewhere
            for star in source.stars:
                self._star(star)

    # -- values in memory ----------------------------------------------------------------------

    def _compare_with_memory(self, source: ModuleSource, name: str, units: list[Unit]) -> None:
        """Count the value of a module's *name* if it is not the value that its text describes."""
        module = self.sources.loaded(source.name)
        if module is None or name not in vars(module) or any(unit.is_import for unit in units):
            return
        value, label = vars(module)[name], f"{source.name}.{name}"
        if any(unit.is_definition for unit in units):
            code = getattr(_unwrapped(value), "__code__", None)
            if code is not None and not _has_file(code):
                self.value(value, label)  # replaced by a function of a cell
            elif isinstance(value, type):
                self._attributes(source, value, units)
            elif isinstance(value, types.FunctionType):
                self._hold_function(value, label)
            else:
                self._held(value, label)
            return
        written, literal = _literal_of(units[0].node if len(units) == 1 else None)
        if literal and _same(written, value):
            return
        if isinstance(value, (dict, list, set)):
            self._code_in(value, label)
        if literal and isinstance(written, (dict, list, set)) and not written:
            return  # a cache that functions fill
        if not _sets_global(source, name):  # such as a counter
            self._held(value, f"{label} (value)")

    def _attributes(self, source: ModuleSource, cls: type, units: list[Unit]) -> None:
        """Add the attributes of a class that are not the values that its text describes."""
        if not self._once("attributes", id(cls)):
            return
        name = f"{source.name}.{cls.__qualname__}"
        written = _class_body(units, cls.__name__)
        for key, value in [*vars(cls).items()]:
            if key.startswith("_") and key not in written:
                continue
            literal, is_literal = _literal_of(written.get(key))
            if is_literal and (not literal or _same(literal, value)):
                continue  # as in the text, or a cache that methods fill
            if any(f".{key} {sign}" in source.text for sign in ("=", "+=", "-=")):
                continue  # such as a counter
            if isinstance(value, type) and value.__module__ == cls.__module__:
                self._attributes(source, value, units)
            else:
                self._held(value, f"{name}.{key} (value)")
        if "__subclasses__" in self.known or "__init_subclass__" in vars(cls):
            inner: type
            for inner in type.__subclasses__(cls):
                self.value(inner, f"{name}.{inner.__name__}")

    def _held(self, value: Any, name: str) -> None:
        """Add the comparable parts of a value that is in memory, such as a setting of the environment.

        Other parts do not count: most are handles, such as loggers, clients and caches.
        """
        if type(value) in _IMMUTABLE or self._once("held", id(value)):
            self._alive.append(value)
            self._later(functools.partial(self._hold, value, name))

    def _hold(self, value: Any, name: str) -> None:
        if len(self._alive) > _MAX_OBJECTS:
            self.unclear["it reaches too many objects in memory"] = None
        elif _is_plain(value):
            self._plain(name, value)
        elif isinstance(value, functools.partial):
            self._held((value.func, *value.args, value.keywords), name)
        elif isinstance(value, types.MethodType):
            self._held((value.__func__, value.__self__), name)
        elif isinstance(value, types.FunctionType):
            self._add(name, f"{name} = {plain_name(value.__module__ or '')}.{value.__qualname__}")
            self._hold_function(value, name)
        elif isinstance(value, type):
            self._add(name, f"{name} = {plain_name(value.__module__)}.{value.__qualname__}")
            self._class(value, name)
        else:
            self._hold_object(value, name)

    def _hold_object(self, value: Any, name: str) -> None:
        home = _home_of(type(value))
        if isinstance(value, _CONTAINERS):
            pairs = value.items() if hasattr(value, "items") else enumerate([*value])
            for key, item in [*pairs]:
                self._held(item, f"{name}.{key}" if isinstance(key, str) else f"{name}[{key}]")
        elif self._data(value, name, home):
            pass
        elif callable(getattr(value, "__wrapped__", None)):
            self._held(value.__wrapped__, name)
        elif isinstance(value, types.SimpleNamespace) or self._counts(home):
            self._class(type(value), name)
            slots = {key: getattr(value, key, None) for key in _slots(type(value))}
            for key, item in {**slots, **getattr(value, "__dict__", {})}.items():
                if item is not None and not (key.startswith("_") and isinstance(item, _MUTABLE)):
                    self._held(item, f"{name}.{key}")

    def _data(self, value: Any, name: str, home: str) -> bool:
        """Add a constant with many values, such as a DataFrame; return False for other objects."""
        if home.partition(".")[0] not in _DATA:
            return False
        try:
            self._add(name, hash_of(pickle.dumps(value, 5).hex()), f"{name}: a {home} object")
        except Exception:  # noqa: BLE001  objects of other libraries raise anything
            return False
        return True

    def _hold_function(self, fn: types.FunctionType, name: str) -> None:
        """Add a function's text, and the values that its closure and its defaults have."""
        home = plain_name(str(fn.__globals__.get("__name__", fn.__module__) or ""))
        source = self.sources.find(home) if _has_file(fn.__code__) else None
        if source is not None:
            self._function_of(source, fn)
            if chosen := source.chosen(fn.__code__.co_firstlineno):
                self._add(f"{name} (chosen)", chosen)
        wrapped = getattr(fn, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType) and self._once("held", id(wrapped)):
            self._alive.append(wrapped)
            self._hold_function(wrapped, name)
        registered = getattr(fn, "registry", {})  # of functools.singledispatch
        values = [*_values_of(fn), *((str(key), impl) for key, impl in registered.items())]
        for key, value in values:
            # A container may be a cache, such as that of a decorator.
            if value is not wrapped and not isinstance(value, _MUTABLE):
                self._held(value, f"{name}.{key}")

    def _code_in(self, values: Any, name: str) -> None:
        """Add the functions and classes in a container, such as a registry that decorators fill."""
        items = values.values() if isinstance(values, dict) else values
        for item in [*items][:_MAX_VALUE]:
            if isinstance(item, (types.FunctionType, types.MethodType, type, functools.partial)):
                self.value(item, f"{name}[]")

    def value(self, value: Any, name: str) -> None:
        """Add an object in memory, which code calls *name*."""
        if type(value) not in _IMMUTABLE and not self._once("value", id(value)):
            return
        if len(self._alive) > _MAX_OBJECTS:  # such as an object that makes another at each look
            self.unclear["it reaches too many objects in memory"] = None
            return
        self._alive.append(value)
        self._later(functools.partial(self._value, value, name))

    def _value(self, value: Any, name: str) -> None:
        if isinstance(value, functools.partial):
            self._partial(value, name)
        elif isinstance(value, types.MethodType):
            self.value(value.__func__, name)
            self.value(value.__self__, f"{name}.self")
        elif isinstance(value, types.FunctionType):
            self._function(value, name)
        elif isinstance(value, types.ModuleType):
            source = self.sources.find(plain_name(value.__name__))
            if source is not None:
                self._whole(source)
        elif isinstance(value, type):
            self._class(value, name)
        elif _is_plain(value):
            self._plain(name, value)
        else:
            self._object(value, name)

    def _partial(self, value: functools.partial[Any], name: str) -> None:
        self.value(value.func, name)
        self._each(f"{name} argument", value.args, value.keywords)
        if _is_plain([*value.args]) and _is_plain(value.keywords):
            counted = f"{_shown([*value.args])} {_shown(value.keywords)}"
            self._add(f"{name} (arguments)", counted, "")

    def _object(self, value: Any, name: str) -> None:
        home = _home_of(type(value))
        if isinstance(value, _BUILTIN):
            self._add(name, f"{name} = {getattr(value, '__qualname__', name)}")
        elif isinstance(value, logging.Logger) or type(value).__name__ in {
            "SparkSession",
            "TransformationLogger",
        }:
            self._add(name, f"{name} = {type(value).__name__}")
        elif callable(getattr(value, "__wrapped__", None)):
            self.value(value.__wrapped__, name)  # functools.cache
            self._add(f"{name} (wrapper)", f"{home}.{type(value).__name__}")
        elif isinstance(value, (dict, list, tuple, set, frozenset)) and len(value) <= _MAX_VALUE:
            items = [*value.items()] if isinstance(value, dict) else [*value]
            for i, item in enumerate(items):
                self.value(item, f"{name}[{i}]")
        elif self._counts(home) and hasattr(value, "__dict__"):
            self.value(type(value), f"{name}.class")
            for key, item in vars(value).items():
                self.value(item, f"{name}.{key}")
        elif not self._data(value, name, home):
            cls = f"{home}.{type(value).__name__}"
            self.unclear[f"the value of {name}, a {cls}, cannot be compared"] = None

    def _counts(self, module: str) -> bool:
        return module == "__main__" or self.sources.find(module) is not None

    def _class(self, value: type, name: str) -> None:
        home = plain_name(value.__module__)
        source = self.sources.find(home)
        top = value.__qualname__.partition(".")[0]
        if source is not None:
            if top in source.binding:
                self._part(source, top)
            else:
                self._whole(source)
        elif home == "__main__":
            self._class_of_cell(value, name)
        else:
            self._add(name, f"{name} = {home}.{value.__qualname__}")

    def _class_of_cell(self, cls: type, name: str) -> None:
        """Add a class of a notebook cell: its text, if a method leads to it, its bases and its attributes.

        Without a text all attributes count. With one, the attributes count that code has replaced since.
        """
        own = {key: item for key, item in vars(cls).items() if key not in _MADE_BY_PYTHON}
        methods = [f for f in own.values() if isinstance(f, types.FunctionType)]
        has_text = True in {self._cell(f, name) for f in methods if not _has_file(f.__code__)}
        self._add(f"{name} (class)", f"{cls.__qualname__}({', '.join(map(str, cls.__bases__))})")
        for base in (*cls.__bases__, type(cls)):
            if self._counts(plain_name(base.__module__)):
                self.value(base, f"{name}.{base.__name__}")
        for made in vars(cls).get("__dataclass_fields__", {}).values():
            self._add(f"{name}.{made.name} (field)", f"{made.name}: {made.type}")
            values = {made.name: made.default, f"{made.name} factory": made.default_factory}
            own |= {key: one for key, one in values.items() if one is not dataclasses.MISSING}
        for key, item in own.items():
            for one in _accessors(item):
                code = getattr(_unwrapped(one), "__code__", None)
                if code and code.co_filename == "<string>" and dataclasses.is_dataclass(cls):
                    continue  # follows from the fields
                if not has_text:
                    self.value(one, f"{name}.{key}")
                elif not isinstance(one, _MUTABLE):
                    self._held(one, f"{name}.{key}")

    def _function(self, fn: types.FunctionType, name: str) -> None:
        home = plain_name(str(fn.__globals__.get("__name__", fn.__module__) or ""))
        wrapped = getattr(fn, "__wrapped__", None)
        if callable(wrapped):
            self.value(wrapped, name)
        if home in _READY_MADE:
            self._ready_made(home)
        elif home.partition(".")[0] != _PACKAGE:
            self._text_of(fn, name, home)
        self._enclosed(fn, name)

    def _text_of(self, fn: types.FunctionType, name: str, home: str) -> None:
        if not _has_file(fn.__code__):
            if not self._cell(fn, name):
                self.unclear[f"the source of {name} cannot be found"] = None
        elif (source := self.sources.find(home)) is not None:
            self._function_of(source, fn)
        else:
            self._add(name, f"{name} = {home}.{fn.__qualname__}")

    def _enclosed(self, fn: types.FunctionType, name: str) -> None:
        """Add the values that belong to the function object and not to its text."""
        for variable, content in _closure_of(fn):
            self.value(content, f"{name}.{variable}")
        if "<locals>" in fn.__qualname__ or fn.__qualname__ == "<lambda>":
            self._each(f"{name} default", fn.__defaults__ or (), fn.__kwdefaults__ or {})
        elif not _has_file(fn.__code__):
            defaults = (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values())
            for number, default in enumerate(defaults, 1):
                if not isinstance(default, _MUTABLE):  # which may be a cache
                    self._held(default, f"{name} default {number}")

    def _each(self, name: str, values: Iterable[Any], named: Mapping[str, Any]) -> None:
        """Add each of *values* by its number, and each of *named* by its key."""
        for key, value in (*enumerate(values, 1), *named.items()):
            self.value(value, f"{name} {key}")

    def _function_of(self, source: ModuleSource, fn: types.FunctionType) -> None:
        unit = source.at_line(fn.__code__.co_firstlineno)
        if unit is None:
            self._whole(source)
        elif unit.names:
            for bound in sorted(unit.names):
                self._part(source, bound)
        else:
            self._parents(source)

    # -- cells ---------------------------------------------------------------------------------

    def _cell(self, fn: types.FunctionType, name: str) -> bool:
        """Add a function of a notebook cell; return False if the cell's text is unknown."""
        code = fn.__code__
        text = "".join(linecache.getlines(code.co_filename, fn.__globals__))
        try:
            source = ModuleSource("__main__", text)
        except (SyntaxError, ValueError):
            return False
        unit = source.at_line(code.co_firstlineno)
        if unit is None:
            return False
        if not self._once("cell", code.co_filename, unit.node.lineno):
            return True
        part = ", ".join(sorted(unit.names)) or name
        self._add(f"__main__.{part}", unit.plain, unit.text)
        uses = unit.uses
        if uses.anything or uses.whole:
            self.unclear[f"{part} chooses names at run time"] = None
        for chain in sorted(uses.chains):
            if chain[0] in uses.imported:
                for target in uses.imported[chain[0]]:
                    self._imported(target, chain[1:])
            elif chain[0] in fn.__globals__ and chain[0] not in unit.names:
                self._global(fn.__globals__[chain[0]], chain)
        return True

    def _global(self, value: Any, chain: Chain) -> None:
        """Add a global name of a cell's function."""
        if not isinstance(value, types.ModuleType):
            self.value(value, chain[0])
            return
        module = plain_name(value.__name__)
        self._add(chain[0], f"{chain[0]} = module {module}")
        self._imported(Imported(module), chain[1:])


def _home_of(cls: type) -> str:
    return plain_name(str(getattr(cls, "__module__", "") or ""))


def _accessors(value: Any) -> list[Any]:
    """Return the functions of a property, or the value itself."""
    if isinstance(value, property):
        return [fn for fn in (value.fget, value.fset, value.fdel) if fn is not None]
    if isinstance(value, functools.cached_property):
        return [value.func]
    return [value]


def _unwrapped(value: Any) -> Any:
    for _ in range(100):
        inner = getattr(value, "func", None) if isinstance(value, functools.partial) else None
        inner = inner or getattr(value, "__wrapped__", None)
        if inner is None:
            break
        value = inner
    return value


def _has_file(code: types.CodeType) -> bool:
    name = code.co_filename
    return not name.startswith("<") and "ipykernel_" not in name and pathlib.Path(name).is_file()


def _sets_global(source: ModuleSource, name: str) -> bool:
    """Return True if a function of the module may assign to its global *name*."""
    return any(f"global {name}" in unit.text for unit in source.units)


def _literal_of(node: ast.stmt | None) -> tuple[Any, bool]:
    """Return the value that the statement *node* assigns, and True if it is a literal; else None and False."""
    value = getattr(node, "value", None)
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and value is not None:
        try:
            if ast.unparse(value) in _EMPTY:
                return _EMPTY[ast.unparse(value)](), True
            return ast.literal_eval(value), True
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            pass
    return None, False


def _class_body(units: Iterable[Unit], name: str) -> dict[str, ast.stmt]:
    """Return the assignments in the bodies of the classes called *name*, by the assigned name."""
    classes = [
        node
        for unit in units
        for node in ast.walk(unit.node)
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    return {
        target.id: statement
        for node in classes
        for statement in node.body
        for target in (*getattr(statement, "targets", ()), getattr(statement, "target", None))
        if isinstance(target, ast.Name)
    }


def _slots(cls: type) -> list[str]:
    names = [getattr(one, "__slots__", ()) for one in cls.__mro__]
    return [name for some in names for name in ([some] if isinstance(some, str) else some)]


def _closure_of(fn: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the variables of a function's closure."""
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # not set yet
            yield name, cell.cell_contents


def _values_of(fn: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the variables of a function's closure and its default arguments, by their names."""
    defaults = fn.__defaults__ or ()
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    named = zip(names[len(names) - len(defaults) :], defaults, strict=False)
    return [*_closure_of(fn), *named, *(fn.__kwdefaults__ or {}).items()]


def _is_plain(value: Any, depth: int = 100) -> bool:
    """Return True if the text of *value* is the same in each process."""
    if type(value) in _IMMUTABLE or isinstance(value, _COMPARED_BY_TEXT):
        return True
    if depth == 0:
        return False
    if type(value) is dict:
        return len(value) <= _MAX_VALUE and all(
            _is_plain(k, depth - 1) and _is_plain(v, depth - 1) for k, v in value.items()
        )
    if type(value) in (list, tuple, set, frozenset):
        return len(value) <= _MAX_VALUE and all(_is_plain(item, depth - 1) for item in value)
    return False


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and _shown(one) == _shown(other)


def _shown(value: Any) -> str:
    """Return the text of a plain value; sets in an order of their own."""
    if type(value) is dict:
        return "{" + ", ".join(f"{_shown(k)}: {_shown(v)}" for k, v in value.items()) + "}"
    if type(value) in (set, frozenset):
        return "{" + ", ".join(sorted(map(_shown, value))) + "}"
    if type(value) in (list, tuple):
        left, right = "[]" if type(value) is list else "()"
        return left + ", ".join(map(_shown, value)) + right
    if isinstance(value, re.Pattern):  # its repr is cut
        return f"re.compile({value.pattern!r}, {value.flags})"
    return repr(value)
