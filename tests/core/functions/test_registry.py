"""Functions: how they are registered, found, called; and the modules beside a manifest."""

from __future__ import annotations

import functools
import inspect
import json as an_installed_package
import os
import sys
import threading

import pytest
from fakes import FakeProject, row, statuses

from odibi_nb.core.functions.decorators import (
    odibi_function,
    pandas_function,
    spark_function,
    universal_function,
    with_context,
)
from odibi_nb.core.functions.registry import (
    REGISTRY,
    SEED_KEYWORDS,
    FunctionNotFoundError,
    FunctionRegistry,
    ProjectModules,
    accepted_keywords,
    module_allowed,
    resolving_with_session,
    returns_frames,
)
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.running.context import ExecutionContext, current_context

HERE = __name__


# -- registering -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorator", "engine"),
    [
        (odibi_function, "any"),
        (odibi_function(), "any"),
        (odibi_function("spark"), "spark"),
        (odibi_function(engine="PANDAS"), "pandas"),
        (spark_function, "spark"),
        (spark_function(), "spark"),
        (pandas_function, "pandas"),
        (pandas_function(), "pandas"),
        (universal_function, "any"),
        (universal_function(), "any"),
    ],
)
def test_decorators_with_and_without_parentheses(decorator, engine):
    """Each decorator registers the function for its engine, and leaves it as it is."""

    def clean():
        """Cleans."""

    assert decorator(clean) is clean
    assert REGISTRY.get_metadata("clean", engine, HERE) == {
        "module": HERE,
        "description": "Cleans.",
    }
    assert ("clean", engine) in REGISTRY.get_all()


def test_names_modules_and_metadata():
    """A function can be filed under another name and module, with more to say about it."""

    @spark_function("tidy", module="silver", author="me")
    def clean():
        pass

    assert REGISTRY.resolve("silver", "tidy", "spark") is clean
    assert REGISTRY.resolve(HERE, "tidy", "spark") is clean
    assert REGISTRY.get_metadata("tidy", "spark", "silver")["author"] == "me"
    assert REGISTRY.get_metadata("clean", "spark") is None


def test_only_marked():
    """auto_register=False leaves the registry alone."""

    @odibi_function(auto_register=False)
    def quiet():
        pass

    assert REGISTRY.find(HERE, "quiet", "any") is None


@pytest.mark.parametrize("engine", ["dask", "", "sparkk"])
def test_engines_that_do_not_exist(engine):
    """A function is for spark, pandas or any engine."""
    with pytest.raises(ValueError, match="engine must be 'spark', 'pandas' or 'any'"):
        odibi_function(engine)(test_only_marked)


def test_what_is_no_function():
    """An object that cannot be called, or has no name, is refused in one clear message."""
    with pytest.raises(TypeError, match="expected a function, found 3"):
        REGISTRY.register("x", "any", 3)
    with pytest.raises(ValueError, match="a function needs a name"):
        REGISTRY.register("", "any", test_only_marked)
    with pytest.raises(ValueError, match="a function needs a name"):
        odibi_function()(functools.partial(test_only_marked))


def test_unregister():
    """A function is forgotten in one module or in all."""
    for module in ("one", "two"):
        REGISTRY.register("f", "any", test_only_marked, module=module)
    assert REGISTRY.unregister("f", "any", "one")
    assert REGISTRY.find("one", "f", "any") is None
    assert REGISTRY.find("two", "f", "any") is not None
    assert REGISTRY.unregister("f", "ANY")
    assert not REGISTRY.unregister("f", "any")


# -- finding -----------------------------------------------------------------------------------


def test_the_order_of_resolution():
    """Registered for the engine, then for any engine, then the module's own function."""
    registry = FunctionRegistry()
    spark, anything = (lambda: "spark"), (lambda: "any")
    assert registry.resolve("os.path", "join", "spark") is os.path.join
    registry.register("join", "any", anything, module="os.path")
    assert registry.resolve("os.path", "join", "spark") is anything
    registry.register("join", "spark", spark, module="os.path")
    assert registry.resolve("os.path", "join", "SPARK") is spark
    assert registry.resolve("os.path", "join", "pandas") is anything


