"""Variables in the texts of a manifest: ``${NAME}``, ``${secret:scope/key}`` and ``${param:name}``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from odibi_nb.core.process.databricks_values import find_parameter, find_secret
from odibi_nb.core.text.redaction import hide_secret
from odibi_nb.errors import Problem

_VARIABLE = re.compile(
    r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\{(?P<kind>secret|param):(?P<place>[^{}\n]{0,400})\})"
)


def expand_variables(
    raw: Any, path: str, environ: Mapping[str, str] | None = None
) -> tuple[Any, list[Problem]]:
    """Replace the variables in every string of *raw*, and return the problems, too.

    ``${NAME}`` is a variable of the process environment. ``${secret:scope/key}`` and ``${param:name}`` are a
    secret and a parameter of Databricks; messages and logs hide the secret from then on. ``$$`` becomes a
    dollar sign. A variable that has no value is a problem.

    Args:
        raw: decoded JSON.
        path: place of *raw* in its document, for problems.
        environ: environment variables; the process's if None.
    """
    expansion = _Expansion(os.environ if environ is None else environ)
    return expansion.value(raw, path), expansion.problems


def variables_in(raw: Any) -> set[str]:
    """Return the name of each ``${NAME}`` in the strings of *raw*."""
    if isinstance(raw, str):
        return {found["name"] for found in _VARIABLE.finditer(raw) if found["name"]}
    if isinstance(raw, Mapping):
        return set().union(*map(variables_in, raw.values()))
    if isinstance(raw, list):
        return set().union(*map(variables_in, raw))
    return set()


@dataclass(slots=True)
class _Expansion:
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def value(self, raw: Any, where: str) -> Any:
        if isinstance(raw, str):
            return _VARIABLE.sub(lambda found: self._one(found, where), raw)
        if isinstance(raw, Mapping):
            return {key: self.value(item, f"{where}.{key}") for key, item in raw.items()}
        if isinstance(raw, list):
            return [self.value(item, f"{where}[{i}]") for i, item in enumerate(raw)]
        return raw

    def _one(self, found: re.Match[str], where: str) -> str:
        if found["kind"]:
            return self._of_databricks(found["kind"], found["place"], where)
        name = found["name"]
        if name is None:
            return "$"
        if name not in self.environ:
            self.problems.append(Problem(where, f"environment variable {name} is not set"))
            return ""
        return self.environ[name]

    def _of_databricks(self, kind: str, place: str, where: str) -> str:
        try:
            return find_parameter(place) if kind == "param" else hide_secret(find_secret(place))
        except LookupError as exc:
            self.problems.append(Problem(where, f"${{{kind}:{place}}} is {exc.args[0]}"))
            return ""
