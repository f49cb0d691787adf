"""Options of a run: their forms, and the problems of values that have no such form."""

from __future__ import annotations

import pytest

from odibi_nb.core.model.options import RunOptions
from odibi_nb.errors import ConfigurationError


def test_a_wrong_value_of_an_option_is_a_problem_with_the_expected_form():
    """All wrong options are reported together: the name, the expected form and the found value."""
    with pytest.raises(ConfigurationError) as excinfo:
        RunOptions.from_keywords(
            {"job": 3, "stale": "yes", "select": [1], "max_workers": True, "retries": 1}
        )
    assert [str(problem) for problem in excinfo.value.problems] == [
        "unknown option 'retries' (did you mean 'retry'?)",
        "select: expected text or a list of text, found [1]",
        "max_workers: expected a whole number of at least 1, found True",
        "stale: expected True or False, found 'yes'",
        "job: expected text, found 3",
    ]