def test_a_name_in_two_modules():
    """Functions of the same name in two modules do not mix; without a module it is not guessed."""
    registry = FunctionRegistry()
    one, two = (lambda: 1), (lambda: 2)
    registry.register("f", "any", one, module="one")
    assert registry.resolve(None, "f", "pandas") is one
    registry.register("f", "any", two, module="two")
    assert registry.resolve("one", "f", "pandas") is one
    assert registry.resolve("two", "f", "pandas") is two
    with pytest.raises(FunctionNotFoundError, match="no function 'f' is registered"):
        registry.resolve(None, "f", "pandas")


class Unhashable:
    """Can be called, but not be a key."""

    __hash__ = None

    def __call__(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "fn", [functools.partial(lambda inputs, x: x, x=1), Unhashable(), Unhashable().__call__]
)
def test_whatever_can_be_called(fn):
    """Partials and objects that can be called are functions too, hashable or not."""
    registry = FunctionRegistry()
    registry.register("f", "any", fn, module="m")
    assert registry.resolve("m", "f", "pandas") == fn
    assert registry.resolve(None, "f", "pandas") == fn
    assert accepted_keywords(fn) == ("inputs",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project's folder; modules of it are gone afterwards."""
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(folder, name, text):
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in path.parents:
        if parent == folder:
            break
        (parent / "__init__.py").touch()
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("odd_functions.silver:claen", "module 'odd_functions.silver' has no function 'claen'"),
        ("odd_functions.silver:claen", "(did you mean 'clean'?)"),
        ("odd_functions.silver:LIMIT", "has no function 'LIMIT'"),
        ("odd_functions.slver:clean", "no module 'odd_functions.slver' (did you mean"),
        ("odd_functions.slver:clean", "'odd_functions.silver'?): it must be beside"),
        ("od_functions.silver:clean", "(did you mean 'odd_functions.silver'?)"),
        ("nothing_like_it:clean", "no module 'nothing_like_it': it must be beside the manifest"),
        ("odd_functions.needy:f", "module 'odd_functions.needy' needs 'no_such_library'"),
        (
            "odd_functions.raising:f",
            "importing module 'odd_functions.raising' failed: KeyError: 'x'",
        ),
        ("odd_functions.raising:f", "raising.py, line 2)"),
        ("odd_functions.leaving:f", "failed: SystemExit: 3"),
        ("odd_functions.broken:f", "broken.py, line 2)"),
        ("odd_functions.broken:f", "failed: SyntaxError:"),
        ("odd_functions.partly:f", "failed: ImportError: cannot import name 'nothing'"),
        ("odd_functions.lost:f", "failed: ModuleNotFoundError: gone"),
        ("odd_functions.leaky:f", "failed: OSError: no route to postgresql://u:***@h"),
        ("odd functions:f", "no module 'odd functions'"),
        ("..:f", "module '..'"),
        ("odd\0:f", "module 'odd"),
    ],
)
def test_what_cannot_be_found_is_one_clear_message(folder, name, message):
    """A missing module, a missing library, a module that fails: each says which and why."""
    module(folder, "odd_functions.silver", "LIMIT = 3\ndef clean(): pass\n")
    module(folder, "odd_functions.needy", "import no_such_library\n")
    module(folder, "odd_functions.raising", "a = {}\na['x']\n")
    module(folder, "odd_functions.leaving", "import sys\nsys.exit(3)\n")
    module(folder, "odd_functions.broken", "a = 1\ndef f(:\n")
    module(folder, "odd_functions.partly", "from odd_functions.silver import nothing\n")
    module(folder, "odd_functions.lost", "raise ModuleNotFoundError('gone')\n")
    module(folder, "odd_functions.leaky", "raise OSError('no route to postgresql://u:p@h')\n")
    with ProjectModules(folder).importing(), pytest.raises(FunctionNotFoundError) as excinfo:
        FunctionRegistry().resolve(*name.split(":"), "pandas")
    assert message in str(excinfo.value)
    assert "\n" not in str(excinfo.value)


