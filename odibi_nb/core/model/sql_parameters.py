"""Bind the ``:name`` parameters of a SQL row.

The text of a value never becomes part of the text of a query. Each value becomes one literal of its type,
and the result must parse to the same tree as the query with its parameters. A value with quotes,
backslashes or ``${…}`` therefore stays a value.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.query_tables import parse, tokens_of
from odibi_nb.core.text.redaction import plain_text, shown
from odibi_nb.core.text.sql_text import literal
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_OURS = "odibi_parameter_"
_SIGN = re.compile(r"[:?$@%]")
"""Characters that begin a parameter in some dialect."""
_COLON = re.compile(r"(?<!:):(?!:)(?=[\w$])")
_WORD = re.compile(r"[^\W\d]\w*")
_NEVER_PLAIN = re.compile(r"['\\$\x00-\x1f\x7f]")
"""Characters that Spark reads differently by its settings, in texts that become hexadecimal."""
_NONE_OF_IT = "(SELECT NULL WHERE 1 = 0)"
"""Result for an empty list: IN is false then, and NOT IN is true."""


class _Place(NamedTuple):
    """One ``:name`` in a query: where it starts and ends, and its name."""

    start: int
    end: int
    name: str


class _Moved(NamedTuple):
    """The end of a replaced parameter in the new text, and the growth of the text up to that end."""

    end: int
    longer: int


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A query whose parameters have values.

    Attributes:
        text: the query with a literal for each parameter; the query as written if it has problems.
        problems: reasons why the query cannot be used.
        moved: the literals in `text`.
    """

    text: str
    problems: tuple[str, ...] = ()
    moved: tuple[_Moved, ...] = ()

    def original(self, offset: int) -> int:
        """Convert an *offset* in `text`, outside of literals, to the offset in the query as written."""
        return offset - next((m.longer for m in reversed(self.moved) if m.end <= offset), 0)


def for_sqlalchemy(sql: str, dialect: str) -> str:
    """Return *sql* in the notation of SQLAlchemy's ``text``, with parameters only where SQL has them.

    SQLAlchemy takes ``:name`` for a parameter in strings, too, such as ``:1`` in ``'{"a":1}'``, and not
    before ``::``. A backslash before a colon makes it a plain one. A parameter without a value stays one,
    so that SQLAlchemy names it. Text that sqlglot cannot read is returned as it is.
    """
    tokens = tokens_of(sql, dialect)
    if tokens is None:
        return sql
    ends = {
        colon.end: name.end + 1
        for colon, name in pairwise(tokens)
        if colon.text == ":" and name.start == colon.end + 1 and _WORD.fullmatch(name.text)
    }
    parts, last = [], 0
    for found in _COLON.finditer(sql):
        start = found.start()
        if start not in ends:
            parts += [sql[last:start], "\\"]
            last = start
        elif sql.startswith("::", ends[start]):
            parts += [sql[last : ends[start]], " "]
            last = ends[start]
    return "".join([*parts, sql[last:]])


def place_in(sql: str, offset: int) -> str:
    """Return line and column, both from 1, of an *offset* in *sql*."""
    line = sql.count("\n", 0, offset) + 1
    return f"line {line}, column {offset - sql.rfind(chr(10), 0, offset)}"


def bind(sql: str, values: Mapping[str, Any], dialect: str) -> BoundQuery:
    """Replace each ``:name`` in *sql* by its value in *values*.

    Args:
        sql: a query.
        values: the values by name.
        dialect: sqlglot's name of the SQL dialect.
    """
    if not values and not _SIGN.search(sql) and len(parse(sql, dialect)[0] or ()) == 1:
        return BoundQuery(sql)
    tokens = tokens_of(sql, dialect)
    if tokens is None:
        return BoundQuery(sql, ("cannot be read as SQL: a quote or a comment does not end",))
    return _Binding(sql, values, dialect, _places(tokens)).bound()


