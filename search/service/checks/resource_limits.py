"""`python resource_limits.py SECONDS BYTES COMMAND …`: a command that may use so much of a processor and of memory.

It stands alone, with nothing but the standard library, so that it starts at once; what it starts inherits the limits.
They are set here and not between `fork` and `exec` of the service, whose other threads might hold a lock then.
"""

from __future__ import annotations

import os
import resource
import sys

_NICE = 10  # whoever only looks on is answered first


def main() -> None:
    """Set the limits and become the command."""
    seconds, size, *command = sys.argv[1:]
    _limit(resource.RLIMIT_CPU, int(seconds), later=5)  # a first signal tells it from what ends for want of memory
    _limit(resource.RLIMIT_AS, int(size))
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(_NICE)
    os.execv(command[0], command)


def _limit(kind: int, most: int, later: int = 0) -> None:
    """At most so much, and `later` so much more at the very most; less where the machine allows less."""
    _, hard = resource.getrlimit(kind)
    known = hard if hard != resource.RLIM_INFINITY else most + later
    resource.setrlimit(kind, (min(most, known), min(most + later, known)))


if __name__ == "__main__":
    main()
