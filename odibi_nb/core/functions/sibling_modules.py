"""Private names for the modules beside a manifest, and import statements that find these modules.

A process has only one ``sys.modules`` and one ``sys.path``. Two projects, or a project and the notebook,
can have modules of the same name. If the name of one of its modules is taken, a project loads its modules
below this module instead: ``odibi_nb.core.functions.sibling_modules./path/of/project.helpers``. The name contains the
folder, so any process that has this package can load pickles of such functions and classes.

The code of a project's modules gets its own ``__import__``. So ``import helpers`` is the project's
``helpers`` on each thread, whatever other projects the process has opened. Libraries, such as
``unittest.mock``, import a module by its name: while a project's function runs, `modules_of` gives them
the project's module where they would get that of another project. ``sys.modules["helpers"]`` itself is
another project's module; `names_by_hand` finds such code.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import contextvars
import functools
import importlib
import importlib.util
import os
import re
import sys
import types
import urllib.parse
from bisect import bisect_left
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import compress, count, islice, takewhile
from operator import is_not
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from odibi_nb.core.functions.module_source import chain_of
from odibi_nb.core.process.import_state import search_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

__path__: list[str] = []  # makes this module a package; `Finder` finds the modules below it

PREFIX = f"{__name__}."
NEVER_OURS = frozenset({"__main__", "odibi_nb"}) | sys.stdlib_module_names
"""Top-level names that never mean a module of a project."""
INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders that have installed packages."""

_SYS_MODULES = ("sys", "modules")
_UNTIDY = re.compile(r"[\\/]\.?[\\/]")
"""Empty part of a path, or a dot, which `pathlib` removes."""

_asking: contextvars.ContextVar[ModuleSpace | None] = contextvars.ContextVar(
    "odibi_nb_asking", default=None
)
_running: contextvars.ContextVar[ModuleSpace | None] = contextvars.ContextVar(
    "odibi_nb_running", default=None
)
"""The modules of the project whose functions run here, or whose modules are imported here."""


