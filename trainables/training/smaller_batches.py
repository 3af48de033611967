"""Retries with half the batch when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

T = TypeVar("T")


class OutOfMemory(RuntimeError):
    """Memory does not hold a single example. The message is the allocator's."""


def smaller_batches(run: Callable[[int], T], size: int) -> tuple[T, int]:
    """Call `run` with a batch size, halved until memory suffices.

    accelerate's `find_executable_batch_size` does not tell the size that it found, and collects garbage before every
    call, which a training would pay at each step.

    Args:
        run: does the whole work in batches of the size that it is given; it may be called several times.
        size: the first batch size, at least 1.

    Returns:
        The result of `run`, and the batch size that it succeeded with.

    Raises:
        OutOfMemory: when a batch of one example does not fit.
    """
    while True:
        try:
            return run(size), size
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if size == 1:
                raise OutOfMemory(str(error)) from error
        # After the handler: the error's traceback holds the tensors of the failed attempt.
        size //= 2
        clear_device_cache()
