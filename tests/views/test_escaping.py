"""Text of rows, functions and databases cannot control a terminal or a page."""

from __future__ import annotations

import pytest
from fakes import row

from odibi_nb.views.escaping import escape
from odibi_nb.views.plan.plan_html import plan_html
from odibi_nb.views.run.bundles import result_bundle

STEERS = "\x1b[2J\x1b]0;owned\x07\x9b31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m<b>\x1b[0m", "&lt;b&gt;"),
        ("a\x07b", "a\\x07b"),
        ("right\u202eto left", "right\\u202eto left"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("größe 日本 🚀", "größe 日本 🚀"),
    ],
)
def test_text_in_html(text, shown):
    """Markup is escaped, colours are left out, and other control characters are spelled out."""
    assert escape(text) == shown


def test_ids_and_logs_that_steer_a_terminal(project, capsys):
    """Neither the console nor HTML contains a control character of an id, a log or an error."""

    def fn():
        print(f"printed {STEERS}")
        raise ValueError(f"raised {STEERS}")

    made = project(row(f"A{STEERS}", fn, constants={"retry": 0}, layer="Gold_1"))
    plan = made.orchestrator().plan()
    result = made.run(log_level="INFO")
    (failed,) = result.transformations.values()
    texts = [plan_html(plan), result_bundle(result)["text/html"], *capsys.readouterr(), failed.log]
    texts += [failed.traceback, failed.error_message]
    for text in texts:
        assert not {"\x1b", "\x07", "\x9b"} & {*text}
    assert "printed" in failed.log
    assert "raised" in failed.error_message