def test_a_module_that_needs_a_session_has_one_started(folder, monkeypatch):
    """``@udf("double")`` needs a Spark session when its module is imported: then it is started."""
    monkeypatch.syspath_prepend(folder)
    (folder / "needs_a_session.py").write_text(
        "import os\n"
        "if 'SESSION' not in os.environ:\n"
        "    raise RuntimeError('[SESSION_OR_CONTEXT_NOT_EXISTS] SparkSession should be created first')\n"
        "def fn(): pass\n"
    )
    started = []

    def start():
        started.append(1)
        monkeypatch.setenv("SESSION", "1")

    resolve = resolving_with_session(start)
    assert resolve("json", "loads", "spark")
    assert started == []
    for _ in range(2):
        assert resolve("needs_a_session", "fn", "spark").__name__ == "fn"
    assert started == [1]
    with pytest.raises(FunctionNotFoundError, match="no module 'nowhere'"):
        resolve("nowhere", "fn", "spark")
    assert started == [1]


def test_a_function_of_another_engine(folder):
    """A function registered only for Spark is not handed a pandas frame."""
    text = "from odibi_nb import spark_function\n@spark_function\ndef clean(inputs): pass\n"
    module(folder, "one_engine", text)
    ProjectModules(folder).prepare()
    assert REGISTRY.resolve("one_engine", "clean", "spark")
    with pytest.raises(FunctionNotFoundError, match=r"is registered for spark, not for pandas"):
        REGISTRY.resolve("one_engine", "clean", "pandas")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("odibi_functions", True),
        ("odibi_functions.silver", True),
        ("odibi_functions_evil", False),
        ("os", False),
        ("odibi_nb.ingest", True),
        ("odibi_nb.ingest.x", False),
        ("odibi_nb.core", False),
        ("", False),
    ],
)
def test_allowed_modules(name, allowed):
    """With an allow-list only those modules, and what is below them; our own ingest always."""
    assert module_allowed(name, ["odibi_functions"]) is allowed
    assert module_allowed(name, ["odibi_functions."]) is (allowed and name != "odibi_functions")
    assert module_allowed(name, [])


# -- calling -----------------------------------------------------------------------------------


def seed(inputs, constants, outputs, spark, env):
    pass


def some(constants, context=None):
    pass


def everything(**kwargs):
    pass


def keyword_only(*, inputs, limit=3):
    pass


def positional_default(x=1, /, inputs=()):
    pass


@pytest.mark.parametrize(
    ("fn", "keywords"),
    [
        (seed, SEED_KEYWORDS[:5]),
        (some, ("constants", "context")),
        (everything, SEED_KEYWORDS),
        (keyword_only, ("inputs",)),
        (positional_default, ("inputs",)),
        (lambda: None, ()),
        (lambda *args: None, ()),
        (lambda inputs, **rest: None, SEED_KEYWORDS),
    ],
)
def test_each_keyword_only_if_it_is_taken(fn, keywords):
    """A function gets those of the seed's keywords that its signature takes."""
    assert accepted_keywords(fn) == keywords
    fn(**dict.fromkeys(keywords))


def positional_only(inputs, /):
    pass


def misspelt(input, limit):
    pass


async def asynchronous(inputs):
    pass


def generator(inputs):
    yield 1


