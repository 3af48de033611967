"""One clear line from a pydantic error: the field, the value, and what is allowed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the (nested) model that `location` leads to."""
    for part in location:
        field = model.model_fields.get(str(part))
        annotation: Any = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return sorted(model.model_fields)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem in one line, and how many more there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    location = tuple(first["loc"])
    # A union reports the branch it tried as the last part of the location ('int', 'constrained-str'): not a field.
    names = [str(part) for part in location if not _is_branch(str(part))]
    field = ".".join(names)
    if first["type"] == "extra_forbidden":
        line = f"{field}: unknown field; allowed: {', '.join(_fields_at(model, location[:-1]))}"
    elif first["type"] == "missing":
        line = f"{field}: missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        line = f"{field} = {first['input']!r}: {message}" if field and len(names) > 1 else message
        if field and len(names) == 1 and first["type"] != "value_error":
            line = f"{field} = {first['input']!r}: {message}"
    others = {tuple(problem["loc"])[: len(names)] for problem in problems[1:]} - {location[: len(names)]}
    return line + (f" (and {len(others)} more)" if others else "")


def _is_branch(part: str) -> bool:
    return part in {"int", "str", "float", "bool"} or part.startswith(
        ("constrained-", "function-", "literal[", "HubSource")
    )
