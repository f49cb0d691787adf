"""The hash of a function's code: it changes with all code of the project that the function can reach."""

from __future__ import annotations

import functools
import importlib.machinery
import linecache
import logging
import re
import sys
import types

import numpy as np
import pytest

from odibi_nb import ingest
from odibi_nb.core.functions.code_hash import CodeReader
from odibi_nb.core.functions.code_store import BATCH, CodeStore
from odibi_nb.core.functions.project_sources import ProjectSources
from odibi_nb.core.functions.registry import REGISTRY, ProjectModules

MODULES = {
    "shop/__init__.py": "",
    "shop/silver.py": '''
"""Cleaning."""
import functools
import logging
from math import floor

from . import helpers
from .rules import LIMIT as MOST, checked
from shop.wide import *
import shop.deep.inner as inner

log = logging.getLogger(__name__)
WINDOW = "1H"
CONFIG = {"a": 1}
CONFIG["b"] = 2
UNUSED = 1
_CACHE = {}


class Base:
    factor = 2


class Scaler(Base):
    def scale(self, x):
        return x * self.factor


def decorated(fn):
    """Count calls."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        return fn(*args, **kwargs)
    return call


@decorated
def work(inputs, constants, context=None, window=WINDOW):
    """Clean."""
    log.info("x")
    from .late import late
    rows = helpers.clean(inputs, window)  # a comment
    return Scaler().scale(checked(rows, MOST)) + floor(CONFIG["a"]) + late() + star() + inner.value()


def unrelated():
    return UNUSED


partial = functools.partial(work, window="2H")
''',
    "shop/helpers.py": "from shop.times import to_utc\nSTEP = 5\n\ndef clean(x, w):\n    return to_utc(x, STEP)\n\ndef other():\n    return 1\n",
    "shop/times.py": "OFFSET = 0\n\ndef to_utc(x, step):\n    return x + OFFSET + step\n",
    "shop/rules.py": "LIMIT = 10\n\ndef checked(rows, most):\n    return rows[:most]\n",
    "shop/late.py": "def late():\n    return 1\n",
    "shop/wide.py": "def star():\n    return 1\n",
    "shop/deep/__init__.py": "",
    "shop/deep/inner.py": "def value():\n    return 1\n",
    "shop/unused.py": "X = 1\n",
    "shop/stars.py": "from shop.helpers import *\n",
    "shop/lazy.py": "def __getattr__(name):\n    if name != 'lazy': raise AttributeError(name)\n    from shop import helpers\n    return helpers.other\n",
}


