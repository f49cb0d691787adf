"""Default place of journals and locks."""

from __future__ import annotations

from pathlib import Path

from odibi_nb.core.process import state_folder as module
from odibi_nb.core.process.state_folder import state_folder


def test_it_is_beside_the_manifest(tmp_path):
    """The default is .odibi in the project's folder; a folder of the settings comes first."""
    assert state_folder(tmp_path) == tmp_path / ".odibi"
    assert state_folder(tmp_path, "x") == Path("x")


def test_on_databricks_mounts_it_is_on_the_drivers_disk(tmp_path, monkeypatch):
    """A Git folder may be read-only, and each file operation in it is a request."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "MOUNTS", (tmp_path / "Workspace",))
    git_folder = tmp_path / "Workspace" / "Repos" / "plant"
    assert state_folder(git_folder) == git_folder / ".odibi"  # not on Databricks
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    found = state_folder(git_folder)
    assert found.is_relative_to(tmp_path / "home")
    assert found != state_folder(git_folder.with_name("other"))
    assert state_folder(git_folder, "x") == Path("x")
    assert state_folder(tmp_path / "local") == tmp_path / "local" / ".odibi"
