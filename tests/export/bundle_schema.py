"""The part of the published schema of Databricks' bundles that exports use.

As a program it renews the file: ``databricks bundle schema | python bundle_schema.py BUNDLE … > bundle_schema.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PART = Path(__file__).with_name("bundle_schema.json")
_KEPT = ("type", "enum", "pattern", "required", "additionalProperties", "const")


def readable(text: str) -> dict[str, Any]:
    """Return a schema whose patterns Python reads: letters are ASCII there, as in exported variables."""
    text = text.replace(r"[\\p{L}\\p{N}]", "[A-Za-z0-9]").replace(r"\\p{L}", "[A-Za-z]")
    assert r"\\p" not in text
    return json.loads(text)


def part_of(schema: dict[str, Any], bundles: list[Any]) -> dict[str, Any]:
    """Return *schema* with the keys of *bundles* alone, without descriptions, and with no references."""

    def resolved(node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            name, node = node["$ref"], schema
            for word in name.removeprefix("#/").split("/"):
                node = node[word]
        return node

    def part(node: Any, values: list[Any]) -> Any:
        node = resolved(node)
        if not isinstance(node, dict):
            return node
        found = {key: node[key] for key in _KEPT if key in node}
        for key in ("oneOf", "anyOf"):
            if key in node:
                found[key] = [part(one, values) for one in node[key]]
        mappings = [value for value in values if isinstance(value, dict)]
        if node.get("type") == "object" and mappings:
            known = node.get("properties", {})
            used = sorted({key for value in mappings for key in value} & set(known))
            if known:
                found["properties"] = {
                    key: part(known[key], [value[key] for value in mappings if key in value])
                    for key in used
                }
            rest = [item for value in mappings for key, item in value.items() if key not in known]
            if isinstance(node.get("additionalProperties"), dict):
                found["additionalProperties"] = part(node["additionalProperties"], rest)
        items = [item for value in values if isinstance(value, list) for item in value]
        if "items" in node:
            found["items"] = part(node["items"], items) if items else {}
        return found

    return part(schema, bundles)