@pytest.fixture
def project(tmp_path):
    """Writes and hashes a project; what it imports is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)

    def write(name, text):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(module="shop.silver", function="work", fn=None, parameters=None):
        loader = ProjectModules(tmp_path)
        with loader.importing():
            found = fn or REGISTRY.resolve(module, function, "pandas")
        return CodeReader(ProjectSources(loader), parameters or {}).read(found, module, function)

    for name, text in MODULES.items():
        write(name, text)
    yield types.SimpleNamespace(write=write, read=read, folder=tmp_path)
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


CHANGES = [
    ("shop/silver.py", "return Scaler()", "return 1 + Scaler()", "shop.silver.work"),
    ("shop/silver.py", 'WINDOW = "1H"', 'WINDOW = "2H"', "shop.silver.WINDOW"),
    ("shop/silver.py", "window=WINDOW", 'window="3H"', "shop.silver.work"),
    ("shop/silver.py", "@decorated\n", "", "shop.silver.work"),
    ("shop/silver.py", "return fn(*args", "return 2 * fn(*args", "shop.silver.decorated"),
    ("shop/silver.py", "factor = 2", "factor = 3", "shop.silver.Base"),
    ("shop/silver.py", "x * self", "x + self", "shop.silver.Scaler"),
    ("shop/silver.py", 'CONFIG["b"] = 2', 'CONFIG["b"] = 3', "shop.silver (statements)"),
    ("shop/silver.py", "import floor", "import ceil as floor", "shop.silver.floor"),
    ("shop/helpers.py", "STEP = 5", "STEP = 6", "shop.helpers.STEP"),
    ("shop/helpers.py", "to_utc(x, STEP)", "to_utc(x, 2 * STEP)", "shop.helpers.clean"),
    ("shop/times.py", "OFFSET = 0", "OFFSET = 1", "shop.times.OFFSET"),
    ("shop/times.py", "x + OFFSET", "x - OFFSET", "shop.times.to_utc"),
    ("shop/rules.py", "LIMIT = 10", "LIMIT = 11", "shop.rules.LIMIT"),
    ("shop/late.py", "return 1", "return 2", "shop.late.late"),
    ("shop/wide.py", "return 1", "return 2", "shop.wide.star"),
    ("shop/deep/inner.py", "return 1", "return 2", "shop.deep.inner.value"),
    ("shop/__init__.py", "", "print()", "shop (statements)"),
]
HARMLESS = [
    ("shop/silver.py", "# a comment", "# another"),
    ("shop/silver.py", '"""Clean."""', '"""Cleans."""'),
    ("shop/silver.py", "rows = helpers", "rows  =  helpers"),
    ("shop/silver.py", "UNUSED = 1", "UNUSED = 2"),
    ("shop/silver.py", "def unrelated():", "\n\ndef unrelated():\n    1 + 1"),
    ("shop/helpers.py", "def other():\n    return 1", "def other():\n    return 2"),
    ("shop/unused.py", "X = 1", "X = 2"),
]


@pytest.mark.parametrize(("file", "old", "new", "part"), CHANGES)
def test_a_change_of_reachable_code_changes_the_hash_and_names_the_part(
    project, file, old, new, part
):
    """Functions, constants, defaults, decorators, base classes and imports count, however far away."""
    before = project.read()
    project.write(file, MODULES[file].replace(old, new, 1) if old else new)
    after = project.read()
    assert before.digest != after.digest
    assert after.digest
    names = {*before.parts, *after.parts}
    changed = {name for name in names if before.parts.get(name) != after.parts.get(name)}
    assert part in changed
    assert len(changed) <= 3, changed


@pytest.mark.parametrize(("file", "old", "new"), HARMLESS)
def test_comments_docstrings_formatting_and_other_functions_do_not_count(project, file, old, new):
    """A change that the function cannot notice leaves its hash as it was."""
    before = project.read()
    assert old in MODULES[file]
    project.write(file, MODULES[file].replace(old, new, 1))
    assert project.read().digest == before.digest


DYNAMIC = [
    "import shop.helpers\ndef work(inputs): return getattr(shop.helpers, 'cle' + 'an')\n",
    "from shop import helpers\ndef work(inputs): return [f(1) for f in vars(helpers).values()]\n",
    "import importlib\ndef work(inputs): return importlib.import_module('shop.helpers').other()\n",
    "import importlib\ndef work(inputs): return importlib.import_module('shop.' + inputs[0])\n",
    "import sys\ndef work(inputs): return sys.modules['shop.helpers'].other()\n",
    "def work(inputs): return __import__('shop.helpers').helpers.other()\n",
    "from shop import helpers\nTABLE = {'a': helpers}\ndef work(inputs): return TABLE['a'].other()\n",
    "from shop.stars import *\ndef work(inputs): return other()\n",
    "from shop import stars\ndef work(inputs): return stars.other()\n",
    "import shop.lazy\ndef work(inputs): return shop.lazy.lazy()\n",
]


@pytest.mark.parametrize("text", DYNAMIC)
def test_names_that_code_chooses_at_run_time_count_with_their_whole_module(project, text):
    """A function that reaches a module without naming its parts depends on all parts."""
    project.write("dynamic.py", text)
    before = project.read("dynamic")
    project.write("shop/helpers.py", MODULES["shop/helpers.py"].replace("return 1", "return 2"))
    assert project.read("dynamic").digest != before.digest


def test_arguments_of_a_partial_and_values_of_a_closure_count(project):
    """Values that only the function object has are part of its code."""
    project.write("made.py", "def make(n):\n    def work(inputs): return n\n    return work\n")

    def digest(fn):
        return project.read("made", "work", fn).digest

    with ProjectModules(project.folder).importing():
        import made  # type: ignore[import-not-found]
    assert digest(made.make(1)) == digest(made.make(1)) != digest(made.make(2))
    partial = functools.partial
    assert digest(partial(made.make(1), 3)) != digest(partial(made.make(1), 4))
    assert digest(partial(made.make, n=3)) != digest(partial(made.make, n=4))


MADE = """
def make(n):
    def work(inputs, first=n, *, second=n): return n
    return work

