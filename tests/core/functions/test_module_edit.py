"""A cell's function in its module: only what differs changes, and a doubtful write is refused before it happens."""

from __future__ import annotations

import importlib.util
import os
import textwrap

import pytest

from odibi_nb.core.functions.module_edit import CHANGED, edit_of, write_edit
from odibi_nb.core.functions.source import source_of, with_helpers
from odibi_nb.errors import ConfigurationError

MODULE = """# first line
import functools

LIMIT = 3


@functools.lru_cache
def work(x):
    return x["ghi"]


def helper(x):  # as it is   \n    return x
"""
FIXED = '@functools.lru_cache\ndef work(x):\n    return x["ghi_w_m2"]\n'


def source_in(file, name="work"):
    """The function *name* of a file, imported from it."""
    spec = importlib.util.spec_from_file_location(file.stem.replace(" ", "_"), file)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return source_of(getattr(loaded, name))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "silver.py"
    path.write_bytes(MODULE.encode())
    return path


def refusal(edit, folder):
    with pytest.raises(ConfigurationError) as excinfo:
        write_edit(edit, folder)
    return str(excinfo.value)


def test_only_the_lines_that_differ_change(file, tmp_path):
    """Comments, spaces and the other functions stay byte for byte, and no temporary file stays."""
    write_edit(edit_of(source_in(file), FIXED, "work"), tmp_path)
    assert file.read_text() == MODULE.replace('"ghi"', '"ghi_w_m2"')
    assert [path.name for path in tmp_path.glob("*silver*")] == ["silver.py"]


@pytest.mark.parametrize(
    ("newline", "encoding", "head"),
    [
        ("\r\n", "utf-8", ""),
        ("\r\n", "utf-8-sig", ""),
        ("\n", "latin-1", "# coding: latin-1\n# 50 °C\n"),
        ("\r", "utf-8", ""),
    ],
)
def test_newlines_encoding_and_permissions_stay(file, tmp_path, newline, encoding, head):
    """A CRLF file stays one, a byte order mark and a declared encoding stay, and so does the mode."""
    text = (head + MODULE).replace("\n", newline)
    file.write_bytes(text.encode(encoding))
    file.chmod(0o640)
    write_edit(edit_of(source_in(file), FIXED, "work"), tmp_path)
    assert file.read_bytes() == text.replace('"ghi"', '"ghi_w_m2"').encode(encoding)
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_of_mixed_newlines_keeps_each(file, tmp_path):
    """A line that stays keeps its own newline."""
    mixed = MODULE.replace("LIMIT = 3\n", "LIMIT = 3\r\n").encode()
    file.write_bytes(mixed)
    write_edit(edit_of(source_in(file), FIXED, "work"), tmp_path)
    assert file.read_bytes() == mixed.replace(b'"ghi"', b'"ghi_w_m2"')


def test_a_cell_without_decorators_leaves_the_files(file, tmp_path):
    """Decorators belong to the file: a bare `def` in the cell replaces the function alone."""
    edit = edit_of(source_in(file), 'def work(x):\n    return x["ghi_w_m2"]\n', "work")
    write_edit(edit, tmp_path)
    assert file.read_text() == MODULE.replace('"ghi"', '"ghi_w_m2"')


def test_an_indented_function_keeps_its_indentation(file, tmp_path):
    """A function in an `if` comes into the cell without its indentation and goes back with it; texts stay."""
    indented = textwrap.indent(
        'def work(x):\n    """One\n    two"""\n    return f"""a\nb {x["ghi"]}"""\n', "    "
    ).replace("    b {", "b {")
    text = f"if True:\n{indented}else:\n    def work(x):\n        return 0\n"
    file.write_text(text)
    source = source_in(file)
    cell = with_helpers(source)
    compile(cell, "cell", "exec")
    assert edit_of(source, cell, "work").diff == ""
    write_edit(edit_of(source, cell.replace("ghi", "ghi_w_m2"), "work"), tmp_path)
    assert file.read_text() == text.replace("ghi", "ghi_w_m2")


