"""Split a magic's line into words, and fill in the caller's variables word by word."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_MAGIC_CALLS = frozenset({"run_line_magic", "run_cell_magic", "magic"})
_DOLLAR = re.compile(r"\$(\$?)([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_REST = re.compile(r"[;\s]*(#.*)?", re.DOTALL)
_CONVERSION = re.compile(r"(.*)!([rsa])\s*", re.DOTALL)
_NUMBER = re.compile(r"-(\d+|\d*\.\d+)")
_CONVERSIONS: dict[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}
_BRACES = "; write '{{' and '}}' for literal braces"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerNames:
    """Names that an expression in a magic's line can use.

    Attributes:
        local: local variables of the caller and of the running functions that enclose it.
        shared: the notebook's globals, overridden by the globals of the caller's module.
        partial: True if the caller is a nested function and an enclosing function has returned. The
            variables of that function cannot be read, and a global of the same name is not it.
    """

    local: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False

    def evaluate(self, expression: str, tree: ast.Expression) -> Any:
        """Return the value of *tree*, which the user wrote as *expression*.

        Raises:
            ValueError: if the expression cannot be evaluated, or a name is ambiguous.
        """
        for name in (node.id for node in ast.walk(tree) if isinstance(node, ast.Name)):
            if self.partial and name not in self.local and name in self.shared:
                raise ValueError(
                    f"{expression} in a nested function: {name!r} may be a variable of the function "
                    f"around it, or the notebook's. Assign it to a variable of this function first"
                )
        try:
            code = compile(tree, "<%odibi>", "eval")
            return eval(code, {**self.shared, **self.local})  # noqa: S307  the user's own expression
        except NameError as exc:
            known = [*self.local, *(name for name in self.shared if not name.startswith("_"))]
            hint = did_you_mean(str(exc.name), known) if exc.name else ""
            raise ValueError(f"{expression}: {exc}{hint}") from None
        except Exception as exc:  # noqa: BLE001  whatever the user's expression raises
            raise ValueError(f"{expression} raised {type(exc).__name__}: {exc}") from None


def names_of_caller(shell: Any) -> CallerNames:
    """Return the names that are visible to the code that called a magic of *shell*.

    IPython passes only the notebook's globals to a cell magic. So this finds the calling frame.
    """
    user_ns, frame = shell.user_ns, _caller(shell)
    if frame is None or frame.f_locals is user_ns:
        return CallerNames(shared=user_ns)
    shared = {**user_ns, **frame.f_globals}
    if frame.f_locals is frame.f_globals:
        return CallerNames(shared=shared)
    local, partial = dict(frame.f_locals), False
    while frame.f_code.co_flags & inspect.CO_NESTED:
        around = _function_around(frame)
        if around is None:
            partial = True
            break
        frame = around
        local = {**frame.f_locals, **local}
    return CallerNames(local=local, shared=shared, partial=partial)


def _caller(shell: Any) -> FrameType | None:
    """Return the frame that called the magic; None if its method was called directly."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  as IPython does
    while frame is not None and not _calls_magic(frame, shell):
        frame = frame.f_back
    while frame is not None and _calls_magic(frame, shell):
        frame = frame.f_back
    return frame


def _calls_magic(frame: FrameType, shell: Any) -> bool:
    return frame.f_code.co_name in _MAGIC_CALLS and frame.f_locals.get("self") is shell


def _function_around(frame: FrameType) -> FrameType | None:
    """Return the running call of the function that encloses *frame*'s code."""
    code, outer = frame.f_code, frame.f_back
    while outer is not None and not any(const is code for const in outer.f_code.co_consts):
        outer = outer.f_back
    return outer


def split_words(line: str, names: CallerNames) -> list[str]:
    """Split *line* as a shell does, and fill in ``{expression}`` and ``$name`` as IPython does.

    A value never adds a word. Strings in JSON objects are filled in, too. ``{{`` and ``}}`` are literal
    braces, and ``$$`` is a literal dollar. A comment and a ``;`` at the end are ignored. A backslash
    escapes a quote, a space or a backslash. Elsewhere it is literal, as in Windows paths.

    Raises:
        ValueError: if a quotation or brace is not closed, an expression fails, or a value would
            become an option.
    """
    return _Splitter(line, names).words()