def make_early():
    def work(inputs): return later
    return work
    later = 1
"""


@pytest.fixture
def made(project):
    """Makes functions whose closure and defaults have a value; with their hash."""
    project.write("made.py", MADE)
    project.read()  # imports the modules
    with ProjectModules(project.folder).importing():
        import made  # type: ignore[import-not-found]
    return types.SimpleNamespace(
        code=lambda value: project.read("made", "work", made.make(value)),
        early=lambda: project.read("made", "work", made.make_early()),
    )


def nested(value):
    """A list with *value* below more levels than other data has."""
    for _ in range(150):
        value = [value]
    return value


def of_class(factor):
    found = sys.modules["shop.silver"].Scaler()
    found.factor = factor
    return found


def helper(name):
    return getattr(sys.modules["shop.helpers"], name)


IN_A_CLOSURE = {
    "a pattern": lambda n: re.compile("a" * n),
    "a deep list": nested,
    "a set": lambda n: {n, "a"},
    "a module": lambda n: sys.modules["shop.helpers" if n == 1 else "shop.times"],
    "functions in a list": lambda n: [helper("clean" if n == 1 else "other")],
    "functions in a dict": lambda n: {"a": helper("clean" if n == 1 else "other")},
    "an object of the project": of_class,
    "a function with a function": lambda n: functools.partial(
        max, helper("clean" if n == 1 else "other")
    ),
    "an array": lambda n: np.array([n]),
    "a bound method": lambda n: of_class(n).scale,
    "a function of ours": lambda n: ingest.load_csv if n == 1 else None,
}


@pytest.mark.parametrize("value", IN_A_CLOSURE.values(), ids=IN_A_CLOSURE)
def test_each_kind_of_value_in_a_closure_counts(made, value):
    """Equal values have the same hash, and other values another one, whatever object holds them."""
    first = made.code(value(1))
    assert first.unclear == ()
    assert first.digest == made.code(value(1)).digest != made.code(value(2)).digest


def test_handles_in_a_closure_do_not_count(made):
    """Two loggers are the same code: a logger only receives what code says."""
    first, second = (made.code(logging.getLogger(name)) for name in ("odibi_a", "odibi_b"))
    assert first.digest == second.digest != ""


def test_a_variable_that_has_no_value_yet_does_not_count(made):
    """A closure whose variable was never set has a hash: its text."""
    assert made.early().digest


def test_a_value_that_cannot_be_written_makes_the_code_unclear(made):
    """An array of objects that no process can compare leaves the function without a hash."""
    code = made.code(np.array([lambda: 0], dtype=object))
    assert code.digest == ""
    assert "cannot be compared" in code.unclear[0]


def test_a_function_that_wraps_itself_has_a_hash(project):
    """The search for the wrapped function ends, wherever ``__wrapped__`` leads."""
    project.write("round.py", "def work(inputs): return 1\nwork.__wrapped__ = work\n")
    assert project.read("round").digest


def test_an_expression_that_is_nested_too_deeply_makes_the_code_unclear(project):
    """A text that Python can run, but that cannot be searched, has no hash."""
    project.write("deep.py", f"def work(inputs): return {'1 + ' * 2_000}1\n")
    code = project.read("deep")
    assert code.digest == ""
    assert code.unclear


def test_too_many_objects_make_the_code_unclear(project):
    """A search through more objects than code has ends without a hash."""
    text = "import types\nROWS = [types.SimpleNamespace(n=i) for i in range(20_001)]\n"
    project.write("many.py", f"{text}def work(inputs): return ROWS\n")
    code = project.read("many")
    assert code.digest == ""
    assert code.unclear == ("it reaches too many objects in memory",)


def test_an_object_without_end_makes_the_code_unclear(project):
    """Looking at a value ends, whatever the value makes of it."""

    class Endless:
        def __getattr__(self, name):
            return Endless()

        def __call__(self):
            return None

    project.write("made.py", "def make(n):\n    def work(inputs): return n\n    return work\n")
    with ProjectModules(project.folder).importing():
        import made  # type: ignore[import-not-found]
    code = project.read("made", "work", made.make(Endless()))
    assert code.digest == ""
    assert code.unclear


def cell(text, namespace, number):
    """Run *text* as IPython runs a cell."""
    name = f"<ipython-input-{number}-odibi>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), namespace)
    return namespace["work"]


def test_a_function_of_a_cell_counts_with_the_globals_that_it_uses(project):
    """The text of the cell and plain values of the notebook decide; others make the hash unclear."""
    project.read()
    namespace = {"__name__": "__main__", "n": 1, "other": 5}
    text = "import shop.helpers\ndef helper(): return n\ndef work(inputs): return helper() + shop.helpers.clean(1, 2)\n"
    first = project.read("__main__", "work", cell(text, namespace, 1))
    assert first.digest
    namespace["other"] = 6
    assert project.read("__main__", "work", namespace["work"]).digest == first.digest
    namespace["n"] = 2
    assert project.read("__main__", "work", namespace["work"]).digest != first.digest
    namespace["n"] = object()
    unclear = project.read("__main__", "work", namespace["work"])
    assert unclear.digest == ""
    assert "the value of n" in unclear.unclear[0]


CLASSES_OF_CELLS = {
    "a dataclass's default": (
        "import dataclasses\n@dataclasses.dataclass\nclass K:\n    x: int = 1\n",
        "@dataclasses.dataclass\nclass K:\n    x: int = 2\n",
    ),
    "a dataclass's factory": (
        "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\nclass K:\n    x: list = dataclasses.field(default_factory=lambda: [1])\n",
        "@dataclasses.dataclass(frozen=True, slots=True)\nclass K:\n    x: list = dataclasses.field(default_factory=lambda: [2])\n",
    ),
    "a member of an enumeration": (
        "import enum\nclass K(enum.IntEnum):\n    A = 1\n",
        "class K(enum.IntEnum):\n    A = 2\n",
    ),
    "an attribute set later": ("class K:\n    x = 1\n    def f(self): return 1\n", "K.x = 2\n"),
    "an attribute of a class without methods": ("class K:\n    x = 1\n", "K.x = 2\n"),
    "a base class": (
        "class B:\n    x = 1\nclass K(B): pass\n",
        "class B:\n    x = 2\nclass K(B): pass\n",
    ),
    "a base class of a module": (
        "import shop.silver\nclass K(shop.silver.Base): pass\n",
        "shop.silver.Base.factor = 9\n",
    ),
    "a property": (
        "class K:\n    @property\n    def x(self): return 1\n",
        "class K:\n    @property\n    def x(self): return 2\n",
    ),
    "a static method": (
        "class K:\n    @staticmethod\n    def f(): return 1\n",
        "class K:\n    @staticmethod\n    def f(): return 2\n",
    ),
    "a cached property": (
        "import functools\nclass K:\n    @functools.cached_property\n    def x(self): return 1\n",
        "class K:\n    @functools.cached_property\n    def x(self): return 2\n",
    ),
    "a default argument set later": ("def K(x=1): return x\n", "K.__defaults__ = (2,)\n"),
}


@pytest.mark.parametrize(("text", "change"), CLASSES_OF_CELLS.values(), ids=CLASSES_OF_CELLS)
def test_classes_of_cells_count_with_their_attributes(project, text, change):
    """A class whose text Python does not keep is described by its bases and attributes."""
    project.read()
    namespace = {"__name__": "__main__"}
    fn = cell(f"{text}def work(inputs): return K\n", namespace, 2)
    first = project.read("__main__", "work", fn)
    assert project.read("__main__", "work", fn).digest == first.digest
    cell(change, namespace, 3)
    assert project.read("__main__", "work", fn).digest not in {"", first.digest}


CACHES_OF_CELLS = {
    "a class's": ("class K:\n    seen = {}\n    def f(self): return 1\n", "K.seen['a'] = 1\n"),
    "a default argument": ("def K(x=[]): return x\n", "K().append(1)\n"),
}


@pytest.mark.parametrize(("text", "change"), CACHES_OF_CELLS.values(), ids=CACHES_OF_CELLS)
def test_what_code_of_cells_collects_does_not_count(project, text, change):
    """A container that functions fill while they run is a cache, and no other code."""
    namespace = {"__name__": "__main__"}
    fn = cell(f"{text}def work(inputs): return K\n", namespace, 4)
    first = project.read("__main__", "work", fn)
    cell(change, namespace, 5)
    assert project.read("__main__", "work", fn).digest == first.digest != ""


def test_an_import_in_a_function_of_a_cell_counts(project):
    """A module that only the function's body imports is part of its code."""
    text = "def work(inputs):\n    from shop.helpers import other\n    return other()\n"
    fn = cell(text, {"__name__": "__main__"}, 6)
    before = project.read("__main__", "work", fn)
    changed = MODULES["shop/helpers.py"].replace("return 1", "return 2")
    project.write("shop/helpers.py", changed)
    assert project.read("__main__", "work", fn).digest not in {"", before.digest}