class _Binding:
    """One query, and the *places* in it that look like parameters."""

    def __init__(
        self, sql: str, values: Mapping[str, Any], dialect: str, places: Sequence[_Place]
    ) -> None:
        self.sql, self.values, self.dialect, self.places = sql, values, dialect, places
        mark = "$" if dialect == "duckdb" else ":"  # sqlglot reads DuckDB's "SELECT :x" as an alias
        self.marks = {place: f"{mark}{_OURS}{i}" for i, place in enumerate(places)}

    def bound(self) -> BoundQuery:
        """Return the query with literals, or with its problems."""
        marked = self._replaced(self.marks)
        tree, problem = _parsed(marked.text, self.dialect)
        if tree is None:
            return BoundQuery(self.sql, (self._in_original(problem, marked),))
        nodes = [(self._place_of(node), node) for node in _placeholders(tree)]
        found = {place for place, _ in nodes if place is not None}
        problems = [*self._misnamed(nodes), *self._unusable(found), *self._misplaced(nodes)]
        if problems:
            return BoundQuery(self.sql, tuple(problems))
        if not found:
            return BoundQuery(self.sql)
        bound = self._replaced({place: self._literal(place) for place in found})
        if found != set(self.places):  # such as a field of JSON that is spelled like a parameter
            marked = self._replaced({place: self.marks[place] for place in found})
            tree, _ = _parsed(marked.text, self.dialect)
        if not self._same(tree, bound.text):
            names = ", ".join(sorted({f":{place.name}" for place in found}))
            message = f"{names}: a parameter is not allowed at this place in a query"
            return BoundQuery(self.sql, (message,))
        return bound

    def _replaced(self, texts: Mapping[_Place, str]) -> BoundQuery:
        """Return the query with *texts* in their places."""
        parts, moved, last, longer = [], [], 0, 0
        for place in sorted(texts):
            parts += [self.sql[last : place.start], texts[place]]
            longer += len(texts[place]) - (place.end - place.start)
            moved.append(_Moved(place.end + longer, longer))
            last = place.end
        return BoundQuery("".join([*parts, self.sql[last:]]), moved=tuple(moved))

    def _in_original(self, problem: _ParseProblem, marked: BoundQuery) -> str:
        """Return the message of a parse error, with the place and the words of the query as written."""
        if problem.offset is None:
            return problem.message
        words = {mark: f":{place.name}" for place, mark in self.marks.items()}
        offset = marked.original(problem.offset)
        near = words.get(problem.near, problem.near)
        return f"{place_in(self.sql, offset)}: {problem.message} {near!r}"

    def _place_of(self, node: Any) -> _Place | None:
        number = node.name.partition(_OURS)[2]
        return self.places[int(number)] if number else None

    def _misnamed(self, nodes: Sequence[tuple[_Place | None, Any]]) -> Iterator[str]:
        """Yield the parameters without a value, and the values without a parameter."""
        used = {place.name for place, _ in nodes if place is not None}
        unknown = used - self.values.keys()
        for place in sorted({place for place, _ in nodes if place and place.name in unknown}):
            hint = did_you_mean(place.name, self.values) or ": no constant has this name"
            yield f"{place_in(self.sql, place.start)}: unknown parameter :{place.name}{hint}"
        if any(place is None for place, _ in nodes):
            yield "a parameter must have a name, such as :since: ? and :1 have none"
        for name in self.values:
            if name not in used and not did_you_mean(name, unknown):
                yield f"constant {name!r} is not used: the query has no :{name}"

    def _unusable(self, found: Collection[_Place]) -> Iterator[str]:
        """Yield the values that no literal can hold."""
        for name in sorted({place.name for place in found} & self.values.keys()):
            wrong = next((w for v in _each(self.values[name]) if (w := _why_no_literal(v))), "")
            if wrong:
                yield f"parameter :{name} {wrong}"

    def _misplaced(self, nodes: Sequence[tuple[_Place | None, Any]]) -> Iterator[str]:
        """Yield the lists that do not follow IN."""
        import sqlglot.expressions as sx

        for place, node in nodes:
            if place is None or not isinstance(self.values.get(place.name), (list, tuple)):
                continue
            if not isinstance(node.parent, sx.In) or node is node.parent.this:
                where = place_in(self.sql, place.start)
                yield f"{where}: parameter :{place.name} is a list, which may only follow IN"

    def _literal(self, place: _Place) -> str:
        """Return the text of a parameter's value. A list has brackets unless the query has them."""
        value = self.values[place.name]
        if not isinstance(value, (list, tuple)):
            return literal_of(value, self.dialect)
        before, after = self.sql[: place.start].rstrip(), self.sql[place.end :].lstrip()
        if not value:
            alone = before.endswith("(") and after.startswith(")")
            return _NONE_OF_IT[1:-1] if alone else _NONE_OF_IT
        items = ", ".join(literal_of(item, self.dialect) for item in value)
        return items if before.endswith(("(", ",")) else f"({items})"

    def _same(self, tree: Any, text: str) -> bool:
        """Return True if *text* parses to *tree*, with literals instead of parameters."""
        others, _ = parse(text, self.dialect)  # the checks of the query need this tree, too
        for node in [*_placeholders(tree)]:
            place = self._place_of(node)
            if place is not None:
                self._put(node, self.values[place.name])
        return others is not None and bool([tree] == others)

    def _put(self, node: Any, value: Any) -> None:
        """Replace a parameter in a tree by the tree of its literal."""
        if not isinstance(value, (list, tuple)):
            node.replace(self._expression(literal_of(value, self.dialect)))
            return
        parent = node.parent
        if not value and len(parent.expressions) <= 1:
            made = self._expression(f"1 IN {_NONE_OF_IT}")
            parent.set("query", made.args["query"])
            parent.set("expressions", None)
        else:
            items = [self._expression(literal_of(item, self.dialect)) for item in value]
            listed = parent.expressions or [node]
            at = next(i for i, item in enumerate(listed) if item is node)
            parent.set("expressions", [*listed[:at], *items, *listed[at + 1 :]])
        parent.set("field", None)

    def _expression(self, text: str) -> Any:
        import sqlglot

        return sqlglot.parse_one(f"SELECT {text}", dialect=self.dialect).expressions[0]


