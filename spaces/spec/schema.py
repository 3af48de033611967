"""The JSON schema of a spec, with all methods, knobs and metrics, for editors and other validators."""

from __future__ import annotations

from typing import Any

from spaces.methods.base.method import AnyMethod
from spaces.methods.registry import methods
from spaces.spec.metrics import known_metrics
from spaces.spec.own_metric import OWN_NAME
from spaces.spec.searched_training import SEARCHED
from spaces.spec.spec import SHARED_KNOBS, SearchSpec

Schema = dict[str, Any]

# YAML 1.1 reads 1e-4, without a point, as text.
_NUMBER_AS_TEXT: Schema = {"type": "string", "pattern": r"^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$"}
_RANGE: Schema = {
    "type": "object",
    "properties": {
        "low": {"anyOf": [{"type": "number"}, _NUMBER_AS_TEXT]},
        "high": {"anyOf": [{"type": "number"}, _NUMBER_AS_TEXT]},
        "log": {"type": "boolean"},
    },
    "required": ["low", "high"],
    "additionalProperties": False,
}


def spec_schema() -> Schema:
    """Return the JSON schema of a spec as users write it. Validation may refuse more than it can express."""
    schema = SearchSpec.model_json_schema()
    definitions = schema["$defs"]
    definitions["Range"] = _RANGE
    for name, known in methods().items():
        definitions[_definition(name)] = _knobs(known)
    schema["properties"]["methods"] |= _methods()
    schema["properties"]["methods"].pop("type", None)
    training = definitions["SearchedTraining"]["properties"]
    training |= {name: _knob(training[name], definitions) for name in SEARCHED}
    metric = definitions["ObjectiveSection"]["properties"]["metric"]
    metric["anyOf"] = [
        {"enum": sorted(known_metrics())},
        {"type": "string", "pattern": OWN_NAME},
        {"type": "null"},
    ]
    return schema


def _definition(method: str) -> str:
    return f"method {method}"


def _methods() -> Schema:
    """Return the schema of `methods`: a name, a mapping of names to knobs, or a list of both."""
    names: Schema = {"enum": sorted(methods())}
    mapping: Schema = {
        "type": "object",
        "properties": {
            name: {"anyOf": [{"$ref": f"#/$defs/{_definition(name)}"}, {"type": "null"}]} for name in methods()
        },
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {"anyOf": [names, mapping, {"type": "array", "items": {"anyOf": [names, mapping]}, "minItems": 1}]}


def _knobs(known: AnyMethod) -> Schema:
    """Return the schema of the knobs of one method: each a value, a list of choices or a range."""
    fields = known.configuration.model_json_schema()
    found = {name: _knob(field, fields.get("$defs", {})) for name, field in fields["properties"].items()}
    # Beside the learning rate itself there is the multiplier of its prior.
    shared = SHARED_KNOBS if known.placed else SHARED_KNOBS[2:]
    found |= {name: _knob({"type": "number", "exclusiveMinimum": 0}, {}) for name in shared if name not in found}
    return {"type": "object", "description": known.summary, "properties": found, "additionalProperties": False}


def _knob(field: Schema, definitions: dict[str, Schema]) -> Schema:
    values = [_inlined(one, definitions) for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    kinds = {one.get("type") for one in values}
    if kinds & {"number", "integer"}:
        values.append(_NUMBER_AS_TEXT)
    one: Schema = values[0] if len(values) == 1 else {"anyOf": values}
    forms: list[Schema] = [one, {"type": "array", "items": one, "minItems": 1}]
    if kinds & {"number", "integer"}:
        forms.append({"$ref": "#/$defs/Range"})
    described: Schema = {name: field[name] for name in ("description", "default") if name in field}
    return {**described, "anyOf": forms}


def _inlined(value: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of one kind of value, without title, description and default of the knob."""
    if "$ref" in value:
        value = definitions[value["$ref"].rpartition("/")[2]]
    return {name: one for name, one in value.items() if name not in ("title", "description", "default")}
