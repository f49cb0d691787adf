"""Public names of the package, and the cost of importing it."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import odibi_nb

PACKAGE = Path(odibi_nb.__file__).parent
HEAVY = {
    "pandas",
    "numpy",
    "plotly",
    "pyspark",
    "IPython",
    "ipywidgets",
    "sqlalchemy",
    "deltalake",
    "pyarrow",
    "duckdb",
    "fsspec",
}

SEED_SIGNATURE = [
    "project",
    "env",
    "target_layers",
    "cache_plan",
    "manifest_path",
    "log_level",
    "save_logs",
    "auth_provider",
    "engine",
    "hooks",
    "log_sink",
]


def fresh(code):
    """Return the output of a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names_are_sorted_and_there():
    """__all__ is sorted as ruff sorts, and each name can be imported and has a docstring."""
    names = odibi_nb.__all__
    assert len(set(names)) == len(names)
    constants = sorted(n for n in names if n.isupper())
    classes = sorted(n for n in names if n[0].isupper() and not n.isupper())
    assert names == [*constants, *classes, *sorted(n for n in names if n[0].islower())]
    for name in names:
        assert inspect.getdoc(getattr(odibi_nb, name)), name


def test_the_names_are_complete():
    """Each public name is in __all__, in dir(), and known to type checkers."""
    assert set(odibi_nb._HOME_OF) == set(odibi_nb.__all__)
    assert set(odibi_nb.__all__) < set(dir(odibi_nb))
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("odibi_nb.")
        for alias in node.names
    }
    assert set(odibi_nb.__all__) <= typed


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("", "run_project"),
        ("hooks", "HookManager"),
        ("hooks.manager", "HookManager"),
        ("orchestration", "GenericProjectOrchestrator run_project"),
        ("orchestration.generic_orchestrator", "GenericProjectOrchestrator run_project"),
        ("transformer", "TransformationRunnerFromConfig"),
        ("transformer.transformation_runner_from_config", "TransformationRunnerFromConfig"),
        ("project", "ProjectManifest LayerConfig"),
        ("project.manifest", "ProjectManifest LayerConfig"),
        ("logging", "BaseLogSink"),
        ("logging.log_sink", "BaseLogSink"),
        ("odibi_functions", "REGISTRY FunctionRegistry ExecutionContext get_current_context"),
        ("odibi_functions", "odibi_function pandas_function spark_function universal_function"),
        ("odibi_functions", "with_context"),
        ("core", "DataType Engine ExecutionContext"),
        ("core.engine", "Engine ExecutionContext"),
    ],
)
def test_the_seeds_addresses(address, names):
    """Imports of the seed and the original work with odibi_nb for odibi_de_v2, and give the same objects."""
    module = importlib.import_module(f"odibi_nb.{address}".rstrip("."))
    for name in names.split():
        found = getattr(module, name)
        assert found is getattr(odibi_nb, name, found)
        assert name in getattr(module, "__all__", ())
    with pytest.raises(AttributeError):
        module.nothing  # noqa: B018


def test_our_logging_hides_nobody_elses():
    """The module odibi_nb.logging does not hide the standard library's logging."""
    code = (
        "import odibi_nb.logging, odibi_nb.cli, logging;"
        "print(logging.getLogger('x').name, logging.__file__ != odibi_nb.logging.__file__)"
    )
    assert fresh(code) == "x True"


def test_the_package_is_a_command():
    """`python -m odibi_nb` and `odibi-nb` are the command odibi."""
    code = "import runpy, sys; sys.argv[1:] = ['-h']; runpy.run_module('odibi_nb', run_name='__main__')"
    assert "examples:" in fresh(code)
    scripts = importlib.metadata.entry_points(group="console_scripts", name="odibi-nb")
    assert {entry.value for entry in scripts} <= {"odibi_nb.cli:main"}


def test_a_name_that_does_not_exist():
    """An unknown name raises the usual AttributeError, and hasattr works."""
    assert not hasattr(odibi_nb, "run_projekt")
    with pytest.raises(AttributeError, match="module 'odibi_nb' has no attribute 'run_projekt'"):
        getattr(odibi_nb, "run_" + "projekt")
    with pytest.raises(ImportError):
        from odibi_nb import nothing  # noqa: F401


def test_the_seeds_signature():
    """run_project takes the seed's arguments, in the seed's order, with the seed's defaults."""
    parameters = inspect.signature(odibi_nb.run_project).parameters
    assert list(parameters)[: len(SEED_SIGNATURE)] == SEED_SIGNATURE
    defaults = {name: p.default for name, p in parameters.items()}
    assert (defaults["env"], defaults["log_level"], defaults["save_logs"]) == (
        "qat",
        "WARNING",
        False,
    )
    assert parameters[list(parameters)[-1]].kind is inspect.Parameter.VAR_KEYWORD


