"""Lines that the console prints, and lines that it leaves out."""

from __future__ import annotations

import threading

import pytest
from fakes import row

from odibi_nb.errors import ConfigurationError
from odibi_nb.views.run.console import ConsoleView, ThrottledConsole


def bad():
    raise OSError("the pump is off")


def test_failures_are_shown_at_the_default_level(project, capsys):
    """At WARNING, retries, failures, skipped rows, failed layers and the end of a failed run are shown."""
    p = project(
        row(
            "A",
            bad,
            constants={"retry": {"max_retries": 1, "base_delay": 0.01, "jitter": 0}},
            outputs=[{"table": "t.a"}],
        ),
        row("B", bad, inputs=["t.a"]),
    )
    p.run(log_level="WARNING", target_layers=["Silver_1"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0] == "Retry 1/1 for fake_functions.A in 0.0s | the pump is off"
    assert lines[1] == "Failed after 1 retry: fake_functions.A | OSError: the pump is off"
    assert lines[2] == "Skipped: fake_functions.B | upstream A failed"
    assert lines[3].startswith("❌ Layer Silver_1 failed in ")
    assert lines[3].endswith(": A, B")
    assert "Status: failed" in lines
    assert "Transformations: 1 failed, 1 skipped" in lines


def test_an_empty_layer_is_said(project, capsys):
    """A layer without enabled rows is a warning, and the run goes on."""
    project(row("A", lambda: None), row("B", layer="Gold_1", enabled=0)).run(log_level="WARNING")
    assert "No enabled transformations found for P (qat), layer Gold_1" in capsys.readouterr().out


def test_lines_of_rows_that_run_together_are_named(project, capsys):
    """If several rows run, a printed line has its row's id."""
    both = threading.Barrier(2)

    def says():
        both.wait(10)
        print("hello")
        both.wait(10)

    project(row("A", says), row("B", says)).run(log_level="INFO", max_workers=2)
    assert {"[A] hello", "[B] hello"} <= set(capsys.readouterr().out.splitlines())


def test_an_unknown_level_is_refused():
    """An unknown level is refused with a suggestion."""
    with pytest.raises(ConfigurationError, match="did you mean 'INFO'"):
        ConsoleView("INF")


def test_a_throttled_console_counts_what_it_leaves_out(capsys):
    """After a burst, lines are counted instead of printed. Warnings always appear."""
    now = [0.0]
    console = ThrottledConsole("INFO", burst=2, per_second=1, clock=lambda: now[0])
    for i in range(5):
        console.on_message("INFO", f"line {i}")
    console.on_message("WARNING", "beware")
    now[0] = 10.0
    console.on_message("INFO", "later")
    assert capsys.readouterr().out.splitlines() == [
        "line 0",
        "line 1",
        "… 3 lines left out: 0 of 0 ended, 0 running, 0 failed",
        "beware",
        "later",
    ]
