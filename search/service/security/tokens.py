"""Bearer tokens: random, kept only as hashes, each with a name and a role."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from spaces.errors import RequestError
from spaces.files.atomic_file import write_durably

Role = Literal["read", "run"]


class Holder(BaseModel):
    """The holder of a token. `digest` is its SHA-256; a slow hash is for passwords, and a token is random."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    role: Role
    digest: str

    def may(self, role: Role) -> bool:
        """Tell whether the holder has the role, or one that includes it."""
        return self.role == "run" or role == "read"


def make_token(file: Path, name: str, role: Role) -> str:
    """Add a holder to the file, which is made if need be, and return the token, which is kept nowhere.

    Concurrent calls, also of other processes, wait for each other.

    Raises:
        RequestError: when the name has a token already, or the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            return _add(file, name, role)
    except OSError as error:
        raise RequestError(f"--tokens {file}: {error.strerror}; allowed: a file that can be written") from None


def _add(file: Path, name: str, role: Role) -> str:
    holders = read_holders(file) if file.exists() else ()
    if any(one.name == name for one in holders):
        raise RequestError(f"token {name}: has one already; allowed: another name, or take its line out of {file}")
    token = f"paretune_{secrets.token_urlsafe(32)}"
    added = Holder(name=name, role=role, digest=_digest(token))
    mode = file.stat().st_mode if file.exists() else None
    write_durably(file, "".join(f"{one.model_dump_json()}\n" for one in (*holders, added)))
    if mode is not None:  # the service may run as another user
        file.chmod(mode)
    return token


def read_holders(file: Path) -> tuple[Holder, ...]:
    """Return the holders in a file of tokens, which has one as JSON on each line.

    Raises:
        RequestError: when the file cannot be read, or a line is not a holder.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return tuple(Holder.model_validate_json(line) for line in lines if line.strip())
    except (OSError, UnicodeError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a line is no holder"
        raise RequestError(f"--tokens {file}: {reason}; allowed: a file that `paretune token` wrote") from None


def holder_of(token: str, holders: tuple[Holder, ...]) -> Holder | None:
    """Return the holder of a token; None if there is none. The time it takes tells nothing of the digests."""
    digest = _digest(token)
    found = [one for one in holders if hmac.compare_digest(one.digest, digest)]
    return found[0] if found else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
