"""A command runs within limits that it cannot raise."""

from __future__ import annotations

import json
import subprocess
import sys

from search.service.checks import resource_limits

REPORT = """
import json, os, resource
kinds = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_CORE)
print(json.dumps([*map(resource.getrlimit, kinds), os.nice(0)]))
"""


def limited(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-E", resource_limits.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_has_the_limits_and_a_signal_before_the_hard_one() -> None:
    done = limited("7", str(8 << 30), sys.executable, "-S", "-E", "-c", REPORT)
    processor, memory, core, nice = json.loads(done.stdout)
    assert (processor, memory, core) == ([7, 12], [8 << 30, 8 << 30], [0, 0])
    assert nice > 0


def test_a_limit_of_the_machine_is_not_raised() -> None:
    low = "import os, resource, sys; resource.setrlimit(0, (3, 3)); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-S", "-E", resource_limits.__file__, "7", str(8 << 30)]
    report = [sys.executable, "-S", "-E", "-c", REPORT]
    lowered = [sys.executable, "-S", "-E", "-c", low, *command, *report]
    done = subprocess.run(lowered, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0] == [3, 3]


def test_the_exit_code_is_that_of_the_command() -> None:
    assert limited("7", str(8 << 30), "/bin/false").returncode == 1
