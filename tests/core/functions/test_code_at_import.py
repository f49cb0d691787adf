"""The hash of code counts what runs at its import, and the values that the import leaves in memory."""

from __future__ import annotations

import sys
import types

import pytest

from odibi_nb.core.functions.code_hash import CodeReader
from odibi_nb.core.functions.project_sources import ProjectSources
from odibi_nb.core.functions.registry import REGISTRY, ProjectModules

WORK = "def work(inputs, constants, context):\n"
FACTORY = "import functools\n\n\ndef times(n):\n    def wrap(fn):\n        @functools.wraps(fn)\n        def call(*args):\n            return fn(*args) * n\n        return call\n    return wrap\n\n\n"
SETTING = "import os\nVALUE = int(os.environ['ODIBI_TEST_VALUE'])\n"

TEXTS = {
    "imported only for its effect": {
        "rows": f"import shop.setup\nfrom shop import conf\n\n\n{WORK}    return conf.get()\n",
        "conf": "S = {}\n\n\ndef get():\n    return S['a']\n",
        "setup": "from shop import conf\nconf.S['a'] = @\n",
    },
    "imported from the package for its effect": {
        "rows": f"from . import setup\n\n\n{WORK}    return 1\n",
        "setup": "import os\nos.environ['ODIBI_TEST_MODE'] = '@'\n",
    },
    "imported in a function for its effect": {
        "rows": f"{WORK}    import shop.setup\n    return 1\n",
        "setup": "import os\nos.environ['ODIBI_TEST_MODE'] = '@'\n",
    },
    "a function replaced by another module": {
        "rows": f"import shop.patch\nfrom shop import other\n\n\n{WORK}    return other.f()\n",
        "other": "def f():\n    return 0\n",
        "patch": "from shop import other\n\n\ndef g():\n    return @\n\n\nother.f = g\n",
    },
    "an attribute set by another module": {
        "rows": f"from shop.other import CONF\n\n\n{WORK}    return CONF.x\n",
        "other": "class Conf:\n    x = 0\n\n\nCONF = Conf()\nimport shop.sets\n",
        "sets": "from shop import other\nother.CONF.x = @\n",
    },
    "a registered implementation": {
        "rows": f"import shop.impl\nfrom shop.other import show\n\n\n{WORK}    return show(1)\n",
        "other": "import functools\n\n\n@functools.singledispatch\ndef show(x):\n    return 0\n",
        "impl": "from shop.other import show\n\n\n@show.register\ndef _(x: int):\n    return @\n",
    },
    "a subclass found by its base": {
        "rows": f"import shop.impl\nfrom shop.other import Base\n\n\n{WORK}    return Base.__subclasses__()[0]().go()\n",
        "other": "class Base:\n    pass\n",
        "impl": "from shop.other import Base\n\n\nclass Own(Base):\n    def go(self):\n        return @\n",
    },
    "a subclass registered by its base": {
        "rows": f"import shop.impl\nfrom shop.other import Base\n\n\n{WORK}    return Base.known['Own']().go()\n",
        "other": "class Base:\n    known = {}\n\n    def __init_subclass__(cls):\n        Base.known[cls.__name__] = cls\n",
        "impl": "from shop.other import Base\n\n\nclass Own(Base):\n    def go(self):\n        return @\n",
    },
    "the first of two imports": {
        "rows": f"try:\n    from shop.fast import f\nexcept ImportError:\n    from shop.slow import f\n\n\n{WORK}    return f()\n",
        "fast": "def f():\n    return @\n",
        "slow": "def f():\n    return 0\n",
    },
    "a function exported again by a star": {
        "rows": f"from shop.outer import f\n\n\n{WORK}    return f()\n",
        "outer": "from .middle import *\n",
        "middle": "from .inner import f\n__all__ = ['f']\n",
        "inner": "def f():\n    return @\n",
    },
    "a module whose name is made at run time": {
        "rows": f"from importlib import import_module as load\n\n\n{WORK}    return load(f'shop.{{constants}}').f()\n",
        "other": "def f():\n    return @\n",
    },
    "an importer of another name": {
        "rows": f"load = __import__\n\n\n{WORK}    return load('shop.other').other.f()\n",
        "other": "def f():\n    return @\n",
    },
    "a class in a quoted annotation": {
        "rows": f"from typing import get_type_hints\nfrom shop.other import T\n\n\nclass A:\n    x: 'T'\n\n\n{WORK}    return get_type_hints(A)['x'].y\n",
        "other": "class T:\n    y = @\n",
    },
    "a class that a decorator of a library registers": {
        "rows": f"import numbers\nimport shop.impl\n\n\n{WORK}    return numbers.Number\n",
        "impl": "import numbers\n\n\n@numbers.Number.register\nclass Own:\n    def go(self):\n        return @\n",
    },
    "a name in a text that is evaluated": {
        "rows": f"import shop.other\n\n\n{WORK}    return eval('shop.other.f()')\n",
        "other": "def f():\n    return @\n",
    },
    "a name in a text that is evaluated after an import": {
        "rows": f"{WORK}    import shop.other\n    return eval('shop.other.f()')\n",
        "other": "def f():\n    return @\n",
    },
    "a docstring that another module reads": {
        "rows": f"from shop.other import text_of\n\n\ndef sql():\n    '''select @'''\n\n\n{WORK}    return text_of(sql)\n",
        "other": "def text_of(fn):\n    return fn.__doc__\n",
    },
}
"""Modules of a project in which the number @ changes."""

