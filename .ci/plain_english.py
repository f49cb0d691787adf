"""List places whose English a reader must read twice. The rules are in CONTRIBUTING.md, "Plain English".

usage: python .ci/plain_english.py FILE...

Checks docstrings and comments of Python files, and the text of Markdown files outside code blocks. Exits
with 1 if it finds a place. A line that needs a form, because it quotes one, ends in "plain: ok".
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALLOWED = "plain: ok"
OPENING = re.compile(r"(What|Whether|How|Which|Whatever|So that|Where)\b(?! to\b)")
FORMS = {
    "name the actor": re.compile(
        r"\b(nobody|somebody|whoever|anybody|everybody|whom)\b", re.IGNORECASE
    ),
    "name the thing": re.compile(r"\b(those that|of what|of one that|that which)\b", re.IGNORECASE),
    "use a plain word": re.compile(
        r"\b(anew|likewise|all the same|in vain|thereby|thereof)\b", re.IGNORECASE
    ),
    "write singular or plural": re.compile(r"\w\(s\)"),
}


class Text(NamedTuple):
    """A piece of text for people: its first line, and whether it is a docstring."""

    line: int
    words: str
    docstring: bool = False


def texts_of(path: Path) -> Iterator[Text]:
    """Yield the docstrings and comments of a Python file, or the lines of a Markdown file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from _prose(source)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            words = ast.get_docstring(node, clean=False)
            if words is not None:
                yield Text(node.body[0].lineno, words, docstring=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string)


def _prose(source: str) -> Iterator[Text]:
    in_code = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield Text(number, re.sub(r"`[^`]*`", "", line))


def places(path: Path) -> Iterator[str]:
    """Yield a line for each place of *path* to rewrite."""
    for text in texts_of(path):
        if text.docstring and OPENING.match(text.words.lstrip()):
            first = text.words.strip().splitlines()[0]
            yield f"{path}:{text.line}: begin with a verb or a noun: {first}"
        for i, line in enumerate(text.words.splitlines()):
            if ALLOWED in line:
                continue
            for advice, form in FORMS.items():
                for found in form.finditer(line):
                    yield f"{path}:{text.line + i}: {advice}, not {found[0]!r}: {line.strip()}"


def main(arguments: Sequence[str]) -> int:
    """Print the places of all files, and return 1 if there are any."""
    found = [line for name in arguments for line in places(Path(name))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
