"""JSON in, Structs out: every problem at once, each with its place."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from odibi_nb.core.text.structs import decode_struct


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    size: int = 1


class Whole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    kind: Literal["big", "small"] = "big"
    main: Part | None = None
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = msgspec.field(default_factory=dict)
    text_or_part: str | Part = ""


def said(problems):
    return [str(problem) for problem in problems]


def test_everything_wrong_is_said_at_once():
    """Unknown and missing fields and wrong types, at every depth, each with its JSON path."""
    raw = {
        "titel": "x",
        "main": {"name": 5},
        "parts": [{"name": "a"}, {"nam": "b"}, 7],
        "by_name": {"x": {"name": "x", "size": "large"}},
    }
    _, problems = decode_struct(raw, Whole)
    assert said(problems) == [
        "unknown field 'titel' (did you mean 'title'?) - at $.titel",
        "required field 'title' is missing - at $",
        "expected `str`, got `int`, found 5 - at $.main.name",
        "unknown field 'nam' (did you mean 'name'?) - at $.parts[1].nam",
        "required field 'name' is missing - at $.parts[1]",
        "expected an object, found 7 - at $.parts[2]",
        "expected `int`, got `str`, found 'large' - at $.by_name.x.size",
    ]


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        ("bigg", "expected 'big' or 'small', found 'bigg' (did you mean 'big'?)"),
        ("BIG", "expected 'big' or 'small', found 'BIG' (did you mean 'big'?)"),
        ("medium", "expected 'big' or 'small', found 'medium'"),
        (3, "expected 'big' or 'small', found 3"),
    ],
)
def test_a_value_of_a_closed_set_names_the_set(found, hint):
    """If only a few words are possible, the problem lists them and suggests one."""
    _, problems = decode_struct({"title": "t", "kind": found}, Whole)
    assert said(problems) == [f"{hint} - at $.kind"]


def test_null_is_the_default():
    """A JSON null stands for the field's default; a required field that is null is missing."""
    whole, problems = decode_struct({"title": "t", "main": None, "kind": None}, Whole)
    assert problems == []
    assert whole == Whole(title="t")
    _, problems = decode_struct({"title": None}, Whole)
    assert said(problems) == ["required field 'title' is missing - at $"]


def test_a_union_takes_text_or_an_object():
    """If a field takes text or an object, both are checked."""
    whole, _ = decode_struct({"title": "t", "text_or_part": "x"}, Whole)
    assert whole.text_or_part == "x"
    whole, _ = decode_struct({"title": "t", "text_or_part": {"name": "x"}}, Whole)
    assert whole.text_or_part == Part(name="x")
    _, problems = decode_struct({"title": "t", "text_or_part": {"nmae": "x"}}, Whole)
    assert "did you mean 'name'?" in str(problems[0])


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A struct with a rule about two of its fields."""

    low: int
    high: int

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("Low is above high")


def test_a_rule_about_several_fields_is_a_problem_of_their_object():
    """A struct's own rule is reported at the struct, after its fields are fine one by one."""
    assert decode_struct({"low": 1, "high": 2}, Span)[0] == Span(low=1, high=2)
    _, problems = decode_struct({"low": 3, "high": 2}, Span)
    assert said(problems) == ["low is above high - at $"]


def test_what_is_found_is_shown_short_and_without_secrets():
    """A value in a problem is cut short, and shows no password."""
    _, problems = decode_struct({"title": ["x" * 500]}, Whole)
    assert len(str(problems[0])) < 150
    _, problems = decode_struct({"title": ["postgresql://u:hunter2@h/db"]}, Whole)
    assert "hunter2" not in str(problems[0])
    assert "postgresql://u:***@h/db" in str(problems[0])
    _, problems = decode_struct({"title": {"password": "hunter2"}}, Whole)
    assert "hunter2" not in str(problems[0])