@contextlib.contextmanager
def let(variable: contextvars.ContextVar[Any], value: Any) -> Iterator[None]:
    """Let *variable* have *value* in the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def modules_of(space: ModuleSpace | None) -> AbstractContextManager[None]:
    """Let libraries that the code in the block calls find the modules of *space* by their names."""
    return let(_running, space)


class ModuleSpace:
    """Modules of one project in the versions that its plan uses.

    Attributes:
        folder: the project's folder.
        prefix: prefix of a module's name if its plain name is taken.
        private: True if all of the project's modules are loaded below `prefix`.
        owned: top-level names that were found in the folder since the last plan began.
    """

    lent: set[Path] = set()  # noqa: RUF012  one for the process, like sys.path
    """Folders that are on ``sys.path`` only because they belong to a project."""

    def __init__(self, folder: Path, *, private: bool, generation: int = 0) -> None:
        self.folder = folder
        self.private = private
        self.generation = generation
        quoted = urllib.parse.quote(str(folder), safe="/ ").replace(".", "%2E")
        self.prefix = f"{PREFIX}{quoted};{generation}" if generation else f"{PREFIX}{quoted}"
        self.owned: set[str] = set()
        self._builtins: dict[str, Any] = {}
        self._seen: dict[str, _Library] = {}
        _spaces[self.prefix] = self
        _folders[os.path.normcase(folder)] = folder
        if private:
            _watch_imports_by_name()

    def owns(self, top: str) -> bool:
        """Return True if *top* means a module or package of this project in the project's own code."""
        if top in NEVER_OURS or top in self.owned:
            return top in self.owned
        found = PathFinder.find_spec(top, [str(self.folder)])
        if found is None:
            return False
        if found.origin is not None:
            self.owned.add(top)
            return True
        if not has_code(found):
            return False
        # An installed package precedes a folder without __init__.py, which may be the package's settings.
        return not is_installed(plain_spec(top, without=self.folder))

    def real_name(self, module: str) -> str:
        """Return the name of the project's *module* in ``sys.modules``."""
        top = module.partition(".")[0]
        if not self.owns(top) or not (self.private or self._is_taken(top)):
            return module
        return f"{self.prefix}.{module}"

    def _is_taken(self, top: str) -> bool:
        loaded = sys.modules.get(top)
        if loaded is None or is_beside(loaded, top, self.folder):
            return False
        _watch_imports_by_name()
        return True

    def is_others(self, top: str) -> bool:
        """Return True if the plain name *top* means a module of another project in this process."""
        loaded = sys.modules.get(top)
        if loaded is not None:
            around = _folders_around(loaded, top)
            return any(_folders.get(folder, self.folder) != self.folder for folder in around)
        # Python finds a plain name only on the path. A search of all of it takes longer than this look.
        on_path = map(os.path.normcase, search_path())
        others = {_folders[place] for place in on_path if place in _folders} - {self.folder}
        if not any(
            folder.joinpath(name).exists() for folder in others for name in (top, f"{top}.py")
        ):
            return False
        found = PathFinder.find_spec(top)
        places = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
        return any(
            Path(place).is_relative_to(folder) for place in places if place for folder in others
        )

    def asking(self) -> AbstractContextManager[None]:
        """Let imports in the block find this project's plain names in its folder."""
        return let(_asking, self)

    def import_module(self, name: str, package: str | None = None) -> types.ModuleType:
        """Import like ``importlib.import_module``, but search the project first."""
        absolute = importlib.util.resolve_name(name, package) if name.startswith(".") else name
        top = absolute.partition(".")[0]
        if not absolute.startswith(PREFIX) and not self.owns(top):
            self.refuse_foreign(top)
        with self.asking():
            found = importlib.import_module(self.real_name(absolute))
        return cast("types.ModuleType", self.seen(found))

    def statement(
        self,
        name: str,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        """Replace ``__import__`` in the code of this project's modules."""
        top = name.partition(".")[0]
        real = name
        if level == 0 and not name.startswith(PREFIX):
            if self.owns(top):
                real = self.real_name(name)
            else:
                self.refuse_foreign(top)
        with self.asking():
            found = builtins.__import__(real, globals, locals, fromlist or (), level)
        if real != name and not fromlist:
            return sys.modules[self.real_name(top)]  # import a.b binds a
        return cast("types.ModuleType", self.seen(found))

    def seen(self, found: Any) -> Any:
        """Return *found*, or its `_Library` if its functions take names of modules."""
        name = found.__name__ if type(found) is types.ModuleType else ""
        if name not in _TAKE_NAMES:
            return found
        if name not in self._seen:
            self._seen[name] = _Library(self, found)
        return self._seen[name]

    def refuse_foreign(self, top: str) -> None:
        """Raise ModuleNotFoundError if only the folder of another project has *top*."""
        others = self.lent - {self.folder}
        if not others or top in NEVER_OURS:
            return
        loaded = sys.modules.get(top)
        if loaded is None:
            if PathFinder.find_spec(top, [*map(str, others)]) is None:
                return
            own = [place for place in search_path() if Path(place or ".") not in others]
            if PathFinder.find_spec(top, own) is not None:
                return
            owner = next(f for f in others if PathFinder.find_spec(top, [str(f)]) is not None)
        else:
            around = {*_folders_around(loaded, top)}
            owners = [folder for folder in others if os.path.normcase(folder) in around]
            if not owners:
                return
            owner = owners[0]
        raise ModuleNotFoundError(
            f"No module named {top!r} in this project; the project in {owner} has one",
            name=top,
        )

    def names(self) -> dict[str, Any]:
        """Return the builtins of this project's modules."""
        self._builtins.update(vars(builtins))
        self._builtins["__import__"] = self.statement
        return self._builtins


_RESOURCES = (
    *("files", "as_file", "contents", "is_resource", "path"),
    *("open_binary", "open_text", "read_binary", "read_text"),
)
_TAKE_NAMES = {
    "importlib": (),
    "importlib.resources": _RESOURCES,
    "importlib_resources": _RESOURCES,
    "importlib.util": ("find_spec",),
    "pkgutil": ("get_data", "find_loader", "get_loader", "resolve_name"),
    "runpy": ("run_module",),
}
"""Libraries' functions that take a module's name and import it without the caller's `__import__`."""


class _Library(types.ModuleType):
    """Proxy of a library for a project's code: module names in its arguments mean the project's."""

    def __init__(self, space: ModuleSpace, library: types.ModuleType) -> None:
        super().__init__(library.__name__, library.__doc__)
        self._space, self._library = space, library
        if library is importlib:
            self.import_module = space.import_module
        for name in _TAKE_NAMES[library.__name__]:
            if hasattr(library, name):
                setattr(self, name, _with_real_name(space, getattr(library, name)))

    def __getattr__(self, name: str) -> Any:
        return self._space.seen(getattr(self._library, name))

    def __dir__(self) -> list[str]:
        return dir(self._library)

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self._library.__name__,)


