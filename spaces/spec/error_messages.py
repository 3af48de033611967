"""Validation errors of pydantic in one line: the field, the value, and the allowed values."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from spaces.methods.base.method import Configuration
from spaces.spec.hints import fields_of, meant_field, meant_knob

_NAMED = 5  # further fields with problems that the line names

# In place of messages about Python's types, or without allowed values.
_MESSAGES = {
    "model_type": "Input should be a mapping of fields",
    "dict_type": "Input should be a mapping",
    "tuple_type": "Input should be a list",
    "byte_size": "Input should be a number of bytes such as 200KB",
    "byte_size_unit": "Input should be a number of bytes such as 200KB",
    "invalid_key": "Input should have a field name as its key",
}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem in one line, and the fields of the others.

    An unknown field comes first, because it is often a misspelling of the field that is missing.
    """
    problems = [(_field(problem["loc"]), problem) for problem in error.errors(include_url=False)]
    problems.sort(key=lambda one: one[1]["type"] != "extra_forbidden")
    first = problems[0][0]
    here = [(field, problem) for field, problem in problems if field[: len(first)] == first]
    # Every branch of a union has an error; the deepest one belongs to the branch that was meant.
    depth = max(len(field) for field, _ in here)
    meant = next(field for field, _ in here if len(field) == depth)
    causes = [problem for field, problem in here if field == meant]
    of_this = {field for field, _ in here}
    others = list(dict.fromkeys(".".join(field) or "spec" for field, _ in problems if field not in of_this))
    shown = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    more = f" (and {len(others)} more: {shown})" if others else ""
    return _line(".".join(meant), causes, model, meant) + more


def _line(field: str, causes: list[Any], model: type[BaseModel], location: tuple[str, ...]) -> str:
    kind, value = causes[0]["type"], causes[0]["input"]
    if kind == "extra_forbidden":
        return f"{field}: unknown field{_hint(location, model)}; allowed: {', '.join(fields_of(model, location[:-1]))}"
    if kind == "missing":
        return f"{field}: missing"
    message = " or ".join(dict.fromkeys(_message(cause) for cause in causes)).replace(" or Input should be ", " or ")
    if isinstance(value, dict) and kind == "value_error":
        # A validator of a whole section names its field itself.
        return message if not field or message.startswith(field) else f"{field}: {message}"
    return f"{field} = {value!r}: {message}"


def _hint(location: tuple[str, ...], model: type[BaseModel]) -> str:
    """Return a hint at the field that was probably meant at the location."""
    if issubclass(model, Configuration):
        return meant_knob(location[-1], model.model_fields)
    return meant_field(location[-1], location[:-1], model)


def _message(problem: Any) -> str:
    message: str = _MESSAGES.get(problem["type"], problem["msg"])
    return message.removeprefix("Value error, ")


def _field(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the location without the branches of unions, which pydantic appends to it."""
    return tuple(str(part) for part in location if not _is_branch(str(part)))


def _is_branch(part: str) -> bool:
    return part in {"int", "str", "float", "bool"} or part.startswith(
        (
            "constrained-",
            "function-",
            "literal[",
            "list[",
            "dict[",
            "nullable[",
            "union[",
            "tuple[",
            "HubSource",
            "Layer",
            "BlockRange",
            "RankByKind",
        )
    )