def test_a_function_of_a_cell_that_chooses_names_has_no_hash(project):
    """Names of a notebook that code chooses while it runs cannot be known before."""
    text = "def work(inputs): return globals()[inputs[0]]\n"
    code = project.read("__main__", "work", cell(text, {"__name__": "__main__"}, 7))
    assert code.digest == ""
    assert code.unclear == ("work chooses names at run time",)


@pytest.mark.parametrize("known", ["", "%time 1\n"])
def test_a_function_without_a_text_has_no_hash(project, known):
    """A function that exec made, or whose cell is no longer known, cannot be compared."""
    fn = cell("def work(inputs): return 1\n", {"__name__": "__main__"}, 8)
    name = fn.__code__.co_filename
    linecache.cache[name] = (len(known), None, known.splitlines(keepends=True), name)
    code = project.read("__main__", "work", fn)
    assert code.digest == ""
    assert code.unclear == ("the source of work cannot be found",)


def test_functions_of_one_statement_of_a_cell_count_once(project):
    """Two functions in one ``if`` have one text: that of the whole statement."""
    text = "if True:\n    def first(): return 1\n    def second(): return first()\n"
    fn = cell(f"{text}def work(inputs): return first() + second()\n", {"__name__": "__main__"}, 9)
    code = project.read("__main__", "work", fn)
    assert [*code.parts] == ["__main__.work", "__main__.first, second"]