async def asynchronous_generator(inputs):
    yield 1


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (positional_only, "its parameters 'inputs' cannot be filled"),
        (misspelt, "its parameters 'input', 'limit' cannot be filled"),
        (lambda x, /, **rest: None, "its parameters 'x' cannot be filled"),
        (asynchronous, "async"),
        (generator, "yield"),
        (asynchronous_generator, "yield"),
        (functools.partial(asynchronous), "async"),
    ],
)
def test_functions_that_cannot_be_called(fn, message):
    """Parameters that the call cannot fill, and bodies that it would not run, are found before the run."""
    with pytest.raises(ValueError, match=message):
        accepted_keywords(fn)


def wrapped(fn, wrapper):
    """*wrapper*, which says that it is *fn*."""
    return functools.wraps(fn)(wrapper)


def node(companies, shuttles):
    pass


@pytest.mark.parametrize(
    ("fn", "keywords"),
    [
        # What a wrapper cannot take it does not get.
        (wrapped(seed, lambda inputs, context: None), ("inputs", "context")),
        (wrapped(node, lambda inputs, outputs: None), ("inputs", "outputs")),
        (wrapped(asynchronous, lambda inputs: None), ("inputs",)),
        (wrapped(generator, lambda inputs: None), ("inputs",)),
        # One that passes on what it gets, gets what the wrapped function takes.
        (wrapped(some, lambda *args, **kwargs: None), ("constants", "context")),
        (wrapped(some, lambda **kwargs: None), ("constants", "context")),
        (wrapped(some, lambda inputs, **kwargs: None), ("inputs", "constants", "context")),
        (
            wrapped(wrapped(some, lambda *a, **k: None), lambda *a, **k: None),
            ("constants", "context"),
        ),
        (wrapped(lambda: None, lambda *args, **kwargs: None), ()),
        # One around a function of another framework gets all, for it must make its own arguments.
        (wrapped(node, lambda **kwargs: None), SEED_KEYWORDS),
        (wrapped(node, lambda *args, **kwargs: None), SEED_KEYWORDS),
        (wrapped(lambda: None, lambda **kwargs: None), SEED_KEYWORDS),
        (wrapped(print, lambda **kwargs: None), SEED_KEYWORDS),
        # A wrapper without a signature has the signature of the wrapped function.
        (functools.cache(some), ("constants", "context")),
        (
            functools.partial(wrapped(seed, lambda inputs, context: None), inputs=[]),
            ("inputs", "context"),
        ),
    ],
)
def test_wrappers_are_called_as_they_are(fn, keywords):
    """A `functools.wraps` wrapper gets keywords that it takes itself, whatever it says that it wraps."""
    assert accepted_keywords(fn) == keywords
    fn(**dict.fromkeys(keywords))


def test_a_slip_behind_a_wrapper_is_seen_all_the_same():
    """A parameter that is nearly one of the seed's, behind a wrapper that passes everything on, is a problem."""
    with pytest.raises(ValueError, match="'input', 'limit' cannot be filled"):
        accepted_keywords(wrapped(misspelt, lambda *args, **kwargs: None))
    with pytest.raises(ValueError, match="async"):
        accepted_keywords(with_context(asynchronous_with_context))


async def asynchronous_with_context(inputs, context):
    pass


def context(name="A"):
    return ExecutionContext(engine=Engine.PANDAS, project="P", env="qat", transformation_id=name)


@pytest.mark.parametrize("decorator", [with_context, with_context(), with_context("context")])
def test_with_context_fills_the_context(decorator):
    """Inside a run the parameter is the running context; outside it keeps its default."""

    @decorator
    def fn(inputs, context=None):
        """Reads."""
        return context

    assert fn([]) is None
    with current_context(context()) as here:
        assert fn([]) is here
        assert fn(inputs=[]) is here
        other = context("B")
        assert fn([], context=other) is other
        assert fn([], other) is other
    assert fn.__doc__ == "Reads."