def _with_real_name(space: ModuleSpace, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a wrapper that replaces module names in arguments by their names in ``sys.modules``."""

    def real(value: Any) -> Any:
        if not isinstance(value, str) or value.startswith("."):
            return value
        module, colon, rest = value.partition(":")  # pkgutil.resolve_name
        return f"{space.real_name(module)}{colon}{rest}"

    @functools.wraps(function)
    def wrapper(
        *args: Any, **keywords: Any
    ) -> Any:  # "wrapper", because importlib.resources skips callers of this name
        for name in ("package", "anchor", "name", "mod_name"):
            if not args and name in keywords:
                keywords = {**keywords, name: real(keywords[name])}
        return function(*map(real, args[:1]), *args[1:], **keywords)

    return wrapper


_spaces: dict[str, ModuleSpace] = {}
_folders: dict[str, Path] = {}
"""The folders of all projects that this process has opened, by their normalized texts."""


_looked_at: dict[str, types.ModuleType] = {}
"""Modules that `loaded_from` has found in ``sys.modules``, by name."""
_places: dict[str, str] = {}
"""Names of those modules that have a file, to the file's normalized path."""
_in_order: list[tuple[int, list[tuple[str, str]]]] = [(0, [])]
"""The same paths and names, in the order of the paths, with the number of the last change that they have."""
_change, _numbers = [0], count(1)
"""The number of the last change of the places, and the next numbers."""
_pathless: dict[str, str] = {}
"""Names of the packages without a file, to the top of their plain names. Python computes their folders at each access."""


def loaded_from(folder: Path) -> list[str]:
    """Return the names of the loaded modules in *folder* or below it.

    A package without a file counts only directly in *folder*. A process has thousands of modules, and
    a run asks three times. So this function reads the attributes of a module only once, and skips it
    until another module takes its name.
    """
    root = os.path.normcase(f"{folder}{os.sep}")
    # Only a copy is one step: during a loop other threads and finalizers may import modules.
    loaded = sys.modules.copy()
    known = map(_looked_at.get, loaded)
    for name in [*compress(loaded, map(is_not, loaded.values(), known))]:
        _look_at(name, loaded[name])
    found = _below(root)
    # Whenever sys.path has changed, Python searches all of it for the folders of such a package.
    tops = _pathless.copy()
    here = {top for top in set(tops.values()) if folder.joinpath(top).is_dir()}
    found += [name for name, top in tops.items() if top in here and _is_below(root, name)]
    return [name for name in found if name in loaded]


def _below(root: str) -> list[str]:
    """Return the names of the modules whose file's path starts with *root*, by its place in the ordered paths."""
    change, (known, ordered) = _change[0], _in_order[0]
    if change != known:
        ordered = sorted((place, name) for name, place in _places.copy().items())
        _in_order[0] = change, ordered
    first = bisect_left(ordered, (root,))
    here = takewhile(lambda entry: entry[0].startswith(root), islice(ordered, first, None))
    return [name for _, name in here]


def _look_at(name: str, module: types.ModuleType) -> None:
    if getattr(module, "__file__", None):
        _places[name] = os.path.normcase(_text_of(module) or "")
        _pathless.pop(name, None)
    else:
        if _places.pop(name, None) is not None:
            _change[0] = next(_numbers)
        if hasattr(module, "__path__"):
            _pathless[name] = plain_name(name).partition(".")[0]
        elif getattr(module, "__spec__", None) is None:
            return  # made by hand: it may get a file later
    _looked_at[name] = module
    _change[0] = next(_numbers)


def _is_below(root: str, package: str) -> bool:
    return os.path.normcase(_text_of(sys.modules.get(package)) or "").startswith(root)


def forget_modules(names: Iterable[str]) -> None:
    """Release the modules of *names*, which the caller removes from ``sys.modules``."""
    for name in names:
        _looked_at.pop(name, None)


def is_beside(module: types.ModuleType, top: str, folder: Path) -> bool:
    """Return True if *module* is the module or package *top* of *folder*, or is inside it."""
    return os.path.normcase(folder) in _folders_around(module, top)


def _folders_around(module: types.ModuleType, top: str) -> Iterator[str]:
    """Yield the normalized folders beside whose modules *module* is *top*, or is inside it.

    A process may have opened hundreds of projects, and any import of a row asks for one of them.
    """
    place, part = os.path.normcase(_text_of(module) or ""), os.path.normcase(f"{os.sep}{top}")
    at = place.find(part)
    while at >= 0:
        if place[at + len(part) :].partition(os.sep)[0] in {"", ".py"}:
            yield place[:at]
        at = place.find(part, at + 1)


def origin_of(module: types.ModuleType) -> Path | None:
    """Return the module's file, or the only folder of a package without a file."""
    place = _text_of(module)
    return None if place is None else Path(place)


def _text_of(module: types.ModuleType | None) -> str | None:
    """Return the path of *module*, as `pathlib` spells it."""
    place = getattr(module, "__file__", None)
    if not place:
        try:
            places = [*getattr(module, "__path__", ())]
        except KeyError:  # the package's parent was removed from sys.modules
            return None
        if len(places) != 1:
            return None
        place = places[0]
    text = str(place)
    return str(Path(text)) if _UNTIDY.search(text) else text


def plain_spec(top: str, *, without: Path) -> ModuleSpec | None:
    """Return the spec that ``import top`` would find outside of the folder *without*."""
    return PathFinder.find_spec(
        top, [place for place in search_path() if Path(place or ".").resolve() != without]
    )


def is_installed(spec: ModuleSpec | None) -> bool:
    """Return True for an installed module or package that has its own file."""
    if spec is None or spec.origin is None:
        return False
    return not INSTALLED.isdisjoint(Path(spec.origin).parts)


def has_code(spec: ModuleSpec) -> bool:
    """Return True if a package's folders contain Python files, directly or one level deeper."""
    return any(
        next(Path(place).glob(pattern), None) is not None
        for place in spec.submodule_search_locations or ()
        for pattern in ("*.py", "*/*.py")
    )


def names_by_hand(text: bytes) -> set[str]:
    """Return the names that the code in *text* looks up in ``sys.modules`` as literals."""
    if b"sys.modules" not in text:
        return set()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        keys: list[ast.expr] = []
        if isinstance(node, ast.Subscript) and chain_of(node.value) == _SYS_MODULES:
            keys = [node.slice]
        elif isinstance(node, ast.Call) and (chain_of(node.func) or ())[:-1] == _SYS_MODULES:
            keys = node.args[:1]
        elif isinstance(node, ast.Compare) and _SYS_MODULES in map(chain_of, node.comparators):
            keys = [node.left]
        found.update(
            key.value
            for key in keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        )
    return found


def plain_name(module: str) -> str:
    """Return the name of *module* in the project's own code."""
    if not module.startswith(PREFIX):
        return module
    return module.removeprefix(PREFIX).partition(".")[2]


class _Loader(SourceFileLoader):
    """Loader of a project's module: always from its source, and with the project's ``__import__``."""

    def __init__(self, fullname: str, path: str, space: ModuleSpace) -> None:
        super().__init__(fullname, path)
        self.space = space

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__builtins__"] = self.space.names()
        super().exec_module(module)


class _Folder:
    """Loader of the module that represents a project's folder."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python create the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing, because the folder itself has no code."""


class Finder:
    """Finder of projects' modules.

    It always finds modules below `PREFIX`. It finds plain names only while a project imports them.
    """

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a project's module; None for any other module."""
        del target
        if fullname.startswith(PREFIX):
            space = _space_of(fullname)
            if not plain_name(fullname):
                spec = ModuleSpec(fullname, _Folder(), is_package=True)  # type: ignore[arg-type]
                spec.submodule_search_locations = [str(space.folder)]
                return spec
        else:
            asking = _asking.get()
            top = fullname.partition(".")[0]
            if asking is None or not asking.owns(top) or asking.real_name(top) != top:
                return None
            space = asking
            path = [str(space.folder)] if fullname == top else path
        found = PathFinder.find_spec(fullname, path)
        if found is None or not isinstance(found.loader, SourceFileLoader):
            return found
        return importlib.util.spec_from_file_location(
            fullname,
            found.origin,
            loader=_Loader(fullname, str(found.origin), space),
            submodule_search_locations=found.submodule_search_locations,
        )


def _watch_imports_by_name() -> None:
    """Let functions that were pickled by value, and libraries, find the modules of the project that runs.

    Spark sends functions with cloudpickle, which rebuilds a nested function with plain builtins. Sail
    runs such a function in this process, where only its module's name shows its project. Libraries call
    ``importlib.import_module``, and only the context shows for which project.
    """
    plain, plain_module = builtins.__import__, importlib.import_module
    if getattr(plain, "of_odibi_nb", False):
        return

    def import_(
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> types.ModuleType:
        # A project's own __import__ and Python's import system call this function, too.
        if level or _asking.get() is not None:
            return plain(name, globals, locals, fromlist, level)
        module = globals.get("__name__") if type(globals) is dict else None
        if type(module) is str and module.startswith(PREFIX):
            meant: ModuleSpace | None = _space_of(module)
        else:
            meant = _meant(name)
        statement = plain if meant is None else meant.statement
        return statement(name, globals, locals, fromlist, level)

    @functools.wraps(plain_module)
    def import_module(name: str, package: str | None = None) -> types.ModuleType:
        meant = _meant(name) if _asking.get() is None else None
        if meant is None:
            return plain_module(name, package)
        with meant.asking():
            return plain_module(meant.real_name(name), package)

    import_.of_odibi_nb = True  # type: ignore[attr-defined]
    builtins.__import__ = import_
    importlib.import_module = import_module


def _meant(name: str) -> ModuleSpace | None:
    """Return the modules that *name* means here, if Python would take it for another project's module.

    Raises:
        ModuleNotFoundError: if only another project has the module.
    """
    space = _running.get()
    top = name.partition(".")[0]
    if space is None or not top or top in NEVER_OURS or name.startswith(PREFIX):
        return None
    if not space.is_others(top):
        return None
    if space.owns(top):
        return space
    space.refuse_foreign(top)
    return None


def _space_of(module: str) -> ModuleSpace:
    """Return the space of *module*, below `PREFIX`; create it in a process that does not have it yet."""
    place = module.removeprefix(PREFIX).partition(".")[0]
    if PREFIX + place not in _spaces:
        quoted, _, generation = place.partition(";")
        folder = Path(urllib.parse.unquote(quoted))
        return ModuleSpace(folder, private=True, generation=int(generation or 0))
    return _spaces[PREFIX + place]


if not any(getattr(finder, "__module__", "") == __name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, Finder)
