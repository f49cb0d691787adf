"""Plug-ins: listeners that installed packages register by an entry point."""

from __future__ import annotations

import importlib
import os
import sys

import pytest
from fakes import row, statuses

from odibi_nb.core.running.plugins import SETTLED_SECONDS, find_plugins


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages, the first of the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def install(folder, name="some_plugin-1.0", group="odibi_nb.hooks", value="some:listener", age=0.0):
    """Write what pip does of a package, *age* seconds ago."""
    info = folder / f"{name}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.partition('-')[0]}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nplugin = {value}\n")
    then = folder.stat().st_mtime - age
    os.utime(folder, (then, then))


def values():
    return [plugin.value for plugin in find_plugins()]


@pytest.mark.parametrize("age", [0.0, 2 * SETTLED_SECONDS])
def test_a_package_that_pip_installs_is_found_by_the_next_run(site, age):
    """A package installed after a run has its plug-in in the next, however long the folder had not changed."""
    install(site, group="others", age=age)
    assert values() == []
    install(site, "another_plugin-2.0", value="another:listener")
    assert values() == ["another:listener"]


def test_the_files_of_an_unchanged_folder_are_read_once(site):
    """The entry points of a folder that has long been as it is are not read by every run."""
    install(site, age=2 * SETTLED_SECONDS)
    assert values() == ["some:listener"]
    (site / "some_plugin-1.0.dist-info" / "entry_points.txt").unlink()
    assert values() == ["some:listener"]


def test_a_folder_that_has_just_changed_is_read_again(site):
    """While pip writes a package, its folder is there before its entry points are."""
    install(site, group="others")
    assert values() == []
    install(site)
    assert values() == ["some:listener"]


def test_of_two_versions_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    """A package that is installed twice registers its listener once: the one that Python imports."""
    install(site, "some_plugin-1.0", value="old:listener")
    newer = tmp_path / "newer"
    newer.mkdir()
    install(newer, "Some_Plugin-2.0", value="new:listener")
    monkeypatch.syspath_prepend(newer)
    assert values() == ["new:listener"]


def test_a_path_without_a_folder_has_no_plugins(monkeypatch):
    """Folders of the path that do not exist are passed over; "" is the working directory."""
    monkeypatch.setattr(sys, "path", ["/no/such/folder", ""])
    assert values() == []


def test_an_interrupt_while_plug_ins_load_ends_the_run(site, project):
    """Another error of a plug-in is a warning. An interrupt is the user's, and the next run begins as usual."""
    listener = site / "interrupted_plugin.py"
    listener.write_text("def listener(hooks):\n    raise KeyboardInterrupt\n")
    install(site, value="interrupted_plugin:listener")
    p = project(row("A", lambda: None))
    with pytest.raises(KeyboardInterrupt):
        p.run()
    listener.write_text("def listener(hooks):\n    raise SystemExit('no licence')\n")
    del sys.modules["interrupted_plugin"]
    importlib.invalidate_caches()
    result = p.run()
    assert statuses(result) == {"A": "SUCCESS"}
    assert any(
        "plug-in plugin failed: " in text and "no licence" in text for text in result.warnings
    )
