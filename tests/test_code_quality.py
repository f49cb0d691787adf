"""Linting, formatting, types, layers and the built wheel are part of the tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from environments.environment import uv
from packaging.version import Version
from thorough import THOROUGH

from odibi_nb.version import __version__

ROOT = Path(__file__).parent.parent


def check(*command):
    """Run a command of this Python's environment at the root. If it fails, show its output."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--check", "--no-cache", "."),
        ("mypy",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_code_passes(command):
    """Ruff finds nothing, the format is ruff's, and mypy in strict mode finds nothing."""
    check(*command)


def test_the_layers_hold():
    """Faces call commands, commands wire adapters, adapters know only the core; the core is pure."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_circle():
    """No module needs itself through others, not even for its types: each file can be read after what it imports."""
    files = {_module(path): path for path in (ROOT / "odibi_nb").rglob("*.py")}
    needs = {
        module: {*_imported_at_the_top(ast.parse(path.read_text()).body, files)} - {module}
        for module, path in files.items()
    }
    TopologicalSorter(needs).prepare()  # raises CycleError with the circle


def _module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported_at_the_top(statements, modules):
    """Yield the modules of the package that *statements* import, also for type checkers alone."""
    for one in statements:
        if isinstance(one, ast.ImportFrom):
            for alias in one.names:
                yield from {f"{one.module}.{alias.name}", one.module} & modules.keys()
        elif isinstance(one, ast.Import):
            yield from {alias.name for alias in one.names} & modules.keys()
        elif isinstance(one, (ast.If, ast.Try)):
            yield from _imported_at_the_top([*one.body, *one.orelse], modules)


def test_no_module_is_a_drawer():
    """No module is called utils, helpers, common or misc: a name is the module's subject."""
    names = {module.stem for module in (ROOT / "odibi_nb").rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_every_test_is_a_sentence_of_the_specification():
    """Each test function has a docstring: a sentence of the specification."""
    silent = [
        f"{path.name}:{node.lineno} {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package, built."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_what_it_needs(wheel):
    """The wheel carries every module, the type marker and the start-up file, and nothing else."""
    names = zipfile.ZipFile(wheel).namelist()
    modules = {str(m.relative_to(ROOT)) for m in (ROOT / "odibi_nb").rglob("*.py")}
    assert modules <= set(names)
    assert "odibi_nb/py.typed" in names
    assert any(name.endswith("etc/ipython/startup/50-odibi_nb.py") for name in names)
    assert not [name for name in names if name.startswith(("tests", "notebooks", "benchmarks"))]


def test_the_wheel_runs_without_the_checkout(wheel, tmp_path):
    """The package, unpacked in another folder, runs a project."""
    from real_project import make_project

    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    make_project(tmp_path)
    code = (
        "import odibi_nb; print(odibi_nb.__file__);"
        "print(odibi_nb.run_project('Plant One')['status'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    file, status = done.stdout.split()
    assert Path(file).is_relative_to(site)
    assert status == "success"


@pytest.mark.environments
def test_the_wheel_installs_alone_and_with_each_extra(wheel, tmp_path):
    """In an empty environment the wheel installs and starts, and the extras find their libraries, together and each alone."""
    empty = tmp_path / "empty"
    python = str(empty / "bin" / "python")

    def install(name, *options):
        done = uv("pip", "install", "--python", python, *options, f"{name} @ {wheel.as_uri()}")
        return done.stderr if done.returncode else ""

    assert uv("venv", "--python", sys.executable, str(empty)).returncode == 0
    assert install("odibi-nb") == ""
    subprocess.run([python, "-m", "odibi_nb", "-h"], check=True, stdout=subprocess.DEVNULL)
    described = zipfile.ZipFile(wheel).read(f"odibi_nb-{__version__}.dist-info/METADATA").decode()
    extras = re.findall(r"^Provides-Extra: (\S+)", described, re.MULTILINE)
    assert {"pandas", "spark", "demo"} < set(extras)
    each = extras if THOROUGH else [",".join(extras)]
    wrong = {extra: install(f"odibi-nb[{extra}]", "--dry-run") for extra in each}
    assert not any(wrong.values()), wrong


REFERENCE = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")


def test_what_a_docstring_refers_to_exists():
    """A name in backticks exists in the package."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in (ROOT / "odibi_nb").rglob("*.py")}
    known = {part for path in trees for part in path.relative_to(ROOT).with_suffix("").parts}
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        for field in ("name", "id", "attr", "arg"):
            known.add(getattr(node, field, None))
    texts = (
        (path, ast.get_docstring(node) or "")
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    )
    lost = [
        f"{path.name}: {name}"
        for path, text in texts
        for name in REFERENCE.findall(text)
        if not known.issuperset(name.split("."))
    ]
    assert "\n".join(lost) == ""


def test_prose_is_plain():
    """No docstring, comment or page of the package, its tests and its notebooks has a form that CONTRIBUTING rules out."""
    places = ("odibi_nb", "tests", "notebooks", "benchmarks", "docs", ".ci")
    texts = [
        *(
            p
            for place in places
            for p in ROOT.glob(f"{place}/**/*.py")
            if "executed" not in p.parts
        ),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("[A-Z]*.md"),
    ]
    command = [
        sys.executable,
        ".ci/plain_english.py",
        *(p for p in texts if p.name != "CHANGELOG.md"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_list_of_plain_english_finds_its_forms(tmp_path):
    """The check prints file, line, form and advice, ignores code, and passes a marked line."""
    path = tmp_path / "some.py"
    path.write_text(
        '"""What it does."""\n\nwhom = 1\n\n\ndef f():\n    """Return it.\n\n    Nobody reads row(s).\n    """\n'
        "    # anew\n    # anew  plain: ok\n"
    )
    page = tmp_path / "page.md"
    page.write_text("Those that `nobody` reads.\n\n```\nnobody\n```\n")
    command = [sys.executable, ".ci/plain_english.py", str(path), str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = [line.removeprefix(f"{tmp_path}/").split(":")[:3] for line in done.stdout.splitlines()]
    assert found == [
        ["some.py", "1", " begin with a verb or a noun"],
        ["some.py", "9", " name the actor, not 'Nobody'"],
        ["some.py", "9", " write singular or plural, not 'w(s)'"],
        ["some.py", "11", " use a plain word, not 'anew'"],
        ["page.md", "1", " name the thing, not 'Those that'"],
    ]


def test_a_commit_is_checked_as_the_tests_check():
    """The hooks of pre-commit call the tools of the tests, and the hosted checks call files that exist."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    for tool in (
        "ruff check",
        "ruff format",
        "mypy",
        "lint-imports",
        "python .ci/plain_english.py",
    ):
        assert f"entry: {tool}" in hooks
    hosted = (ROOT / ".github/workflows/checks.yml").read_text()
    called = re.findall(r"bash (\S+)", hosted)
    assert called
    assert all((ROOT / path).is_file() for path in called)
    versions = re.search(r"python: \[(.*)\]", hosted)[1]
    classified = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert re.findall(r"[\d.]+", versions) == classified


def test_the_newest_release_is_this_version_or_the_one_before():
    """CHANGELOG has a heading for unreleased changes, then one for each release with its date. With
    unreleased changes, our version is a development version after the newest release.
    """
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", text) for text in headings[1:]]
    assert all(releases)
    unreleased = (
        (ROOT / "CHANGELOG.md").read_text().partition("## Unreleased")[2].partition("\n## ")[0]
    )
    version, newest = Version(__version__), Version(releases[0][1])
    assert version.is_devrelease == bool(unreleased.strip())
    assert version > newest if version.is_devrelease else version == newest
    dates = [release[2] for release in releases]
    assert dates == sorted(dates, reverse=True)