def _placeholders(tree: Any) -> Iterator[Any]:
    import sqlglot.expressions as sx

    inside = [*tree.find_all(sx.Placeholder, sx.Parameter)]
    yield from (node for node in inside if not isinstance(node.parent, sx.Parameter))


def _places(tokens: Sequence[Any]) -> list[_Place]:
    """Return each ``:name`` of the query that may be a parameter.

    A colon that follows an operand is not a parameter: ``{'a':b}``, ``list[1:n]``, ``column:field``.
    """
    from sqlglot import TokenType as T

    operands = {T.STRING, T.NUMBER, T.IDENTIFIER, T.VAR, T.R_PAREN, T.R_BRACKET, T.R_BRACE, T.DOT}
    places = []
    for i, (colon, name) in enumerate(pairwise(tokens)):
        adjacent = colon.token_type is T.COLON and name.start == colon.end + 1
        if not adjacent or not _WORD.fullmatch(name.text) or name.token_type is T.IDENTIFIER:
            continue
        before = tokens[i - 1] if i else None
        if before is not None and (
            before.token_type in operands
            or (before.end + 1 == colon.start and _WORD.fullmatch(before.text))
            or (before.token_type is T.L_BRACKET and i > 1 and tokens[i - 2].token_type in operands)
        ):
            continue
        places.append(_Place(colon.start, name.end + 1, name.text))
    return places


class _ParseProblem(NamedTuple):
    """The reason why a query cannot be parsed; *near* is the text at *offset*."""

    message: str
    offset: int | None = None
    near: str = ""


def _parsed(sql: str, dialect: str) -> tuple[Any, _ParseProblem]:
    """Return the tree of the one statement in *sql*, or None and the reason."""
    import sqlglot

    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=dialect) if tree is not None]
    except RecursionError:
        return None, _ParseProblem("is nested too deeply")
    except Exception as exc:  # noqa: BLE001  a parser of untrusted text may raise anything
        errors = getattr(exc, "errors", None)
        if not errors:
            return None, _ParseProblem(f"cannot be parsed: {' '.join(str(exc).split())[:120]}")
        before, near, after = (
            errors[0][part] or "" for part in ("start_context", "highlight", "end_context")
        )
        # The parser's column is wrong behind a "$". So the text around the error gives the place.
        offset = sql.find(f"{before}{near}{after}") + len(before)
        return None, _ParseProblem("syntax error near", offset, near)
    if len(trees) != 1:
        return None, _ParseProblem("must be one SELECT")
    return trees[0], _ParseProblem("")


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _why_no_literal(value: Any) -> str:
    """Return the reason why *value* cannot be a parameter; "" if it can."""
    if isinstance(value, str) and ("\0" in value or value != plain_text(value)):
        return "has a NUL character or half a surrogate pair, which SQL text cannot have"
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, found {value}"
    if not isinstance(value, (str, bool, int, float, Decimal, dt.date, type(None))):
        expected = "text, a number, true, false, null, a date, or a list of these"
        return f"must be {expected}, found {shown(value)}"
    return ""


def literal_of(value: Any, dialect: str) -> str:
    """Return *value* as one literal of its type, in brackets if it begins with a sign."""
    if value is None or isinstance(value, bool):
        return "NULL" if value is None else str(value).upper()
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, dt.date):
        return _time(value, dialect)
    if dialect == "duckdb" or not _NEVER_PLAIN.search(value):
        return literal(value)
    # Spark reads backslashes by a setting, and replaces ${…} even inside of a literal.
    return f"CAST(X'{value.encode().hex().upper()}' AS STRING)"


def _time(value: dt.date, dialect: str) -> str:
    if isinstance(value, dt.datetime):
        kind = "TIMESTAMPTZ" if value.tzinfo is not None and dialect == "duckdb" else "TIMESTAMP"
        return f"CAST({literal(value.isoformat(' '))} AS {kind})"
    return f"CAST({literal(value.isoformat())} AS DATE)"


def _number(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        text = text if "e" in text else f"{text}e0"  # without an exponent it would be a DECIMAL
    else:
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return f"({text})" if text.startswith("-") else text  # 1-:x must not become a comment