def test_a_compiled_module_counts_with_its_bytes(project):
    """Compiled code has no text, so any change of its file is a change of the code."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    project.write(f"fast{suffix}", "first")
    project.write("calls.py", "def work(inputs):\n    import fast\n    return fast.f()\n")
    before = project.read("calls")
    assert before.digest == project.read("calls").digest != ""
    project.write(f"fast{suffix}", "other, and longer")
    assert project.read("calls").digest not in {"", before.digest}


def test_a_module_that_cannot_be_parsed_makes_the_code_unclear(project):
    """A function that imports a broken module, when it runs, has no hash, and the reason names the module."""
    project.write("shop/broken.py", "def f(:\n")
    project.write(
        "later.py", "def work(inputs):\n    from shop import broken\n    return broken.f()\n"
    )
    code = project.read("later")
    assert code.digest == ""
    assert code.unclear[0].startswith("module shop.broken cannot be parsed: ")


def test_a_module_that_removes_its_file_makes_the_code_unclear(project):
    """A module whose file is gone after the import has no text to compare."""
    project.write("gone.py", "import os\nos.remove(__file__)\n\ndef work(inputs): return 1\n")
    code = project.read("gone")
    assert code.digest == ""
    assert "gone.py cannot be read: No such file or directory" in code.unclear


def test_a_library_that_was_edited_after_its_import_makes_the_code_unclear(
    project, tmp_path_factory, monkeypatch
):
    """Of code that the notebook imported from a folder of its own, only the file's text is known."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "own_code.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(elsewhere)
    importlib.import_module("own_code")
    project.write("uses_own.py", "import own_code\n\ndef work(inputs): return own_code.f()\n")
    assert project.read("uses_own").digest
    (elsewhere / "own_code.py").write_text("def f(:\n")
    code = project.read("uses_own")
    assert code.digest == ""
    assert code.unclear == ("module own_code in memory differs from its file",)


