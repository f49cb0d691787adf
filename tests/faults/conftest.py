"""The example project, prepared once, copied for each fault."""

from __future__ import annotations

import shutil

import pytest
from faults.example_run import Example, prepare

from odibi_nb.core.functions.registry import REGISTRY


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """The project after one undisturbed run, and its tables' contents."""
    folder = tmp_path_factory.mktemp("example") / "energy_efficiency"
    prepare(folder)
    example = Example(folder)
    with REGISTRY.preserved():  # other tests have functions of the same names
        example.run().raise_for_status()
    return folder, example.tables()


@pytest.fixture
def example(template, tmp_path):
    """The project, its lake as an undisturbed run left it."""
    folder, reference = template
    shutil.copytree(folder, tmp_path / "energy_efficiency")
    return Example(tmp_path / "energy_efficiency", reference)


@pytest.fixture
def fresh(template, tmp_path):
    """The project before its first run."""
    prepare(tmp_path / "energy_efficiency")
    return Example(tmp_path / "energy_efficiency", template[1])
