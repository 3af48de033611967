"""A metric of the user's own: a function of predictions and references, named `module:function`.

Only a process that trains or exports looks the function up; whoever reads a search has its direction and its perfect
value from the spec.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from types import ModuleType
from typing import Any, get_args

from spaces.errors import RequestError, one_line
from spaces.spec.sections import Mode

Function = Callable[[Any, Any], Any]

OWN_NAME = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_<][A-Za-z0-9_.<>]*$"
"""The pattern of `module:function`; that of a function within another one, or of a lambda, has points and <>."""

_functions: dict[str, Function] = {}
_importable: frozenset[str] | None = None


class NotFound(RequestError):
    """The function cannot be imported in this process."""


def is_own(name: str) -> bool:
    """Return whether the name of a metric means a function of the user's own."""
    return re.fullmatch(OWN_NAME, name) is not None


def keep(function: Function, name: str | None = None) -> str:
    """Keep a function for this process under its `module:qualname`, or another name, which is returned.

    A later function of the same name takes its place.

    Raises:
        RequestError: when it cannot be called, or has no such name.
    """
    if not callable(function):
        raise RequestError(f"metric = {_described(function)}; allowed: a function of predictions and references")
    if name is None:
        kind = function if hasattr(function, "__qualname__") else type(function)
        name = f"{function.__module__ or kind.__module__}:{kind.__qualname__}"
    if not is_own(name):
        raise RequestError(f"metric = {name}: allowed: a function with a name of letters, digits and _")
    _functions[name] = function
    return name


@contextmanager
def importing_only(modules: Collection[str]) -> Iterator[None]:
    """Import metrics from these modules alone, and only functions of their own packages.

    A process that works for the sender of a spec must not call whatever the sender names.
    """
    global _importable
    before, _importable = _importable, frozenset(modules)
    try:
        yield
    finally:
        _importable = before


def check_module(name: str, modules: Collection[str], option: str = "--metric-module") -> None:
    """Check that the module of `module:function` is one of those that the operator of a service names.

    Raises:
        RequestError: when it is not.
    """
    module = name.partition(":")[0]
    if module not in modules:
        others = "; allowed: a metric by name" + "".join(f", or a function of {one}" for one in sorted(modules))
        raise RequestError(
            f"objective.metric = {name!r}: module {module} is not one that the operator names by {option}{others}"
        )


def function_of(name: str) -> Function:
    """Return the function that `module:function` names: one that was kept, else from the current folder, or installed.

    Raises:
        NotFound: when it cannot be imported.
        RequestError: when it must not be, or is no function.
    """
    if name in _functions:
        return _functions[name]
    if _importable is not None:
        check_module(name, _importable)
    module_name, _, attribute = name.partition(":")
    module = _imported(name, module_name)
    where = getattr(module, "__file__", None) or "built in"
    if not hasattr(module, attribute):
        raise NotFound(
            f"objective.metric = {name!r}: module {module_name} ({where}) has no {attribute}; "
            "allowed: a function at its top level, or in Python the argument metric"
        )
    function: Function = getattr(module, attribute)
    if not callable(function):
        raise RequestError(
            f"objective.metric = {name!r}: is {_described(function)}; allowed: a function of predictions and references"
        )
    home = getattr(function, "__module__", None) or ""
    if _importable is not None and home.partition(".")[0] != module_name.partition(".")[0]:
        raise RequestError(
            f"objective.metric = {name!r}: is a function of {home or 'another module'}; allowed: one of {module_name}"
        )
    return function


def _imported(name: str, module: str) -> ModuleType:
    with _current_folder():
        try:
            return import_module(module)
        except (Exception, SystemExit) as error:
            if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
                raise NotFound(
                    f"objective.metric = {name!r}: no module {module} in {os.getcwd()}, nor installed; "
                    "allowed: module:function of a file in the current folder, or of an installed package"
                ) from None
            raise NotFound(
                f"objective.metric = {name!r}: importing {module} raised {type(error).__name__}: {one_line(error)}; "
                "allowed: a module that can be imported"
            ) from error


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported within the block, first as for a script there."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    invalidate_caches()  # the file may be younger than the last look at the folder
    try:
        yield
    finally:
        sys.path.remove(folder)


def direction(name: str, function: Function, mode: Mode | None, perfect: float | None) -> tuple[Mode, float]:
    """Return whether more or less is better, and the best possible value.

    They are those of the spec, else the attributes `mode` and `perfect` of the function, else `max` with 1 and `min`
    with 0.

    Args:
        name: the function's name, for messages.
        function: the function.
        mode: that of the spec, if it has one.
        perfect: that of the spec, if it has one.

    Raises:
        RequestError: when an attribute is no such value, or the spec says something else.
    """
    own_mode, own_perfect = getattr(function, "mode", None), getattr(function, "perfect", None)
    if own_mode is not None and own_mode not in get_args(Mode):
        raise RequestError(f"objective.metric = {name!r}: its mode is {_described(own_mode)}; allowed: max or min")
    if own_perfect is not None and not _is_number(own_perfect):
        raise RequestError(
            f"objective.metric = {name!r}: its perfect is {_described(own_perfect)}; allowed: a finite number"
        )
    for field, given, own in (("mode", mode, own_mode), ("perfect", perfect, own_perfect)):
        if given is not None and own is not None and given != own:
            raise RequestError(
                f"objective.{field} = {given}: {name} itself has {field} = {own}; allowed: the same, or nothing"
            )
    found: Mode = mode or own_mode or "max"
    best = own_perfect if perfect is None else perfect
    return found, float(1 if best is None and found == "max" else best or 0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _described(value: object) -> str:
    return f"{one_line(repr(value), 60)}, of type {type(value).__name__}"
