"""`python resource_limits.py SECONDS BYTES COMMAND …`: run a command with limits of processor time and address space.

It imports only the standard library, so that it starts at once; the processes of the command inherit the limits. They
are set here and not between `fork` and `exec` of the service, whose other threads might hold a lock at that moment.
"""

from __future__ import annotations

import os
import resource
import sys

_NICE = 10  # so that the service itself runs first


def main() -> None:
    """Set the limits and replace this process by the command."""
    seconds, size, *command = sys.argv[1:]
    # SIGXCPU comes five seconds before SIGKILL, which could also mean that the machine ran out of memory.
    _limit(resource.RLIMIT_CPU, int(seconds), later=5)
    _limit(resource.RLIMIT_AS, int(size))
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(_NICE)
    os.execv(command[0], command)


def _limit(kind: int, most: int, later: int = 0) -> None:
    """Set the soft limit to `most` and the hard one to `later` above it, or to what the machine allows, if less."""
    _, hard = resource.getrlimit(kind)
    known = hard if hard != resource.RLIM_INFINITY else most + later
    resource.setrlimit(kind, (min(most, known), min(most + later, known)))


if __name__ == "__main__":
    main()