AT_WORK = {
    "a name of a package": (
        "from shop import settings_of as s\nfrom shop.rules import LIMIT\n",
        "s(LIMIT)",
    ),
    "a star of Python": ("import importlib\n", "importlib.import_module('json').dumps(1)"),
    "a counter": (
        "n = len('a')\n\ndef count():\n    global n\n    n += 1\n    return n\n",
        "count()",
    ),
    "a class in itself": ("class Node:\n    pass\n\nsetattr(Node, 'child', Node)\n", "Node.child"),
    "an empty cache": ("CACHE = dict()\n", "CACHE.setdefault(1, 2)"),
    "a name of an error": (
        "try:\n    import json as j\nexcept ImportError as exc:\n    j = None\n",
        "j.dumps(1)",
    ),
    "several names at once": ("first, *rest = 1, 2, 3\n[last] = rest[1:]\n", "(first, rest, last)"),
    "a star in a block": (
        "try:\n    from shop.wide import *\nexcept ImportError:\n    star = None\n",
        "star()",
    ),
    "names of its own module": ("LIMIT = 2\n", "work.__globals__['LIMIT']"),
    "a handler in a statement": (
        "CALLED = []\nCALLED.append(lambda: 1)\n",
        "CALLED[0]()",
    ),
    "a function that a library generates": (
        "import os\nexec(compile('\\n' * 90 + 'def made(): return 1', os.__file__, 'exec'))\n",
        "made()",
    ),
}


@pytest.mark.parametrize(("text", "called"), AT_WORK.values(), ids=AT_WORK)
def test_running_code_does_not_change_its_hash(project, text, called):
    """A function has the same hash before and after it ran, and another one if its module changes."""
    project.write("shop/__init__.py", "def settings_of(x): return x\n")
    project.write("at_work.py", f"{text}\ndef work(inputs): return {called}\n")
    before = project.read("at_work")
    assert before.unclear == ()
    sys.modules["at_work"].work([])
    assert project.read("at_work").digest == before.digest
    project.write("at_work.py", f"{text}\ndef work(inputs): return {called}, 2\n")
    assert project.read("at_work").digest != before.digest


def test_a_module_that_becomes_a_package_is_one(project):
    """The same text in ``rules.py`` and in ``rules/__init__.py`` has other relative imports."""
    project.write("helper.py", "")
    find = ProjectSources(ProjectModules(project.folder)).find
    assert not find("helper").is_package
    (project.folder / "helper.py").unlink()
    project.write("helper/__init__.py", "")
    assert ProjectSources(ProjectModules(project.folder)).find("helper").is_package


def test_a_function_that_a_cell_put_into_a_module_counts(project):
    """The function that runs decides, not the one that its module's file has."""
    before = project.read()
    text = "import shop.helpers\ndef work(x, w): return 5\n"
    module = sys.modules["shop.helpers"]
    module.clean = cell(text, {"__name__": "__main__"}, 10)
    assert project.read().digest not in {"", before.digest}


