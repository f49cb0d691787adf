"""The modules beside a manifest: always as their files are now, and always this project's."""

from __future__ import annotations

import builtins
import concurrent.futures.process
import gc
import importlib
import multiprocessing.forkserver
import os
import pickle
import py_compile
import sys
import threading
import time
import types
import zipfile
from pathlib import Path

import pytest
from fakes import FakeProject, row

from odibi_nb.core.functions import sibling_modules
from odibi_nb.core.functions.registry import REGISTRY, FunctionNotFoundError, ProjectModules
from odibi_nb.core.functions.sibling_modules import ModuleSpace


@pytest.fixture
def project(tmp_path):
    """Makes folders of projects; what they import is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)

    def make(name, **modules):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        return folder

    yield make
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def call(folder: Path, module: str, function="work"):
    """Return the function's result if the project is planned now, and the reloaded modules."""
    with ProjectModules(folder).importing() as reloaded:
        return REGISTRY.resolve(module, function, "pandas")(), reloaded


def test_an_edit_of_the_same_size_within_a_tick_is_seen(project):
    """Neither the size nor the time of a file has to change for its new text to count."""
    folder = project("a", edited_module="def work(): return 1\n")
    file = folder / "edited_module.py"
    assert call(folder, "edited_module") == (1, [])
    status = file.stat()
    file.write_text("def work(): return 2\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert call(folder, "edited_module") == (2, ["edited_module"])


def test_a_file_that_was_only_touched_is_not_loaded_again(project):
    """A new file time without new text reloads nothing, and module state lives on."""
    folder = project(
        "a", touched_module="calls = []\ndef work():\n    calls.append(1)\n    return len(calls)\n"
    )
    assert call(folder, "touched_module") == (1, [])
    os.utime(folder / "touched_module.py", ns=(1, 1))
    assert call(folder, "touched_module") == (2, [])


def test_an_edited_helper_reloads_its_package(project):
    """A helper that a function's module imports counts as well: a package is loaded as a whole."""
    folder = project("a")
    package = folder / "helped"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "numbers.py").write_text("N = 1\n")
    (package / "silver.py").write_text("from helped.numbers import N\ndef work(): return N\n")
    assert call(folder, "helped.silver")[0] == 1
    (package / "numbers.py").write_text("N = 2\n")
    assert call(folder, "helped.silver")[0] == 2


def test_an_edited_helper_reloads_the_modules_that_import_it(project):
    """A module that imports an edited one, directly or not, is loaded with its new functions."""
    folder = project(
        "a",
        far_helper="N = 1\n",
        near_helper="import far_helper\n",
        importing="from near_helper import far_helper\ndef work(): return far_helper.N\n",
        bystander="def work(): return 0\n",
    )
    assert call(folder, "importing") == (1, [])
    assert call(folder, "bystander") == (0, [])
    (folder / "far_helper.py").write_text("N = 2\n")
    assert call(folder, "importing") == (2, ["far_helper", "importing", "near_helper"])


def test_an_edit_while_the_function_runs_is_seen_next_time(project):
    """A module that is imported by a running function and edited before the run ends is not kept."""
    folder = project(
        "a",
        lazy_caller="def work():\n    import lazy_helper\n    return lazy_helper.N\n",
        lazy_helper="N = 1\n",
    )
    modules = ProjectModules(folder)
    with modules.importing():
        fn = REGISTRY.resolve("lazy_caller", "work", "pandas")
    assert fn() == 1
    (folder / "lazy_helper.py").write_text("N = 2\n")
    later = time.time_ns() + 10**9
    os.utime(folder / "lazy_helper.py", ns=(later, later))
    modules.remember()  # as at the end of a run
    assert call(folder, "lazy_caller")[0] == 2


def test_two_projects_with_a_module_of_the_same_name_do_not_mix(project):
    """Planned in turns, each project gets its own module, and what it registered."""
    text = "from odibi_nb import pandas_function\n@pandas_function\ndef work(): return {!r}\n"
    first = project("first", twin_module=text.format("first"))
    second = project("second", twin_module=text.format("second"))
    for _ in range(2):
        assert call(first, "twin_module")[0] == "first"
        assert call(second, "twin_module")[0] == "second"