class _Splitter:
    """A reader of *line* from left to right."""

    def __init__(self, line: str, names: CallerNames) -> None:
        self.line, self.names, self.at = line, names, 0

    def words(self) -> list[str]:
        found: list[str] = []
        while True:
            while self._next().isspace():
                self.at += 1
            if self._ended() or self._next() == "#":
                return found
            found.append(self._word(after_dashes="--" in found))

    def _next(self, length: int = 1) -> str:
        return self.line[self.at : self.at + length]

    def _ended(self) -> bool:
        """Return True if only ``;`` and a comment follow, or nothing."""
        if self._next() == ";":
            return _REST.fullmatch(self.line, self.at) is not None
        return self.at >= len(self.line)

    def _word(self, *, after_dashes: bool) -> str:
        parts: list[str] = []
        quote, filled = "", False
        first = self.at
        if re.match(r"\\\\\w", self.line[self.at :]):  # \\server\share
            parts.append(self._take(2))
        while quote or not (self._ended() or self._next().isspace()):
            char = self._next()
            if not char:
                raise ValueError("No closing quotation")
            if char in "'\"" and quote in ("", char):
                quote = "" if quote else char
                self.at += 1
                continue
            filled = filled or (not any(parts) and char in "{$")
            parts.append(self._part(char, quote))
        word = "".join(parts)
        is_option = word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word)
        if filled and is_option and not after_dashes:
            raise ValueError(
                f"{self.line[first : self.at]} is {word!r}, and the value of a variable cannot be an "
                "option: write the option in the line, or --option={…} for a value that begins with a dash"
            )
        return word

    def _take(self, length: int) -> str:
        taken = self._next(length)
        self.at += length
        return taken

    def _part(self, char: str, quote: str) -> str:
        if self._next(2) in ("{{", "}}"):
            return self._take(2)[0]
        if char == "{":
            return self._braced(quote)
        if char == "}":
            raise ValueError(f"'}}' without '{{'{_BRACES}")
        dollar = None if quote == "'" else _DOLLAR.match(self.line, self.at)
        if dollar:
            self.at = dollar.end()
            return self._dollar(dollar)
        if char == "\\" and quote != "'":
            escaped = self._next(2)[1:]
            if escaped in {"\\", '"'} or (not quote and escaped in {"'", " "}):
                return self._take(2)[1]
        return self._take(1)

    def _dollar(self, found: re.Match[str]) -> str:
        if found[1]:
            return f"${found[2]}"
        return str(self.names.evaluate(found[0], ast.parse(found[2], mode="eval")))

    def _braced(self, quote: str) -> str:
        """Read from ``{`` to the matching ``}``, and return the text that replaces it."""
        text, depth, inner, start = "", 0, "", self.at
        while True:
            char = self._take(1)
            if not char:
                raise ValueError(f"'{{' is not closed: {self.line[start:]}{_BRACES}")
            if char == "\\" and (inner or quote == '"'):
                following = self._take(1)
                if quote == '"' and following == '"':  # "{\"a\": 1}" as in a shell
                    char = following
                else:
                    text += char + following
                    continue
            if char in "'\"" and inner in ("", char):
                inner = "" if inner else char
            elif not inner:
                depth += (char == "{") - (char == "}")
            text += char
            if not depth:
                return self._filled(text)

    def _filled(self, text: str) -> str:
        """Return the replacement of ``{…}``: a value, or a JSON object with its values filled in."""
        inside = text[1:-1].strip()
        if not inside:
            return text
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            filled = self._in_json(given)
            return text if filled == given else json.dumps(filled, ensure_ascii=False)
        conversion = _CONVERSION.fullmatch(inside)
        if conversion:
            inside = conversion[1].strip()
        try:
            if isinstance(ast.parse(text, mode="eval").body, ast.Dict) and not conversion:
                return text  # a Python dict: the command reports the format that it expects
        except (SyntaxError, ValueError, RecursionError):
            pass
        try:
            tree = ast.parse(inside, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError(f"{text} is neither a Python expression nor JSON{_BRACES}") from None
        value = self.names.evaluate(text, tree)
        return _CONVERSIONS[conversion[2]](value) if conversion else str(value)

    def _in_json(self, value: Any) -> Any:
        """Fill in the strings of a JSON value. Values cannot change the structure of the JSON."""
        if isinstance(value, str):
            return _Splitter(value, self.names).text()
        if isinstance(value, list):
            return [self._in_json(one) for one in value]
        if isinstance(value, Mapping):
            return {self._in_json(key): self._in_json(one) for key, one in value.items()}
        return value

    def text(self) -> str:
        """Return the whole line as one filled-in text."""
        parts = []
        while self.at < len(self.line):
            char = self._next()
            parts.append(self._take(1) if char == "\\" else self._part(char, '"'))
        return "".join(parts)


def literal(text: str) -> str:
    """Return *text* with its braces and dollars escaped, for double quotes in a magic's line."""
    return re.sub(r"\$(?=[A-Za-z_])", "$$", _doubled(text))


def quoted(text: str) -> str:
    """Return *text* as one word of a magic's line, quoted as `shlex.quote` does."""
    return shlex.quote(_doubled(text))


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