def test_with_context_fills_the_context_behind_a_wrapper_that_takes_more():
    """If a wrapper has arguments that its function does not have, the context is still filled."""

    def adding(fn):
        @functools.wraps(fn)
        def call(*args, more=0, **kwargs):
            return fn(*args, **kwargs), more

        return call

    @with_context
    @adding
    def fn(inputs, context=None):
        return context

    with current_context(context()) as here:
        assert fn([], more=1) == (here, 1)


def test_only_an_own_annotation_declares_dataframes():
    """An annotation of a wrapped function says nothing about its wrapper, and a builtin has none."""

    def fn(inputs) -> pd.DataFrame:  # noqa: F821  the name alone counts
        return inputs

    @functools.wraps(fn)
    def wrapper(inputs):
        return None

    assert returns_frames(fn)
    assert returns_frames(functools.partial(fn))
    assert not returns_frames(wrapper)
    assert not returns_frames(len)


def test_a_registry_can_be_emptied():
    """A test of a project's own can start with a registry that has no functions."""
    registry = FunctionRegistry()
    registry.register("f", "any", len, module="m")
    registry.clear()
    assert registry.find("m", "f", "any") is None


def test_a_wrapper_of_a_function_without_a_signature_gets_all_keywords():
    """If Python does not know what the wrapped function takes, the wrapper gets everything."""

    @functools.wraps(max)
    def fn(*args, **kwargs):
        return kwargs

    assert accepted_keywords(fn) == SEED_KEYWORDS


def test_with_context_under_another_name():
    """The parameter may have any name; a function without it stays as it is."""

    @with_context("ctx")
    def fn(inputs, ctx):
        return ctx

    assert accepted_keywords(fn) == ("inputs",)
    with current_context(context()) as here:
        assert fn([]) is here
    assert with_context("ctx")(seed) is seed


def test_contexts_of_threads_do_not_mix():
    """Each transformation sees its own context, whatever runs beside it."""
    seen, gate = {}, threading.Barrier(2)

    def run(name):
        with current_context(context(name)):
            gate.wait(5)
            seen[name] = with_context(lambda_with_context)().transformation_id

    lambda_with_context = lambda context=None: context
    threads = [threading.Thread(target=run, args=(name,)) for name in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"A": "A", "B": "B"}


# -- modules beside the manifest ---------------------------------------------------------------


def test_modules_beside_the_manifest(folder):
    """A module beside the manifest can be named by a row without touching sys.path."""
    module(folder, "beside_functions.silver", "def clean(): return 'beside'\n")
    path = list(sys.path)
    project = FakeProject(folder, [row("A", module="beside_functions.silver", function="clean")])
    assert statuses(project.run()) == {"A": "SUCCESS"}
    assert path == [entry for entry in sys.path if entry != str(folder)]


def answer(folder, name="fresh_functions.silver", function="clean", registry=REGISTRY):
    """Return the result of the function that a run from *folder* would find."""
    with ProjectModules(folder, registry).importing():
        return registry.resolve(name, function, "pandas")()


def test_a_changed_file_is_loaded_anew(folder):
    """After an edit the next run has the new function, in the same second and of the same size."""
    module(folder, "fresh_functions.silver", "def clean(): return 1\n")
    assert answer(folder) == 1
    for i in (2, 3, 4):
        module(folder, "fresh_functions.silver", f"def clean(): return {i}\n")
        assert answer(folder) == i


def test_an_unchanged_file_is_not_loaded_again(folder):
    """An unchanged module keeps its state."""
    module(
        folder,
        "fresh_functions.silver",
        "import random\nX = random.random()\ndef clean(): return X\n",
    )
    assert answer(folder) == answer(folder)


def test_a_changed_part_of_a_package(folder):
    """One changed file reloads its whole package, so that its parts fit together."""
    module(folder, "fresh_functions.base", "X = 1\n")
    module(
        folder,
        "fresh_functions.silver",
        "from fresh_functions.base import X\ndef clean(): return X\n",
    )
    assert answer(folder) == 1
    module(folder, "fresh_functions.base", "X = 2\n")
    assert answer(folder) == 2