def test_code_that_gives_its_context_away_depends_on_the_parameters(project):
    """Installed code that gets the context can read the manifest's parameters; the project's is known."""
    project.write("gives.py", "import colorsys\ndef work(context): return colorsys.f(context)\n")
    one, two = (project.read("gives", parameters={"a": n}).digest for n in (1, 2))
    assert one != two
    project.write(
        "keeps.py", "from shop import late\ndef work(context): return late.late(context)\n"
    )
    one, two = (project.read("keeps", parameters={"a": n}).digest for n in (1, 2))
    assert one == two


def test_a_function_that_calls_ours_has_the_hash_of_our_version(project):
    """A wrapper of a ready-made function depends on this package, and on the parameters that it reads."""
    text = "from odibi_nb.ingest import load_csv\n\ndef work(context): return load_csv(context)\n"
    project.write("wraps.py", text)
    assert "odibi_nb.ingest.load_csv" in project.read("wraps").parts


def test_a_constant_that_was_changed_in_memory_is_not_taken_for_the_one_in_its_file(project):
    """The hash describes the code that runs, so a patched module has another one."""
    before = project.read()
    sys.modules["shop.silver"].WINDOW = "9H"
    assert project.read().digest != before.digest
    sys.modules["shop.silver"].WINDOW = "1H"
    assert project.read().digest == before.digest
    sys.modules["shop.silver"]._CACHE["x"] = 1
    assert project.read().digest == before.digest


def test_functions_that_decorators_put_into_a_registry_count(project):
    """A function that calls whatever is in a dict depends on the functions in it."""
    text = (
        "STEPS = {}\n\ndef step(fn):\n    STEPS[fn.__name__] = fn\n    return fn\n\n"
        "@step\ndef first(x):\n    return 1\n\ndef work(inputs):\n    return STEPS['first'](1)\n"
    )
    project.write("steps.py", text)
    before = project.read("steps")
    project.write("steps.py", text.replace("return 1", "return 2"))
    assert project.read("steps").digest != before.digest


def test_a_value_that_a_module_reads_from_elsewhere_at_its_import_counts(project, monkeypatch):
    """Settings from a file or the environment are as much part of the code as its text."""
    text = "import json, os\nSETTINGS = json.loads(os.environ['ODIBI_TEST_SETTINGS'])\n\ndef work(inputs):\n    return SETTINGS\n"
    digests = []
    for number in (1, 2):
        monkeypatch.setenv("ODIBI_TEST_SETTINGS", f'{{"a": {number}}}')
        project.write("settled.py", f"{text}# {number}\n")
        digests.append(project.read("settled").digest)
    assert digests[0] != digests[1]


HELD = """
import functools, os, types

class Slotted:
    __slots__ = ("n",)
    def __init__(self, n): self.n = n
    def get(self): return self.n

class Settings:
    class Inner:
        pass

def read(): return int(os.environ["ODIBI_TEST_NUMBER"])

def made(n):
    def inner(x): return n
    return inner

{statement}
"""


@pytest.mark.parametrize(
    "statement",
    [
        "VALUE = types.SimpleNamespace(a=read())",
        "VALUE = types.MappingProxyType({'a': (frozenset([read()]),)})",
        "VALUE = Slotted(read())",
        "VALUE = Slotted(read()).get",
        "VALUE = [functools.partial(max, read())]",
        "VALUE = (functools.partial(made(1), n=read()), made)",
        "VALUE = made(read())",
        "VALUE = functools.cache(made(read()))",
        "VALUE = (functools.cache(made(read())), type)",
        "VALUE = type('Made', (), {'a': 1}), read()",
        "setattr(Settings.Inner, 'setting', read()); VALUE = Settings",
        "globals()['VALUE'] = made(read())",
    ],
)
def test_objects_in_memory_count_with_the_values_that_they_hold(project, monkeypatch, statement):
    """A value made at the import counts in any object, and an equal object has the same hash."""
    digests = []
    for step, number in enumerate((1, 2, 1)):
        monkeypatch.setenv("ODIBI_TEST_NUMBER", str(number))
        text = HELD.replace("{statement}", statement)
        project.write("held.py", f"{text}\ndef work(inputs): return VALUE\n# {step}\n")
        code = project.read("held")
        assert code.unclear == ()
        digests.append(code.digest)
    assert digests[0] == digests[2] != digests[1]


