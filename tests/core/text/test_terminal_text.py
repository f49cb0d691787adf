"""Text that a terminal got, as readable lines."""

from __future__ import annotations

from odibi_nb.core.text.terminal_text import readable


def test_of_an_overwritten_line_the_last_state_stays():
    """A progress bar that overwrites its line with carriage returns is one line: its last state."""
    assert readable("start\n10%\r50%\r\x1b[32m100%\x1b[0m\r\nend") == "start\n100%\nend"