def test_a_decorated_function_is_registered_anew(folder):
    """A changed module's decorators file the new functions; old ones that are gone are forgotten."""
    text = "from odibi_nb import odibi_function\n@odibi_function\ndef {}(): return {}\n"
    module(folder, "fresh_functions.silver", text.format("clean", 1))
    assert answer(folder) == 1
    module(folder, "fresh_functions.silver", text.format("clean", 2))
    assert answer(folder) == 2
    module(folder, "fresh_functions.silver", text.format("other", 3))
    with pytest.raises(FunctionNotFoundError, match="has no function 'clean'"):
        answer(folder)
    assert answer(folder, function="other") == 3


def test_a_partial_of_a_changed_module_is_forgotten(folder):
    """A reload removes the functions that the module registered, of any kind of callable."""
    text = (
        "from functools import partial\nfrom odibi_nb import REGISTRY\ndef f(x): return x\n"
        "REGISTRY.register({!r}, 'any', partial(f, {}))\n"
    )
    module(folder, "fresh_functions.silver", text.format("clean", 1))
    assert answer(folder) == 1
    module(folder, "fresh_functions.silver", text.format("other", 2))
    with pytest.raises(FunctionNotFoundError):
        answer(folder)


def test_two_projects_with_a_package_of_the_same_name(folder):
    """Each project gets its own odibi_functions, in one process, in any order."""
    registry = FunctionRegistry()
    for name in ("one", "two"):
        module(folder / name, "same_functions.silver", f"def clean(): return {name!r}\n")
        module(folder / name, "same_single", f"def clean(): return {name!r}\n")
    for name in ("one", "two", "one", "one", "two"):
        assert answer(folder / name, "same_functions.silver", registry=registry) == name
        assert answer(folder / name, "same_single", registry=registry) == name


def test_what_a_function_imports_late_does_not_mix_either(folder):
    """A module that is imported only while a function runs belongs to its project too."""
    for name in ("one", "two"):
        module(
            folder / name,
            "late_functions",
            "def clean():\n import late_part\n return late_part.X\n",
        )
        module(folder / name, "late_part", f"X = {name!r}\n")
    for name in ("one", "two", "one"):
        assert answer(folder / name, "late_functions", registry=FunctionRegistry()) == name


def test_packages_without_init_do_not_mix(folder):
    """A folder without __init__.py is a package too, and each project has its own."""
    for name in ("one", "two"):
        path = module(folder / name, "bare_functions.silver", f"def clean(): return {name!r}\n")
        path.with_name("__init__.py").unlink()
    for name in ("one", "two", "one"):
        assert answer(folder / name, "bare_functions.silver", registry=FunctionRegistry()) == name


def test_an_installed_package_is_not_purged(folder):
    """A folder beside the manifest that is called like an installed package changes nothing of it."""
    (folder / "json").mkdir()
    (folder / "odibi_nb").mkdir()
    module(folder, "json.silver", "def clean(): return 1\n")
    ours = sys.modules["odibi_nb.core.functions.registry"]
    for _ in range(2):
        assert ProjectModules(folder).prepare() == []
    assert sys.modules["json"] is an_installed_package
    assert sys.modules["odibi_nb.core.functions.registry"] is ours


def test_importing_leaves_no_bytecode(folder):
    """Planning imports a project's modules without writing beside them."""
    module(folder, "fresh_functions.silver", "def clean(): return 1\n")
    before = sys.dont_write_bytecode
    answer(folder)
    assert not list(folder.rglob("__pycache__"))
    assert sys.dont_write_bytecode is before


def test_a_listing_of_the_public_parameters():
    """The decorators' parameters are the framework's."""
    assert list(inspect.signature(odibi_function).parameters)[:4] == [
        "engine",
        "name",
        "module",
        "auto_register",
    ]