@pytest.mark.parametrize("decorator", ["", "@pandas_function\n"])
def test_a_module_that_only_another_project_has_is_not_there(project, decorator):
    """A project that was opened before lends nothing: the next one is told as in a process of its own."""
    text = f"from odibi_nb import pandas_function\n{decorator}def work(): return 'first'\n"
    first, second = project("first", lonely_module=text), project("second")
    assert call(first, "lonely_module")[0] == "first"
    with pytest.raises(
        FunctionNotFoundError, match=r"^no module 'lonely_module'.*project in .*first"
    ):
        call(second, "lonely_module")
    assert call(first, "lonely_module") == ("first", [])


def test_a_project_on_the_users_own_path_lends_its_modules(project, monkeypatch):
    """Whose folder was on sys.path anyway, as the working directory is, can be imported from as ever."""
    first, second = project("first", lent_module="def work(): return 'first'\n"), project("second")
    monkeypatch.syspath_prepend(first)
    for folder in (first, second):
        assert call(folder, "lent_module")[0] == "first"


def test_a_folder_that_is_gone_ends_only_its_own_plan(project):
    """If a project's folder cannot be read, its plan fails, and the next project's modules are found."""
    folder = project("there", found_module="def work(): return 1\n")
    before = sys.dont_write_bytecode
    with (
        pytest.raises(FileNotFoundError),
        ProjectModules(folder.parent / "gone").importing(),
    ):
        pass
    assert sys.dont_write_bytecode == before
    assert call(folder, "found_module")[0] == 1


def test_a_module_that_removes_its_file_is_used_until_it_is_written_again(project):
    """A module whose file is gone stays as it was imported; a new file with its name is imported."""
    folder = project("gone_file", fleeting="import os\nos.remove(__file__)\ndef work(): return 1\n")
    assert call(folder, "fleeting")[0] == 1
    project("gone_file", fleeting="def work(): return 2\n")
    assert call(folder, "fleeting")[0] == 2


def test_a_module_that_is_broken_now_does_not_keep_the_others_from_reloading(project):
    """The importers of an edited helper are known from their files; a broken file has no imports."""
    folder = project(
        "broken_now",
        edited_helper="N = 1\n",
        importing_module="import edited_helper\ndef work(): return edited_helper.N\n",
        other_module="def work(): return 3\n",
    )
    assert call(folder, "importing_module")[0] == 1
    assert call(folder, "other_module")[0] == 3
    project("broken_now", edited_helper="N = 22\n", other_module="def work(:\n")
    assert call(folder, "importing_module")[0] == 22


def test_a_package_without_a_file_is_imported_again_when_its_folder_changes(project):
    """A new module in a folder without ``__init__.py`` is found, though the folder has no file of its own."""
    folder = project(
        "loose", calling="def work():\n    from loose_parts import two\n    return two.N\n"
    )
    (folder / "loose_parts").mkdir()
    (folder / "loose_parts" / "one.py").write_text("def work(): return 1\n")
    assert call(folder, "loose_parts.one")[0] == 1
    (folder / "loose_parts" / "two.py").write_text("N = 2\n")
    os.utime(folder / "loose_parts", ns=(1, 1))
    assert call(folder, "calling") == (2, ["loose_parts", "loose_parts.one"])


def test_a_module_that_is_not_loaded_has_no_owner():
    """Only a loaded module belongs to a project."""
    assert ProjectModules.owner_of("a_module_that_nobody_imported") is None