VALUES = {
    "default argument": "def work(inputs, limit=VALUE):\n    return limit\n",
    "class attribute": f"class C:\n    limit = VALUE\n\n\n{WORK}    return C.limit\n",
    "nested class": f"class C:\n    class D:\n        limit = VALUE\n\n\n{WORK}    return C.D.limit\n",
    "instance": f"class C:\n    def __init__(self):\n        self.limit = VALUE\n\n\nC1 = C()\n\n\n{WORK}    return C1.limit\n",
    "instance with slots": f"class C:\n    __slots__ = ('limit',)\n\n    def __init__(self):\n        self.limit = VALUE\n\n\nC1 = C()\n\n\n{WORK}    return C1.limit\n",
    "named tuple": f"from typing import NamedTuple\n\n\nclass C(NamedTuple):\n    limit: int\n\n\nC1 = C(VALUE)\n\n\n{WORK}    return C1.limit\n",
    "namespace": f"import types\nC1 = types.SimpleNamespace(limit=VALUE)\n\n\n{WORK}    return C1.limit\n",
    "read-only mapping": f"import types\nC1 = types.MappingProxyType({{'a': VALUE}})\n\n\n{WORK}    return C1['a']\n",
    "ordered dictionary": f"import collections\nC1 = collections.OrderedDict(a=VALUE)\n\n\n{WORK}    return C1['a']\n",
    "instance in a dictionary": f"class C:\n    def __init__(self, x):\n        self.x = x\n\n\nALL = {{'a': C(VALUE)}}\n\n\n{WORK}    return ALL['a'].x\n",
    "deep structure": f"DEEP = VALUE\nfor _i in range(12):\n    DEEP = {{'a': DEEP}}\n\n\n{WORK}    return DEEP\n",
    "number of numpy": f"import numpy\nX = numpy.float64(VALUE)\n\n\n{WORK}    return X\n",
    "array": f"import numpy\nX = numpy.array([VALUE])\n\n\n{WORK}    return X\n",
    "DataFrame": f"import pandas\nX = pandas.DataFrame({{'a': [VALUE]}})\n\n\n{WORK}    return X\n",
    "DataFrame of a closure": "import pandas\n\n\ndef make():\n    table = pandas.DataFrame({'a': [VALUE]})\n    def work(inputs):\n        return table\n    return work\n\n\nwork = make()\n",
    "partial": f"import functools\n\n\ndef f(a, b):\n    return a + b\n\n\ng = functools.partial(f, VALUE)\n\n\n{WORK}    return g(1)\n",
    "closure": f"def make(a):\n    return lambda b: a + b\n\n\ng = make(VALUE)\n\n\n{WORK}    return g(1)\n",
    "bound method": f"class C:\n    def __init__(self, x):\n        self.x = x\n\n    def go(self):\n        return self.x\n\n\ng = C(VALUE).go\n\n\n{WORK}    return g()\n",
    "argument of a helper's decorator": f"{FACTORY}@times(VALUE)\ndef helper():\n    return 1\n\n\n{WORK}    return helper()\n",
    "function chosen by a value": f"if VALUE == 1:\n    def f():\n        return 1\nelse:\n    def f():\n        return 2\n\n\n{WORK}    return f()\n",
    "import chosen by a value": f"if VALUE == 1:\n    from shop.one import f\nelse:\n    from shop.two import f\n\n\n{WORK}    return f()\n",
}
"""Modules that keep a value of the environment in memory."""

CACHES = {
    "container of a decorator": f"def memo(fn):\n    seen = {{}}\n    def call(x):\n        return seen.setdefault(x, fn(x))\n    return call\n\n\n@memo\ndef f(x):\n    return x\n\n\n{WORK}    return f(1)\n",
    "attribute of an instance": f"class C:\n    def __init__(self):\n        self._seen = {{}}\n        self.client = None\n\n    def go(self):\n        self._seen[1] = 1\n        self.client = object()\n        return 1\n\n\nC1 = C()\n\n\n{WORK}    return C1.go()\n",
    "attribute of a class": f"class C:\n    seen = {{}}\n    count = 0\n\n    def go(self):\n        C.seen[1] = 1\n        C.count += 1\n        return 1\n\n\n{WORK}    return C().go()\n",
    "default argument": f"def f(x, seen={{}}):\n    return seen.setdefault(x, x)\n\n\n{WORK}    return f(1)\n",
    "cached function": f"import functools\n\n\n@functools.lru_cache\ndef f(x):\n    return x\n\n\n{WORK}    return f(1)\n",
}
"""Modules whose functions store values in memory while they run."""