SUBCLASSES = """
class Base:
    pass

class First(Base):
    def run(self): return 1

def work(inputs): return [cls().run() for cls in Base.__subclasses__()]
"""


def test_subclasses_count_for_code_that_searches_them(project):
    """A function that calls all subclasses of a class depends on each of them."""
    project.write("plug.py", SUBCLASSES)
    before = project.read("plug")
    project.write("plug.py", SUBCLASSES.replace("return 1", "return 2"))
    assert project.read("plug").digest != before.digest


def test_an_edit_after_the_import_is_not_taken_for_the_code_that_runs(project):
    """A row that runs old code gets the hash of the old code, whatever its file holds by now."""
    before = project.read()
    fn = sys.modules["shop.silver"].work
    project.write("shop/silver.py", MODULES["shop/silver.py"].replace('"1H"', '"7H"'))
    sources = ProjectSources(ProjectModules(project.folder))
    assert CodeReader(sources, {}).read(fn, "shop.silver", "work").digest == before.digest


def test_parameters_count_only_for_code_that_can_read_them(project):
    """A changed parameter of the manifest makes no other function stale."""
    project.write("reads.py", "def work(context): return context.parameters['a']\n")
    assert project.read(parameters={"a": 1}).digest == project.read(parameters={"a": 2}).digest
    one, two = (project.read("reads", parameters={"a": n}).digest for n in (1, 2))
    assert one != two


def test_ready_made_functions_have_the_hash_of_our_version(project):
    """A new version of this package is new code of its functions."""
    code = project.read("odibi_nb.ingest", "load_csv", ingest.load_csv)
    assert [*code.parts] == ["odibi_nb.ingest"]
    assert code.digest


def test_texts_are_stored_once_and_only_for_their_owner(project, tmp_path):
    """Each hash of the log can be explained later, from files that other users cannot read."""
    store = CodeStore(tmp_path / ".odibi")
    code = project.read()
    for _ in range(2):
        store.keep_code(code)
        store.keep_config("0123456789abcdef", lambda: {"constants": {"a": 1}})
    store.flush()
    assert store.parts(code.digest) == code.parts
    assert "OFFSET = 0" in (store.text(code.parts["shop.times.OFFSET"]) or "")
    assert store.config("0123456789abcdef") == {"constants": {"a": 1}}
    assert store.parts("fedcba9876543210") is None
    assert store.text("../../etc/passwd") is None
    files = [*(tmp_path / ".odibi" / "code").iterdir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    (tmp_path / ".odibi" / "code" / f"{code.digest}.json").write_text("{torn")
    assert store.parts(code.digest) is None


def test_configurations_of_a_large_plan_are_stored_in_batches(tmp_path):
    """A full batch is written at once, so that a process that dies keeps most of them."""
    store = CodeStore(tmp_path)
    for number in range(BATCH):
        store.keep_config(f"{number:016x}", lambda: {"a": 1})
    assert CodeStore(tmp_path).config(f"{0:016x}") == {"a": 1}


def test_a_store_that_cannot_be_written_costs_only_the_explanation(project, tmp_path):
    """If the state folder cannot be made, a run goes on, and later changes have no explanation."""
    (tmp_path / "file").write_text("no folder")
    store = CodeStore(tmp_path / "file" / ".odibi")
    code = project.read()
    store.keep_code(code)
    store.keep_config("0123456789abcdef", lambda: {"a": 1})
    store.flush()
    assert store.parts(code.digest) is None