def test_stale_bytecode_is_not_taken_for_new_text(project):
    """Existing bytecode is not used for text of the same second and size."""
    folder = project("a", compiled_module="def work(): return 1\n")
    file = folder / "compiled_module.py"
    assert call(folder, "compiled_module")[0] == 1
    py_compile.compile(str(file))
    status = file.stat()
    file.write_text("def work(): return 2\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert call(folder, "compiled_module")[0] == 2


def test_a_folder_of_a_common_name_takes_nothing_from_others(tmp_path, monkeypatch):
    """A project's folder ``tests`` without a file of its own leaves others' modules below that name alone."""
    elsewhere, project = tmp_path / "elsewhere", tmp_path / "project"
    for folder in (elsewhere, project):
        (folder / "shared_name").mkdir(parents=True)
    (elsewhere / "shared_name" / "theirs.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(elsewhere)
    theirs = importlib.import_module("shared_name.theirs")
    for _ in range(2):
        with ProjectModules(project).importing():
            (project / "shared_name" / "ours.py").write_text("y = 2\n")
            importlib.import_module("shared_name")
    assert sys.modules["shared_name.theirs"] is theirs


def test_archives_on_the_path_are_not_read_again(project, tmp_path, monkeypatch):
    """A plan reads no archive of ``sys.path``: where Spark put dozens of JARs, that takes half a second."""
    archive = tmp_path / "some.jar"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archived_one.py", "")
    monkeypatch.syspath_prepend(str(archive))
    importlib.import_module("archived_one")
    importer = sys.path_importer_cache[str(archive)]
    assert importer.find_spec("archived_two") is None
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("archived_two.py", "")
    folder = project("a", beside_archives="def work(): return 1\n")
    assert call(folder, "beside_archives") == (1, [])
    assert importer.find_spec("archived_two") is None
    importer.invalidate_caches()
    assert importer.find_spec("archived_two") is not None


# -- functions of a plan keep their own modules --------------------------------------------------

WORK = """
import concurrent.futures
import importlib
import multiprocessing
import pickle
import pkgutil
import threading
from importlib import import_module

import near_helper as early

LOCK = threading.Lock()

class Row:
    def __init__(self):
        self.name = early.N

def late():
    import near_helper
    from near_helper import N
    return near_helper.N, N, __import__("near_helper").N

def by_name():
    return importlib.import_module("near_helper").N, import_module("near_helper").N

def package():
    import near_package.part
    import near_package.part as part
    from near_package import other
    from near_package.part import N
    return near_package.part.N, part.N, other.N, importlib.import_module(".other", "near_package").N, N

def data():
    import importlib.resources as resources
    from importlib.resources import files
    from importlib.util import find_spec
    texts = [f("near_package").joinpath("data.txt").read_text() for f in (files, resources.files)]
    beside = pkgutil.get_data("near_helper", "data.txt").decode()
    with open(find_spec("near_package.part").origin) as file:
        name = "one" if "N = 'one'" in file.read() else "two"
    return *texts, beside, name

def on_thread():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [*pool.map(lambda _: late(), range(2))][0]

def nested():
    def inner():
        import near_helper
        return near_helper.N, name_of()
    return inner

def beside():
    import near_data
    import near_shared
    return near_data.N, near_shared.N

def by_keyword():
    from importlib.util import find_spec
    with open(find_spec(".part", "near_package").origin) as file:
        name = "one" if "N = 'one'" in file.read() else "two"
    return name, pkgutil.get_data(package="near_helper", resource="data.txt").decode()

def library():
    copy = pickle.loads(pickle.dumps(importlib))
    return copy.__name__, {"import_module", "reload"} <= {*dir(importlib)}

def foreign():
    try:
        import only_in_one
    except ModuleNotFoundError as exc:
        return str(exc)
    return only_in_one.N

def name_of(row=None):
    return row.name if row else late()[0]

def in_processes(method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(name_of).result(60), pool.submit(name_of, Row()).result(60)

def pickled():
    return pickle.loads(pickle.dumps(Row())).name, pickle.loads(pickle.dumps(name_of))()
"""


@pytest.fixture
def two(project):
    """Two projects, one and two, with modules of the same names; each says whose it is."""
    assert concurrent.futures.process, multiprocessing.forkserver  # not to be forgotten with theirs
    folders = {}
    for name in ("one", "two"):
        folder = folders[name] = project(name, near_work=WORK, near_helper=f"N = {name!r}\n")
        package = folder / "near_package"
        package.mkdir()
        for place in (folder, package):
            (place / "data.txt").write_text(name)
        for part in ("part", "other"):
            (package / f"{part}.py").write_text(
                f"from near_helper import N as M\nN = {name!r}\nassert M == N\n"
            )
        if name == "two":
            (package / "__init__.py").touch()
    (folders["one"] / "only_in_one.py").write_text("N = 1\n")
    (folders["two"] / "only_in_two.py").write_text("N = 2\n")
    return folders


def plan(folder, function, module="near_work"):
    """The function that a plan of the project has."""
    with ProjectModules(folder).importing():
        return REGISTRY.resolve(module, function, "pandas")


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_function_keeps_its_projects_modules(two, order):
    """Planned beside another project, a function's late imports, of whatever form, are its own project's."""
    functions = ("late", "by_name", "package", "data", "on_thread", "pickled")
    planned = {name: [plan(two[name], fn) for fn in functions] for name in order}
    for name in (*order, *order):
        assert [{*fn()} for fn in planned[name]] == [{name}] * len(functions)


BY_NAME = """
import importlib
import pkgutil
import sys
import unittest.mock
from importlib import import_module

import library_by_name


def patched():
    with unittest.mock.patch("near_helper.N", "patched"):
        from near_helper import N
        return N


def library():
    return library_by_name.of("near_helper")


def reloaded():
    import near_helper
    return importlib.reload(near_helper).N


def patched_package():
    with unittest.mock.patch("near_package.part.N", "patched"):
        from near_package import part
        return part.N


def only_in_one():
    return library_by_name.of("only_in_one", "N")


def by_hand():
    return sys.modules["near_helper"].N
"""
LIBRARY = """
import importlib


def of(module, name="N"):
    assert getattr(__import__(module), name) == getattr(importlib.import_module(module), name)
    return getattr(importlib.import_module(module), name)
"""


@pytest.fixture
def two_by_name(two, tmp_path, monkeypatch):
    """The two projects, with functions that let a library import modules."""
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "library_by_name.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(library))
    for folder in two.values():
        (folder / "by_names.py").write_text(BY_NAME)
    before = builtins.__import__, importlib.import_module
    yield two
    builtins.__import__, importlib.import_module = before


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_library_that_imports_by_name_gets_the_projects_module(two_by_name, order):
    """``mock.patch``, and any library that imports a module by its name, finds the project's own module."""
    wanted = {"patched": "patched", "patched_package": "patched", "library": None, "reloaded": None}
    planned = {
        name: {fn: plan(two_by_name[name], fn, "by_names") for fn in wanted} for name in order
    }
    for name in (*order, *order):
        with ProjectModules(two_by_name[name]).running():
            found = {function: fn() for function, fn in planned[name].items()}
        assert found == {function: value or name for function, value in wanted.items()}


def test_a_library_gets_no_module_that_only_another_project_has(two_by_name):
    """A library that imports the module for another project's function is told who has it."""
    functions = {
        name: plan(folder, "only_in_one", "by_names") for name, folder in two_by_name.items()
    }
    with ProjectModules(two_by_name["one"]).running():
        assert functions["one"]() == 1
    with (
        ProjectModules(two_by_name["two"]).running(),
        pytest.raises(ModuleNotFoundError, match=r"only_in_one.*project in .*one"),
    ):
        functions["two"]()


def test_code_that_looks_into_sys_modules_is_named_before_the_run(two_by_name):
    """``sys.modules["near_helper"]`` is one module for the process: the plan of the other project says so."""
    notices = {}
    for name, folder in two_by_name.items():
        plan(folder, "late")
        plan(folder, "by_hand", "by_names")
        modules = ProjectModules(folder)
        with modules.importing():
            REGISTRY.resolve("by_names", "by_hand", "pandas")
        notices[name] = modules.notices()
    assert notices["one"] == []
    assert len(notices["two"]) == 1
    assert notices["two"][0].startswith(
        "module 'by_names' looks up 'near_helper' in sys.modules, where it is the module of the project in "
    )


def test_names_are_found_however_code_looks_them_up():
    """An item, a method's first argument and a membership test are found; computed names are not."""
    from odibi_nb.core.functions.sibling_modules import names_by_hand

    text = b"sys.modules['a']; sys.modules.get('b', 'x'); 'c' in sys.modules; sys.modules[name]; d['e']"
    assert names_by_hand(text) == {"a", "b", "c"}
    assert names_by_hand(b"modules['a']") == set()
    assert names_by_hand(b"sys.modules['a'") == set()


def test_a_plan_shows_that_its_code_looks_into_sys_modules(two_by_name):
    """The notice is one of the plan's, which are shown before the run."""
    plan(two_by_name["one"], "late")
    rows = [row("A", module="by_names", function="by_hand")]
    found = FakeProject(two_by_name["two"], rows).orchestrator().plan().notices
    assert [text for text in found if "'near_helper' in sys.modules" in text] != []


def test_modules_that_only_another_project_has_are_not_there_late_either(two):
    """An import in a function does not find what only another open project has: as in its own process."""
    one, two_ = plan(two["one"], "foreign"), plan(two["two"], "foreign")
    assert one() == 1
    assert two_().startswith("No module named 'only_in_one' in this project; the project in ")
    importlib.import_module("only_in_one")  # by the notebook, which may
    assert two_().startswith("No module named 'only_in_one' in this project; the project in ")


def test_functions_that_take_a_modules_name_may_get_it_by_keyword_or_relative(two):
    """A name in a keyword means the project's module, and a relative name belongs to its package."""
    planned = {name: plan(two[name], "by_keyword") for name in ("one", "two")}
    for name in ("one", "two", "one"):
        with ProjectModules(two[name]).running():
            assert planned[name]() == (name, name)


def test_a_library_that_a_projects_code_imports_is_the_library(two):
    """``importlib`` in a function can be listed and pickled, as in any other code."""
    for name in ("one", "two"):
        assert plan(two[name], "library")() == ("importlib", True)


def test_an_installed_library_is_there_though_another_project_has_its_name(
    two, tmp_path, monkeypatch
):
    """A folder of data, or another project's module, takes no library from a function that imports it."""
    library = tmp_path / "site-packages"
    library.mkdir()
    for name in ("near_data", "near_shared"):
        (library / f"{name}.py").write_text("N = 'library'\n")
    for folder in two.values():
        (folder / "near_data").mkdir()
        (folder / "near_data" / "rows.csv").write_text("a\n1\n")
    (two["one"] / "near_shared.py").write_text("N = 'one'\n")
    monkeypatch.syspath_prepend(str(library))
    planned = {name: plan(two[name], "beside") for name in ("one", "two")}
    assert planned["two"]() == ("library", "library")
    assert planned["one"]() == ("library", "one")
    assert planned["two"]() == ("library", "library")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_process_pools_get_the_projects_own_functions(two, method):
    """Functions and objects reach the processes of a pool, and import their own project's modules there."""
    planned = {name: plan(two[name], "in_processes") for name in ("one", "two")}
    for name, in_processes in planned.items():
        assert in_processes(method) == (name, name)


def test_the_notebooks_own_module_stays_the_notebooks(two, tmp_path, monkeypatch):
    """A module of the user's own, imported before or after the plan, is neither replaced nor taken."""
    own = tmp_path / "notebook"
    own.mkdir()
    (own / "near_helper.py").write_text("N = 'the user'\n")
    monkeypatch.syspath_prepend(own)
    helper = importlib.import_module("near_helper")
    functions = [plan(two["one"], "late"), plan(two["one"], "by_name"), plan(two["one"], "pickled")]
    assert [{*fn()} for fn in functions] == [{"one"}] * 3
    assert importlib.import_module("near_helper") is helper
    assert sys.modules["near_helper"] is helper


def test_a_module_that_the_notebook_imports_later_is_not_taken(two, tmp_path, monkeypatch):
    """A late import of a function finds its project's module, even if the notebook has that name by then."""
    fn = plan(two["one"], "package")
    own = tmp_path / "notebook"
    own.mkdir()
    (own / "near_package").mkdir()
    (own / "near_package" / "__init__.py").touch()
    (own / "near_package" / "part.py").write_text("N = 'the user'\n")
    monkeypatch.syspath_prepend(own)
    part = importlib.import_module("near_package.part")
    assert {*fn()} == {"one"}
    assert sys.modules["near_package.part"] is part


def test_a_run_keeps_its_modules_when_files_are_edited(two):
    """While a run goes on, a plan with edited files has the new modules, and the run the old ones."""
    running = ProjectModules(two["one"])
    with running.importing():
        old, pickled = (REGISTRY.resolve("near_work", fn, "pandas") for fn in ("late", "pickled"))
    with running.running():
        (two["one"] / "near_helper.py").write_text("N = 'edited'\n")
        text = (two["one"] / "near_work.py").read_text()
        (two["one"] / "near_work.py").write_text(text + "\n# edited\n")
        new = plan(two["one"], "late")
        assert ({*new()}, {*old()}, {*pickled()}) == ({"edited"}, {"one"}, {"one"})
    assert {*plan(two["one"], "late")()} == {"edited"}


def test_what_decorators_register_is_the_projects_own(project):
    """Two projects that register one name, in modules of the same or a given name, keep theirs apart."""
    text = (
        "from odibi_nb import pandas_function\n"
        "@pandas_function(module='given_module')\ndef work(): return {0!r}\n"
        "@pandas_function('only_{0}', module='given_module')\ndef other(): return {0!r}\n"
    )
    folders = [project(name, registering=text.format(name)) for name in ("one", "two")]
    for folder in folders * 2:
        with ProjectModules(folder).importing():
            importlib_name = REGISTRY.resolve("registering", "work", "pandas")
            given_name = REGISTRY.resolve("given_module", "work", "pandas")
            assert (importlib_name(), given_name()) == (folder.name, folder.name)
            other = {"one": "two", "two": "one"}[folder.name]
            with pytest.raises(FunctionNotFoundError):
                REGISTRY.resolve("given_module", f"only_{other}", "pandas")


def test_two_runs_at_once_keep_their_modules(two):
    """Functions of two projects that run at the same time, on threads, never see each other's modules."""
    planned = {name: plan(two[name], "package") for name in ("one", "two")}
    barrier, found = threading.Barrier(8), []

    def work(name):
        barrier.wait()
        found.append((name, {*planned[name]()}))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == sorted([(n, {n}) for n in ("one", "two") * 4], key=str)


def test_a_function_that_was_sent_by_value_keeps_its_modules(two):
    """A nested function that cloudpickle rebuilds, as Spark's are, imports its own project's modules."""
    cloudpickle = pytest.importorskip("pyspark.cloudpickle")
    for name in ("one", "two", "one"):
        fn = plan(two[name], "nested")()
        assert pickle.loads(cloudpickle.dumps(fn))() == (name, name)


def test_the_owner_of_a_name_is_found_among_many_projects_as_among_few(
    tmp_path, monkeypatch, no_collector
):
    """Each import of a row asks whose module a name is. Its cost does not grow with the opened projects."""
    for name in ("_spaces", "_folders"):
        monkeypatch.setattr(sibling_modules, name, dict(getattr(sibling_modules, name, {})))
    space = ModuleSpace(tmp_path / "own", private=True)

    def steps():
        calls = []
        sys.setprofile(lambda _frame, event, _what: calls.append(event))
        try:
            assert not space.is_others("pytest")
            assert not space.is_others("a_module_that_is_nowhere")
        finally:
            sys.setprofile(None)
        return len(calls)

    steps()
    few = steps()
    for number in range(50):
        ModuleSpace(tmp_path / str(number), private=True)
    assert steps() == few


def test_a_loaded_module_is_found_where_it_is_now(tmp_path, monkeypatch):
    """A module counts for the folder of its file, also after it was replaced, removed or given a file."""
    from odibi_nb.core.functions.sibling_modules import loaded_from

    def module(**attributes):
        made = types.ModuleType("takes_turns")
        vars(made).update(attributes)
        monkeypatch.setitem(sys.modules, "takes_turns", made)
        return made

    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    (here / "takes_turns").mkdir(parents=True)
    module(__file__=str(here / "takes_turns.py"))
    assert loaded_from(here) == ["takes_turns"]
    module(__file__=str(elsewhere / "takes_turns.py"))
    assert (loaded_from(here), loaded_from(elsewhere)) == ([], ["takes_turns"])
    module()
    assert loaded_from(elsewhere) == []
    module(__path__=[str(here / "takes_turns")])
    assert (loaded_from(here), loaded_from(elsewhere)) == (["takes_turns"], [])
    later = module()
    assert loaded_from(here) == []
    later.__file__ = f"{here}/./takes_turns.py"
    assert loaded_from(here) == ["takes_turns"]
    monkeypatch.delitem(sys.modules, "takes_turns")
    assert loaded_from(here) == []


def test_a_package_without_its_parent_belongs_to_no_folder(tmp_path, monkeypatch):
    """If code removes a package from ``sys.modules``, what was below it does not end a plan."""
    from odibi_nb.core.functions.sibling_modules import loaded_from

    (tmp_path / "removed_parent" / "below").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("removed_parent.below")
    assert sorted(loaded_from(tmp_path)) == ["removed_parent", "removed_parent.below"]
    parent = sys.modules.pop("removed_parent")
    assert loaded_from(tmp_path) == []
    sys.modules["removed_parent"] = parent
    for name in ("removed_parent.below", "removed_parent"):
        monkeypatch.delitem(sys.modules, name)


def test_a_module_that_is_imported_meanwhile_does_not_end_a_plan(tmp_path):
    """The loaded modules are looked through while garbage collection, or a thread, imports others."""
    from odibi_nb.core.functions.sibling_modules import loaded_from

    names = []

    def imports(_phase, _info):
        if len(names) < 300:  # each one makes the next look longer, without end under coverage
            names.append(f"made_meanwhile_{len(names)}")
            sys.modules[names[-1]] = types.ModuleType(names[-1])

    thresholds = gc.get_threshold()
    gc.callbacks.append(imports)
    gc.set_threshold(1)
    try:
        for _ in range(20):
            assert loaded_from(tmp_path) == []
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(imports)
        for name in names:
            del sys.modules[name]
    assert names
