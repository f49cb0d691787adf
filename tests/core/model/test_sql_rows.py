"""The text of a SQL row, from its constants or its file."""

from __future__ import annotations

import pytest

from odibi_nb.core.model.sql_rows import text_of
from odibi_nb.errors import DataError


def test_a_file_of_a_windows_editor_is_read(tmp_path):
    """A byte order mark at the beginning of a file is not part of the query."""
    (tmp_path / "s.sql").write_text("SELECT 1", encoding="utf-8-sig")
    assert text_of({"file": "s.sql"}, tmp_path) == "SELECT 1"


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"file": "binary.sql"}, "binary.sql: is not UTF-8 text"),
        ({"file": "large.sql"}, "large.sql: has more than 200,000 characters"),
        ({"file": "long.sql"}, "'long.sql' has more than 200,000 characters"),
        ({"sql": f"SELECT '{'a' * 200_000}'"}, "'sql' has more than 200,000 characters"),
        ({"file": "folder.sql"}, "no file 'folder.sql'"),
        ({"file": "loop.sql"}, "loop.sql"),
        ({"file": f"{'a' * 300}.sql"}, "a.sql"),  # longer than names of file systems
    ],
)
def test_a_query_that_cannot_be_read_is_one_message(tmp_path, constants, message):
    """A file that is no text, no file or too long is refused before anything parses it."""
    (tmp_path / "binary.sql").write_bytes(b"SELECT '\xff'")
    (tmp_path / "large.sql").write_bytes(b"-" * 800_001)
    (tmp_path / "long.sql").write_bytes(b"-" * 200_001)
    (tmp_path / "folder.sql").mkdir()
    (tmp_path / "loop.sql").symlink_to("loop.sql")
    with pytest.raises(DataError) as excinfo:
        text_of(constants, tmp_path)
    assert message in str(excinfo.value)
    assert "\n" not in str(excinfo.value)
