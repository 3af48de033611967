"""The settings of a configuration as text for people: place, size, learning rate, and settings other than defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.methods.registry import methods

_SHOWN_APART = ("targets", "layers", "learning_rate")
_OF_THE_SEARCH = "seed"


@dataclass(frozen=True)
class Settings:
    """The settings of a configuration as text.

    Attributes:
        targets: empty if the method has no place.
        layers: empty if the method has no place.
        size: the size knob with its value; empty if the method has none.
        learning_rate: with three digits.
        others: the settings that differ from the method's defaults.
    """

    targets: str
    layers: str
    size: str
    learning_rate: str
    others: tuple[str, ...]

    @property
    def place(self) -> str:
        """Targets and layers."""
        return ", ".join(one for one in (self.targets, self.layers) if one)

    @property
    def rest(self) -> str:
        """Everything but the place."""
        rate = f"lr {self.learning_rate}" if self.learning_rate else ""
        return ", ".join(one for one in (self.size, rate, *self.others) if one)


def shown_settings(method: str, config: Mapping[str, Any]) -> Settings:
    """Return the settings of a trial; all of them if the method is not known here."""
    known = methods().get(method)
    size_knob = known.size_knob if known is not None and known.size_knob not in _SHOWN_APART else None
    fields = known.configuration.model_fields if known is not None else {}
    others = (
        f"{name} {_text(value)}"
        for name, value in config.items()
        if name not in (*_SHOWN_APART, size_knob, _OF_THE_SEARCH)
        and not (name in fields and fields[name].get_default(call_default_factory=True) == value)
    )
    targets, layers, rate = (_text(config[name]) if name in config else "" for name in _SHOWN_APART)
    size = f"{size_knob} {_text(config[size_knob])}" if size_knob is not None and size_knob in config else ""
    return Settings(targets, layers, size, rate, tuple(others))


def settings_text(method: str, config: Mapping[str, Any]) -> str:
    """Return the settings of a trial on one line."""
    shown = shown_settings(method, config)
    return ", ".join(one for one in (shown.place, shown.rest) if one)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return " ".join(f"{name}: {_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return str(value)
