"""The modules beside a manifest: always as their files are now, and always this project's."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
import time
import zipfile
from pathlib import Path

import pytest

from odibi_nb.core.functions import REGISTRY, FunctionNotFoundError, ProjectModules


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
    """What the function gives when the project is planned now; and which modules were loaded anew."""
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
    """A new time alone is no new text: nothing is loaded anew, and module state lives on."""
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


def test_stale_bytecode_is_not_taken_for_new_text(project):
    """Bytecode that somebody wrote is not used for text of the same second and size."""
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
