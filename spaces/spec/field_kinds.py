"""The allowed values of a field, in words, from its JSON schema."""

from __future__ import annotations

from typing import Any

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "mapping",
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the allowed values of a field, literal ones as code in Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return kind(definitions[name], definitions) if "enum" in definitions[name] else "mapping"
    if "anyOf" in schema:
        return " or ".join(kind(one, definitions) for one in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {kind(schema['items'], definitions)}"
    if schema["type"] == "string" and schema.get("pattern", "").endswith("%$"):
        return "percentage"
    if schema["type"] == "string" and r"(\w+)?" in schema.get("pattern", ""):
        return "size with a unit"
    bounds = [f"{sign} {schema[bound]}" for bound, sign in _BOUNDS.items() if bound in schema]
    return " ".join([_TYPES[schema["type"]], " and ".join(bounds)]).strip()
