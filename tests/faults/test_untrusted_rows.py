"""Limits of untrusted registry rows: places they can reach, and places they cannot."""

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from real_project import make_project, registry_row

from odibi_nb import run_project
from odibi_nb.core.model.results import RunResult
from odibi_nb.errors import PlanError

FUNCTIONS = """
def peek(constants, context):
    return context.read_file(constants["where"], format="csv")
"""
MODULES = {"transformation_modules": ["plant_functions"]}


def load_row(name, **constants):
    """A row of the ready-made functions."""
    return {
        **registry_row(name, "Bronze", "load_csv", constants=constants, outputs=[f"bronze.{name}"]),
        "module": "odibi_nb.ingest",
    }


def run(folder, monkeypatch, rows, **manifest) -> RunResult:
    """Run a project of these rows in *folder*."""
    home = make_project(folder, rows, functions=FUNCTIONS, **manifest)
    monkeypatch.chdir(folder)
    return run_project("Plant One", "qat", manifest_path=home / "manifest.json", log_level="ERROR")


def test_rows_alone_never_become_code(tmp_path, monkeypatch):
    """A loader cannot be made to write a module into the package that rows may name."""
    home = tmp_path / "projects" / "plant_one"
    (home / "plant_functions").mkdir(parents=True)
    (home / "plant_functions" / "__init__.py").write_text("")
    payload = tmp_path / "payload.csv"
    payload.write_text("open('owned', 'w')\n")
    cache = {"simplecache": {"cache_storage": str(home / "plant_functions"), "same_names": True}}
    rows = [
        load_row("A", source=f"simplecache::file://{payload}", options={"storage_options": cache}),
        load_row("B", source=f"simplecache::file://{payload}"),
        load_row("C", source="x.csv", options={"storage_options": cache}),
        {**registry_row("D", "Bronze", "f"), "module": "plant_functions.payload"},
    ]
    for manifest in (MODULES, {}):
        with pytest.raises(PlanError) as caught:
            run(tmp_path, monkeypatch, rows, **manifest)
        text = str(caught.value)
        assert text.count("option 'storage_options' cannot come from a row") == 2
        assert text.count("chained file systems (such as 'simplecache::') are refused") == 1
        assert all(f"at row '{name}', constants.source" in text for name in "ABC")
        assert [p.name for p in (home / "plant_functions").glob("*.*")] == ["__init__.py"]
        assert not [*tmp_path.rglob("owned")]


def test_a_row_that_reads_elsewhere_is_refused_before_anything_runs(tmp_path, monkeypatch):
    """The message names each such row once, with the allowed places and the setting. No server has been contacted."""
    (tmp_path / "secret.csv").write_text("a\nhidden\n")
    rows = [
        load_row("A", source="../../secret.csv"),
        load_row("B", source="s3://bucket/x.csv"),
        registry_row("C", "Bronze", "peek", [{"path": "/etc/hosts"}], {"where": "x"}),
        {**load_row("D", url="sqlite:///x.db", table="t"), "function": "load_sql"},
    ]
    with pytest.raises(PlanError) as caught:
        run(tmp_path, monkeypatch, rows, **MODULES)
    lines = [line for line in str(caught.value).splitlines() if "row '" in line]
    assert len(lines) == 4
    assert all("allowed_locations" in line for line in lines)
    with pytest.raises(PlanError) as caught:
        run(tmp_path, monkeypatch, rows[1:], allowed_locations=["../.."])
    assert "secret" not in str(caught.value)


def test_what_a_function_reads_through_the_context_is_looked_at_too(tmp_path, monkeypatch):
    """A path in a constant of a row's own is refused when the function reads it."""
    (tmp_path / "secret.csv").write_text("a\nhidden\n")
    rows = [registry_row("A", "Bronze", "peek", (), {"where": "../../secret.csv"}, ["bronze.a"])]
    result = run(tmp_path, monkeypatch, rows, **MODULES)
    assert "add its folder or URL to the manifest's 'allowed_locations'" in str(
        result.transformations["A"].error_message
    )
    assert run(tmp_path, monkeypatch, rows).status == "success"
    assert run(tmp_path, monkeypatch, rows, allowed_locations=["../.."], **MODULES).status == (
        "success"
    )


class Locked(MemoryFileSystem):
    """A storage in memory that wants a key."""

    protocol = "locked"

    def __init__(self, key=None, **more):
        super().__init__(**more)
        if key != "sesame":
            raise PermissionError("no key")

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("locked://", "memory://"))


def test_storage_options_come_from_the_manifest(tmp_path, monkeypatch):
    """The environment's location_options open a storage to its rows only below the prefix."""
    fsspec.register_implementation("locked", Locked, clobber=True)
    MemoryFileSystem().pipe("/raw/x.csv", b"a\n1\n")
    rows = [load_row("A", source="adls://raw/x.csv"), load_row("B", source="locked://rawer/x.csv")]
    environment = {
        "engine": "pandas",
        "registry": "sqlite:///registry.db",
        "locations": {"adls://raw": "locked://raw"},
        "location_options": {"locked://raw": {"key": "sesame"}},
    }
    try:
        result = run(tmp_path, monkeypatch, rows, environments={"qat": environment})
    finally:
        MemoryFileSystem().rm("/raw", recursive=True)
    assert result.transformations["A"].status == "SUCCESS"
    assert "no key" in result.transformations["B"].error_message