@pytest.fixture
def project(tmp_path):
    """Writes modules of the package ``shop``, and reads the code of ``shop.rows.work`` in a new process's state."""
    before, path = set(sys.modules), list(sys.path)

    def forget():
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "shop":
                del sys.modules[name]

    def write(modules, number=1):
        for name, text in {"__init__": "", **modules}.items():
            file = tmp_path / "shop" / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text.replace("@\n", f"{number}\n").replace("@'", f"{number}'"))

    def read():
        forget()
        return again()

    def again():
        loader = ProjectModules(tmp_path)
        with loader.importing():
            fn = REGISTRY.resolve("shop.rows", "work", "pandas")
        return CodeReader(ProjectSources(loader), {}).read(fn, "shop.rows", "work")

    yield types.SimpleNamespace(write=write, read=read, again=again)
    sys.path[:] = path
    forget()


@pytest.mark.parametrize("modules", TEXTS.values(), ids=TEXTS)
def test_code_that_an_import_runs_or_finds_counts(project, modules):
    """An import runs a whole module; a name may come by a detour. A change of either changes the hash."""
    project.write(modules)
    before = project.read()
    assert before.digest
    assert project.read().digest == before.digest
    project.write(modules, 2)
    assert project.read().digest not in {"", before.digest}


@pytest.mark.parametrize("text", VALUES.values(), ids=VALUES)
def test_a_value_from_the_environment_counts_wherever_the_import_puts_it(
    project, monkeypatch, text
):
    """Settings in classes, instances, defaults, closures and tables are part of the code."""
    modules = {"rows": SETTING + text, "one": "def f():\n    return 1\n", "two": "f = len\n"}
    project.write(modules)
    digests = []
    for value in ("1", "1", "2"):
        monkeypatch.setenv("ODIBI_TEST_VALUE", value)
        digests.append(project.read().digest)
    assert digests[0] == digests[1] != digests[2]
    assert all(digests)


@pytest.mark.parametrize("text", CACHES.values(), ids=CACHES)
def test_caches_that_functions_fill_do_not_count(project, text):
    """A second run in the same process is not stale because of the values that the first one stored."""
    project.write({"rows": text})
    before = project.read().digest
    sys.modules["shop.rows"].work([], {}, None)
    assert project.again().digest == before != ""


def test_a_name_that_no_statement_binds_makes_the_code_unclear(project, tmp_path):
    """Code in a file that is executed cannot be compared, so its row runs each time."""
    (tmp_path / "shop.txt").write_text("def f():\n    return 1\n")
    read = f"from pathlib import Path\nexec(Path({str(tmp_path / 'shop.txt')!r}).read_text())\n"
    project.write({"rows": f"{read}\n\n{WORK}    return f()\n"})
    assert project.read().unclear == ("the source of shop.rows.f cannot be found",)


def test_a_module_that_replaces_itself_makes_the_code_unclear(project):
    """A module in memory that is another object has names that no text describes, so its row runs each time."""
    project.write(
        {
            "rows": f"from shop.other import f\n\n\n{WORK}    return f()\n",
            "other": "import sys\n\n\nclass Own:\n    def f(self):\n        return 1\n\n\nsys.modules[__name__] = Own()\n",
        }
    )
    assert project.read().unclear == ("module other replaces itself by another object",)


def test_secrets_in_values_are_not_stored(project, monkeypatch):
    """They count in the hash, but the texts that explain a change do not have them."""
    text = (
        f"{SETTING}import types\nSECRET = os.environ['ODIBI_TEST_WORD']\n"
        "class C:\n    def __init__(self):\n        self.password = SECRET\n\n\n"
        "ONE = C()\nTWO = {'api_key': SECRET, 'x': C()}\n"
        "THREE = types.MappingProxyType({'token': SECRET})\n\n\n"
        f"{WORK}    return ONE, TWO, THREE\n"
    )
    monkeypatch.setenv("ODIBI_TEST_VALUE", "1")
    digests = []
    for word in ("hunter2hunter2", "hunter3hunter3"):
        monkeypatch.setenv("ODIBI_TEST_WORD", word)
        project.write({"rows": text})
        code = project.read()
        assert not [name for name, digest in code.parts.items() if word in code.texts[digest]]
        digests.append(code.digest)
    assert digests[0] != digests[1]