def test_importing_the_package_is_free():
    """`import odibi_nb` loads only its version: no heavy library, not even msgspec."""
    code = "import sys; before = set(sys.modules); import odibi_nb; print(*(set(sys.modules) - before))"
    loaded = set(fresh(code).split())
    assert not {name.partition(".")[0] for name in loaded} & (HEAVY | {"msgspec", "tenacity"})
    assert {name for name in loaded if name.startswith("odibi_nb.")} == {"odibi_nb.version"}


STARTUP = {"filelock", "logging.config", "msgspec", "sqlglot", "tenacity", "tomllib"}
"""Libraries that a first import needs for nothing: each takes 5 to 30 ms."""


@pytest.mark.parametrize(
    ("before", "statement", "ours"),
    [
        ("pass", "from odibi_nb import run_project", {"odibi_nb.version", "odibi_nb.api"}),
        (
            "import IPython.core.completer, IPython.terminal.interactiveshell",
            "import odibi_nb.notebook.magic",
            None,
        ),
    ],
)
def test_the_first_statement_of_a_notebook_loads_little(before, statement, ours):
    """Importing `run_project`, and ``%load_ext``, loads none of the modules that only a run needs."""
    code = (
        f"{before}; import sys; before = set(sys.modules); {statement};"
        "print(*(set(sys.modules) - before))"
    )
    loaded = set(fresh(code).split())
    assert not {name.partition(".")[0] for name in loaded} & (HEAVY | STARTUP)
    own = {name for name in loaded if name.startswith("odibi_nb.")}
    assert own == ours if ours else not {"odibi_nb.settings", "odibi_nb.project_orchestrator"} & own


def test_the_current_context_needs_no_import_hook():
    """A process that only asks for the context, such as Spark's workers, gets no other finder of modules."""
    code = (
        "import sys; before = [*sys.meta_path]; from odibi_nb import get_current_context as now; "
        "now(); print(sys.meta_path == before)"
    )
    assert fresh(code).strip() == "True"


def test_all_public_names_load_nothing_heavy():
    """Using every public name, the shell's parser and the settings loads no heavy library either."""
    code = (
        "import sys, odibi_nb; [getattr(odibi_nb, n) for n in odibi_nb.__all__];"
        "import odibi_nb.cli, odibi_nb.settings, odibi_nb.ingest;"
        "from odibi_nb.commands import parse; parse(['projects']); print(*sys.modules)"
    )
    assert not {name.partition(".")[0] for name in fresh(code).split()} & HEAVY


def test_the_python_face_registers_the_displays():
    """A manifest, also of a subclass, has a rich display without %load_ext. So have plans and results."""
    code = (
        "from odibi_nb import ProjectManifest; Ours = type('Ours', (ProjectManifest,), {});"
        "m = Ours(project='P<');"
        "print(m._repr_html_().count('P&lt;'), m._repr_mimebundle_().keys())"
    )
    assert fresh(code) == "1 dict_keys(['text/html'])"


def test_the_core_is_pure():
    """No module of the core names a heavy library, not even inside a function."""
    for path in (PACKAGE / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & HEAVY, path.name


def test_every_module_says_what_it_is_for():
    """Each module has a docstring, and can be imported if all extras are installed."""
    for info in pkgutil.walk_packages([str(PACKAGE)], "odibi_nb."):
        assert importlib.import_module(info.name).__doc__, info.name


def test_every_public_method_says_what_it_does():
    """Each public function and method has a docstring, or overrides a method with one: a class names its protocol."""
    undocumented = []
    for info in pkgutil.walk_packages([str(PACKAGE)], "odibi_nb."):
        module = importlib.import_module(info.name)
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ != info.name or name.startswith("_"):
                continue
            undocumented += [
                f"{info.name}.{name}.{method}"
                for method, value in vars(cls).items()
                if not method.startswith("_")
                and method not in getattr(cls, "__dataclass_fields__", ())
                and (inspect.isfunction(value) or isinstance(value, (classmethod, property)))
                and not inspect.getdoc(getattr(cls, method))
            ]
    assert undocumented == []


def test_errors_are_one_tree():
    """Every exception of the package is an OdibiError, whose docstring draws the tree."""
    errors = importlib.import_module("odibi_nb.errors")
    classes = [
        c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)
    ]
    assert all(issubclass(c, errors.OdibiError) for c in classes)
    assert all(c.__name__ in errors.__doc__ for c in classes)
