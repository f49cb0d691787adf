"""What the tests in other environments counted is said at the end."""

from __future__ import annotations


def pytest_terminal_summary(terminalreporter):
    """One line for each environment: a run that is spread over processes shows no test's output."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == "environment":
                terminalreporter.write_line(line)
