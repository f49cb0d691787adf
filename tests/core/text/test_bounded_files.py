"""Files of users that are too large are refused before a parser gets them."""

from __future__ import annotations

import json
import os
import threading

import pytest
from fakes import row

from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.text import bounded_files
from odibi_nb.core.text.bounded_files import read_bounded
from odibi_nb.errors import OdibiError
from odibi_nb.settings import load_settings
from odibi_nb.sources.file_registry import FileRegistry
from odibi_nb.sources.files import read_plain_rows, read_rows


def of_size(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    return path


READERS = {
    "odibi.toml": ("MAX_SETTINGS", lambda path: load_settings(path.parent, {})),
    "pyproject.toml": ("MAX_SETTINGS", lambda path: load_settings(path.parent, {})),
    "manifest.json": ("MAX_MANIFEST", ProjectManifest.from_json),
    "rows.json": ("MAX_REGISTRY", read_rows),
    "plain.json": ("MAX_REGISTRY", read_plain_rows),
    "rows.csv": ("MAX_REGISTRY", read_rows),
    "rows.toml": ("MAX_TOML_REGISTRY", read_rows),
    "registry.json": (
        "MAX_REGISTRY",
        lambda path: FileRegistry(path.parent, path.name, path.parent / "state").fetch("P", "qat"),
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_too_large(name, tmp_path):
    """One message names the file, its size, the most, and the remedy."""
    limit, read = READERS[name]
    most = getattr(bounded_files, limit)
    path = of_size(tmp_path / name, most + 50_000)
    with pytest.raises(OdibiError) as wrong:
        read(path)
    message = str(wrong.value)
    assert name in message
    assert f"MB, more than {most / 1e6:,.0f} MB: keep " in message
    assert len(message) < 500


def test_a_file_of_the_most_bytes_is_read(tmp_path):
    """The limit itself is allowed."""
    assert len(read_bounded(of_size(tmp_path / "file", 1000), 1000, "")) == 1000


def test_a_large_registry_is_read(tmp_path):
    """A registry of 20,000 rows is far below the limit."""
    rows = [{**row(f"R{i}"), "description": "x" * 200} for i in range(20_000)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    assert path.stat().st_size < bounded_files.MAX_REGISTRY / 4
    assert len(read_rows(path)) == 20_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_bounded_too(tmp_path):
    """A pipe has no size, so its content is counted."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write():
        with pipe.open("wb", buffering=0) as file:
            file.write(b"x" * 1001)

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(ValueError, match="more than"):
        read_bounded(pipe, 1000, "keep less")
    writer.join()
