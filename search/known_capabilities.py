"""Capabilities of methods without trying them: as found for this version of paretune, or by `--probe` here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ValidationError

from search.documents.commands import CapabilitiesDescription

FILE = "capabilities.json"
PACKAGES = ("paretune", "torch", "transformers", "peft")


class KnownCapabilities(BaseModel):
    """Capabilities by method, and the versions of the packages with which they were found."""

    versions: dict[str, str]
    methods: dict[str, CapabilitiesDescription]


def installed_versions() -> dict[str, str]:
    """Versions of the packages that capabilities depend on, without the build (`+cpu`) that they do not depend on."""
    return {package: version(package).partition("+")[0] for package in PACKAGES}


def shipped() -> KnownCapabilities:
    """As found with the tested versions; `python -m search.known_capabilities` writes them."""
    return KnownCapabilities.model_validate_json((resources.files("trainables") / FILE).read_bytes())


def known() -> dict[str, tuple[CapabilitiesDescription, dict[str, str]]]:
    """Capabilities by method, each with the versions with which it was found; what was found here comes first."""
    sources = (shipped(), _found_here())
    return {name: (one, source.versions) for source in sources for name, one in source.methods.items()}


def remember(found: Mapping[str, CapabilitiesDescription]) -> None:
    """Keep what was found here, for these versions; where nothing can be kept, it is found again when asked for."""
    kept = KnownCapabilities(versions=installed_versions(), methods={**_found_here().methods, **found})
    with suppress(OSError, RuntimeError):
        _cache().parent.mkdir(parents=True, exist_ok=True)
        draft = _cache().with_suffix(f".{os.getpid()}")
        draft.write_text(kept.model_dump_json(indent=1), encoding="utf-8")
        draft.replace(_cache())


def _found_here() -> KnownCapabilities:
    """Capabilities found on this machine with the installed versions; none that other versions found."""
    versions = installed_versions()
    with suppress(OSError, RuntimeError, ValidationError):
        kept = KnownCapabilities.model_validate_json(_cache().read_bytes())
        if kept.versions == versions:
            return kept
    return KnownCapabilities(versions=versions, methods={})


def _cache() -> Path:
    """The user's file; a process without a home has none, and raises RuntimeError."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "paretune" / FILE


def tried(name: str) -> CapabilitiesDescription:
    """What a method is found to do now."""
    from trainables.capabilities.probe import probe

    return CapabilitiesDescription.model_validate(probe(name))


def main() -> None:
    """Try every method, and write the file that is shipped."""
    from spaces.methods.registry import methods

    found = KnownCapabilities(versions=installed_versions(), methods={name: tried(name) for name in methods()})
    text = found.model_dump_json(indent=1)
    Path(str(resources.files("trainables") / FILE)).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
