"""No text takes long, whatever it is made of: it could come from a row, and would hold up a run for ever."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import time
from collections import deque

import pytest
from thorough import THOROUGH

import odibi_nb
from odibi_nb.core.text.redaction import redact_text

SIZE = 1_000_000
PIECES = [
    "a", "\\", "'", '"', "`", "\n", " ", "=", ":", "://", "://a:", "//a:", "://a:1/", "@", "a@", "/",
    "'a':", "'token': 'a", "password", "password=", "password='", "pwd ", "token: ", "'a\\", "(", "[",
    "eyJ", "eyJa.", "dapi", "bearer ", "-----BEGIN PRIVATE KEY-----", "password='''", 'pwd="""x', '\\"',
    '\\"password\\": \\"', "--password ", "token=(", ".option('password', '", "A", "0", "a1", ",", "a,",
    "a.", "+", "1+", "%", "a=", "=a", "[`", "--", "/*", "; ", "at a(", "[A", "[A.", "`a` ", "Caused by: ",
    "a.Exception: ", "Traceback (most recent call last):\n", " x\n", 'File "', "line 1 pos 1", ";line ",
    'Identifier("', "table or view ", "table or view a.", "`a`.", "== SQL ", "SQLSTATE: ", "\x1b[", "\r",
    "\x1b]0;", "0: ", "LINE 1:", "${", "$", "with name `", "select ", "é", "日", "_", "-", "|", "#", "?",
    "was called from", "Did you mean one of the following? [", "== DataFrame ==", "unresolved dependency: ",
    "(Background on this error at: ", 'version "1', "decimal(1", "\t", "a b ", "AUTH", "accountkey", "''", "/*a", '<c r="', "<c ", "<a:c r='A1'", "'a\\'", "Traceback (most recent call last):\n\n",
]  # fmt: skip


ANYWHERE = {"search", "sub", "subn", "findall", "finditer", "split"}


def patterns():
    """Every pattern of the package that is looked for anywhere in a text: {pattern: where it is written}.

    One that is only matched at one place of a text is tried at the text's beginning.
    """
    found: dict[re.Pattern, tuple[str, bool]] = {}
    for module in pkgutil.walk_packages(odibi_nb.__path__, "odibi_nb."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        source = inspect.getsource(loaded)
        named = any(isinstance(one, re.Pattern) for v in vars(loaded).values() for one in leaves(v))
        if not named and not re.search(r"\bre\.", source):  # no pattern: spare the parsing
            continue
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        methods: dict[str, set[str]] = {}
        for method in (call.func for call in calls):
            if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Name):
                methods.setdefault(method.value.id, set()).add(method.attr)
        for name, value in vars(loaded).items():
            used = methods.get(name) or ANYWHERE  # handed on: then anything may be done with it
            for one in leaves(value):
                if isinstance(one, re.Pattern):
                    anywhere = found.get(one, ("", False))[1] or bool(used & ANYWHERE)
                    found[one] = (f"{module.name}.{name}", anywhere)
        for call in calls:
            if written := in_place(call):
                found[re.compile(written)] = (f"{module.name}:{call.lineno}", True)
    return found


def leaves(value):
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):  # an EntryPoint of Python 3.10 gives itself to `for`
        return [leaf for one in tuple.__iter__(value) for leaf in leaves(one)]
    return [value]


def in_place(call):
    """The pattern of ``re.search("…", text)`` and its like."""
    of_re = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
    of_re = of_re and call.func.value.id == "re"
    written = of_re and call.func.attr in ANYWHERE and call.args and call.args[0]
    return written.value if isinstance(written, ast.Constant) else None


LIMITS = {4_000: 0.0005, 10_000: 0.003, 40_000: 0.048, 100_000: 0.3}
"""Size of a text to the seconds that a pattern may take for it."""


def seconds(fn):
    begun = time.process_time()
    fn()
    return time.process_time() - begun


def test_every_pattern_is_linear():
    """No pattern of the package takes longer than a second for a megabyte, whatever it is made of.

    Smaller texts clear nearly all patterns. If time grows with the square of the size, 0.3 s for 100 kB are
    48 ms for 40 kB, 3 ms for 10 kB and 0.5 ms for 4 kB.
    """
    texts = {size: {p: (p * (size // len(p) + 1))[:size] + "\0" for p in PIECES} for size in LIMITS}
    binary = {size: {p: t.encode() for p, t in one.items()} for size, one in texts.items()}
    slow = []
    for pattern, (where, anywhere) in patterns().items():
        of_kind = texts if isinstance(pattern.pattern, str) else binary
        for piece in PIECES:

            def apply(size, piece=piece, pattern=pattern, anywhere=anywhere, texts=of_kind):
                text = texts[size][piece]
                deque(pattern.finditer(text) if anywhere else [pattern.match(text)], maxlen=0)

            if all(seconds(lambda s=s, f=apply: f(s)) > limit for s, limit in LIMITS.items()):
                slow.append(f"{where} on {piece!r}")
                break
    assert not slow


WORST = ["'a\\", "password", "token: ", "eyJa.", "://a:1/", "password='''", "a"]


@pytest.mark.parametrize(
    ("pieces", "size"), [(PIECES, SIZE // 40), (WORST if THOROUGH else WORST[:2], SIZE)]
)
def test_redaction_is_linear(pieces, size):
    """A text is redacted in about a second for each megabyte, whatever it is made of."""
    for piece in pieces:
        text = (piece * (size // len(piece) + 1))[:size]
        assert seconds(lambda text=text: redact_text(text)) < 0.2 + 2 * size / SIZE, piece
