"""Convert terminal output to readable lines of text.

Colours, cursor movements and titles are removed. If carriage returns overwrite a line, as progress
bars do, only its last state remains. Other control characters become escapes, so that the text of a
function, a row or a database never controls the terminal that shows it.
"""

from __future__ import annotations

import re

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links
    r"|\x1b[PX^_][^\x1b\x9c\n]*(?:\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def readable(text: str) -> str:
    """Return *text*, of any number of lines, without terminal control sequences."""
    if text.isascii() and text.isprintable():
        return text
    if "\r" in text:
        text = "\n".join(last_state(line) for line in text.split("\n"))
    text = _ESCAPE_SEQUENCES.sub("", text)
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def last_state(line: str) -> str:
    """Return the last state of a line that carriage returns overwrite."""
    states = [state for state in line.rsplit("\r", 3) if state]
    if len(states) > 1 or "\r" not in line:
        return states[-1].rpartition("\r")[2] if states else ""
    return next((state for state in reversed(line.split("\r")) if state), "")
