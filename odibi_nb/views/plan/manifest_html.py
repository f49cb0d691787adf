"""A manifest as HTML: no scripts, every value escaped, secrets hidden, both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.manifest import LayerConfig
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import redact, redact_text
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import MAX_RECORDS, beginning_of, block, listed, table, table_row
from odibi_nb.views.status_style import STATUS_STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from odibi_nb.core.model.manifest import ProjectManifest

LAYER_COLUMNS = ("#", "layer", "description", "cached after it", "waits for", "limits")
ENV_COLUMNS = ("env", "engine", "registry", "lake", "run log", "protected", "more")
_LEFT = "style='text-align:left;vertical-align:top;max-width:32em;overflow-wrap:break-word'"
_SHOWN = frozenset({"engine", "registry", "lake", "run_log", "log_url", "log_csv", "protected"})


def manifest_html(manifest: ProjectManifest) -> str:
    """Return a project's definition: its layers in order, its environments, and its rules for rows.

    Environments are shown as the manifest has them, ``${NAME}`` included, without passwords.
    """
    return block(
        _head(manifest),
        _table("Layers, in order", LAYER_COLUMNS, _layers(manifest)),
        _table("Environments", ENV_COLUMNS, _environments(manifest)),
        listed(_facts(manifest)),
    )


def _head(manifest: ProjectManifest) -> str:
    facts = [f"version {manifest.version}"]
    facts += [f"owner {manifest.owner}"] if manifest.owner else []
    facts += [beginning_of(", ".join(manifest.tags))] if manifest.tags else []
    description = (
        f"<br>{escape(beginning_of(manifest.description))}" if manifest.description else ""
    )
    return (
        f"<p style='margin:4px 0'><b>{escape(manifest.project)}</b> · "
        f"{escape(' · '.join(facts))}{description}</p>"
    )


def _layers(manifest: ProjectManifest) -> Iterable[Sequence[str]]:
    for number, name in enumerate(manifest.layer_order, 1):
        config = manifest.layers.get(name) or LayerConfig()
        limits = {
            "workers": config.max_workers,
            "retry": " ".join(f"{key} {value}" for key, value in config.retry.items()) or None,
            "timeout": f"{config.timeout_seconds:g} s" if config.timeout_seconds else None,
            "ordered by": "step" if config.ordered_by_step else None,
        }
        yield (
            str(number),
            name,
            config.description,
            ", ".join((*manifest.cache_plan.get(name, ()), *config.cache_tables)),
            ", ".join(config.depends_on),
            ", ".join(f"{key} {value}" for key, value in limits.items() if value is not None),
        )


def _environments(manifest: ProjectManifest) -> Iterable[Sequence[str]]:
    for name, raw in manifest.environments.items():
        shown: dict[str, Any] = redact(raw)
        registry = shown.get("registry")
        if isinstance(registry, dict):
            registry = ", ".join(f"{key} {value}" for key, value in registry.items())
        logs = [str(shown[key]) for key in ("run_log", "log_url", "log_csv") if shown.get(key)]
        more = {key: value for key, value in shown.items() if key not in _SHOWN}
        for key in ("connections", "notify"):  # the names are enough; a webhook's URL is a secret
            if key in more:
                more[key] = list(more[key])
        yield (
            f"{name} (default)" if name == manifest.default_env else name,
            str(shown.get("engine") or ""),
            str(registry or ""),
            str(shown.get("lake") or ""),
            ", ".join(logs),
            "🔒 yes" if shown.get("protected") else "",
            ", ".join(f"{key}: {_short(value)}" for key, value in more.items()),
        )


def _facts(manifest: ProjectManifest) -> list[str]:
    modules = ", ".join(manifest.transformation_modules)
    facts = {"rows may name": modules or "any module (transformation_modules is not set)"}
    if manifest.outputs_required:
        facts["outputs_required"] = "a row fails if it leaves an output unchanged"
    if manifest.allowed_locations is not None:
        facts["rows may read"] = (
            ", ".join(map(redact_text, manifest.allowed_locations)) or "nothing"
        )
    elif manifest.transformation_modules:
        facts["rows may read"] = "the project's folder (allowed_locations is not set)"
    if manifest.entity_labels:
        facts["entities"] = ", ".join(f"{k} is {v}" for k, v in manifest.entity_labels.items())
    if manifest.parameters:
        facts["parameters"] = as_json(redact(manifest.parameters))
    if manifest.path:
        facts["file"] = str(manifest.path)
    return [f"{escape(name)}: {escape(beginning_of(value))}" for name, value in facts.items()]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else as_json(value)
    return redact_text(text)


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of *rows* without the columns that are empty in all rows. Without rows, return a line."""
    rows = list(rows)
    if not rows:
        return f"<p style='margin:4px 0'>{caption}: none</p>"
    used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    lines = [table_row((_cell(row[i]) for i in used), f" {_LEFT}") for row in rows[:MAX_RECORDS]]
    more = len(rows) - MAX_RECORDS
    if more > 0:
        lines.append(table_row([f"… and {more:,} more"], f" {_LEFT} colspan={len(used)}"))
    top = (
        f"<table cellpadding=4><caption style='text-align:left;font-weight:600'>{caption}</caption>"
    )
    return table((columns[i] for i in used), lines, top=top, th=f"scope='col' {_LEFT}")


def _cell(text: str) -> str:
    if text.startswith("🔒"):
        return f"<b style='color:{STATUS_STYLES['FAILED'].colour}'>{escape(text)}</b>"
    return escape(beginning_of(text))