def test_of_two_functions_of_one_name_the_loaded_one_changes(file, tmp_path):
    """Python uses the last one, and so does the edit."""
    text = 'def work(x):\n    return 1\n\n\ndef work(x):\n    return x["ghi"]\n'
    file.write_text(text)
    write_edit(edit_of(source_in(file), FIXED.partition("\n")[2], "work"), tmp_path)
    assert file.read_text() == text.replace('"ghi"', '"ghi_w_m2"')


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("LIMIT = 9\n\n" + FIXED, "line 2 of the cell is not a function, class or import: LIMIT = 9"),
        (FIXED + "\n\n" + FIXED, "the cell defines work more than once"),
        ("def other(x):\n    return x\n", "the cell defines other, and the function in the file is work"),
        (FIXED + "\n\ndef helper(x):\n    return 2\n", "the file defines helper more than once"),
        (FIXED.replace("ghi_w_m2", "€"), "cannot be written as iso-8859-1"),
        ("from __future__ import annotations\n" + FIXED, "the new text cannot be written"),
    ],
)  # fmt: skip
def test_what_was_tried_and_cannot_be_put_into_the_file_is_refused(file, tmp_path, cell, reason):
    """A module that would not be what was tried is never written."""
    file.write_text(text := "# coding: latin-1\n" + MODULE + "\n\ndef helper(x):\n    return 1\n")
    name = "other" if "other" in reason else "work"
    assert reason in refusal(edit_of(source_in(file), cell, name), tmp_path)
    assert file.read_text() == text


def test_a_file_that_changed_meanwhile_is_not_written(file, tmp_path):
    """An editor saved the file after it was tried: its text stays."""
    edit = edit_of(source_in(file), FIXED, "work")
    file.write_text(MODULE + "\n# mine\n")
    assert CHANGED in refusal(edit, tmp_path)
    assert file.read_text().endswith("# mine\n")
    file.unlink()
    assert "cannot be written" in refusal(edit, tmp_path)


def test_a_file_that_changes_during_the_write_stays(file, tmp_path, monkeypatch):
    """An editor saves the file while the new text is written beside it: the editor's text stays."""
    plain = os.fsync

    def saves(number):
        file.write_text(MODULE + "\n# mine\n")
        plain(number)

    edit = edit_of(source_in(file), FIXED, "work")
    monkeypatch.setattr(os, "fsync", saves)
    assert CHANGED in refusal(edit, tmp_path)
    assert file.read_text().endswith("# mine\n")
    assert [path.name for path in tmp_path.glob("*silver*")] == ["silver.py"]


def test_a_version_that_the_file_has_is_not_written_again(file, tmp_path):
    """A cell that changes nothing is refused, so that its author sees that nothing happened."""
    edit = edit_of(source_in(file), FIXED.replace("ghi_w_m2", "ghi"), "work")
    assert "the file already has this version" in refusal(edit, tmp_path)


def test_a_read_only_file_is_not_written(file, tmp_path):
    """Not by root either, and although its folder would let it be replaced."""
    edit = edit_of(source_in(file), FIXED, "work")
    file.chmod(0o444)
    assert "the file is read-only" in refusal(edit, tmp_path)
    assert file.read_text() == MODULE


def test_only_files_of_the_project_are_written(file, tmp_path):
    """A file outside of the project's folder is refused, also through a link in it; a link inside stays one."""
    project = tmp_path / "project"
    project.mkdir()
    link = project / "linked.py"
    link.symlink_to(file)
    assert "is not in the project's folder" in refusal(
        edit_of(source_in(link), FIXED, "work"), project
    )
    assert file.read_text() == MODULE
    write_edit(edit_of(source_in(link), FIXED, "work"), tmp_path)
    assert link.is_symlink()
    assert 'x["ghi_w_m2"]' in file.read_text()


def test_a_write_that_fails_leaves_the_file(file, tmp_path, monkeypatch):
    """A full disk ends in one message, the old text and no temporary file."""

    def full(_number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    edit = edit_of(source_in(file), FIXED, "work")
    assert "No space left on device" in refusal(edit, tmp_path)
    assert file.read_text() == MODULE
    assert [path.name for path in tmp_path.glob("*silver*")] == ["silver.py"]
