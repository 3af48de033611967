"""Known capabilities of methods: as shipped with this version of paretune, or as `--probe` found them here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spaces.files.atomic_file import replacing

FILE = "capabilities.json"
PACKAGES = ("paretune", "torch", "transformers", "peft")


class CapabilitiesDescription(BaseModel):
    """The capabilities of a method, as found when it was tried on tiny models."""

    model_config = ConfigDict(from_attributes=True)

    merge: bool = Field(description="Into plain weights that compute the same.")
    several_adapters: bool = Field(description="Several on one base, switched.")
    quantised_base: Literal["yes", "no", "unknown"] = Field(
        description="Trains beside packed weights; unknown: PEFT may have layers for them that need bitsandbytes."
    )
    stock: str = Field(description="Settings with an equal adapter of PEFT's own: export --format stock.")
    lora_conversion: bool = Field(description="To LoRA, equal at full rank: export --format lora.")
    conv1d: bool = Field(description="On layers that store their weight transposed, as those of GPT-2.")


class KnownCapabilities(BaseModel):
    """Capabilities by method, and the versions of the packages with which they were found."""

    versions: dict[str, str]
    methods: dict[str, CapabilitiesDescription]


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that capabilities depend on, without the build (`+cpu`)."""
    return {package: version(package).partition("+")[0] for package in PACKAGES}


def shipped() -> KnownCapabilities:
    """Return the capabilities found with the tested versions; `python -m trainables.capabilities.known` writes them."""
    return KnownCapabilities.model_validate_json((resources.files("trainables") / FILE).read_bytes())


def known() -> dict[str, tuple[CapabilitiesDescription, dict[str, str]]]:
    """Return capabilities by method, each with the versions they were found with; those found here take precedence."""
    sources = (shipped(), _found_here())
    return {name: (one, source.versions) for source in sources for name, one in source.methods.items()}


def remember(found: Mapping[str, CapabilitiesDescription]) -> None:
    """Keep capabilities found here, for the installed versions; where nothing can be kept, they are found anew."""
    kept = KnownCapabilities(versions=installed_versions(), methods={**_found_here().methods, **found})
    with suppress(OSError, RuntimeError):
        _cache().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_cache(), durable=False) as file:
            file.write(kept.model_dump_json(indent=1).encode())


def _found_here() -> KnownCapabilities:
    """Return capabilities found on this machine with the installed versions, and none of other versions."""
    versions = installed_versions()
    with suppress(OSError, RuntimeError, ValidationError):
        kept = KnownCapabilities.model_validate_json(_cache().read_bytes())
        if kept.versions == versions:
            return kept
    return KnownCapabilities(versions=versions, methods={})


def _cache() -> Path:
    """Return the user's file.

    Raises:
        RuntimeError: when the process has no home.
    """
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "paretune" / FILE


def tried(name: str) -> CapabilitiesDescription:
    """Try a method now and return its capabilities."""
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
