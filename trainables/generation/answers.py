"""The answer in a written text, and the number in an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import regex

_SECONDS = 1.0
"""Time within which an expression must match: `re` cannot be stopped, and repeats within repeats take for ever."""

_MINUS = "-−"  # the hyphen and the sign of typeset texts
_NUMBER = re.compile(
    rf"""
    (?P<sign> (?<![\w)\]%])[{_MINUS}+] )?                # not that of 16-3, which subtracts
    (?: [$€£¥₹] \s? (?P<after> [{_MINUS}] )? )?          # -$3 and $-3
    (?P<digits> \d{{1,3}}(?:,\d{{3}})+(?!\d) | \d+ | (?<!\d)(?=\.\d) )
    (?P<fraction> \.\d+ )?
    """,
    re.VERBOSE,
)


def ended(text: str, stops: Sequence[str]) -> str:
    """Return the text up to the first of the `stops`."""
    places = [place for place in map(text.find, stops) if place >= 0]
    return text[: min(places)] if places else text


def answer_in(text: str, pattern: str | None) -> str | None:
    """Return the answer, without white space around it.

    Args:
        text: a written text, or a reference.
        pattern: a regular expression whose first match tells the answer by its first group; None: the whole text.

    Returns:
        None when the expression does not match.

    Raises:
        TimeoutError: when the expression takes too long.
    """
    if pattern is None:
        return text.strip()
    try:
        match = regex.search(pattern, text, timeout=_SECONDS)
    except TimeoutError:
        raise TimeoutError(
            f"objective.generation.answer = {pattern!r}: takes more than {_SECONDS:g} s for a text of {len(text):,} "
            "characters; allowed: an expression without repeats within repeats"
        ) from None
    return None if match is None or match[1] is None else match[1].strip()


def number_in(answer: str) -> Decimal | None:
    """Return the last number of an answer; None if it has none.

    A number is a row of digits, with commas between groups of three or without them, with a decimal point or without
    it, and with a sign right before it. A currency sign may stand on either side of the sign, and is ignored; so are a
    percent sign and units. A point that ends a sentence is no part of the number, and a dash after a letter, a digit, a
    bracket or a percent sign is no sign: the last number of `16-3` is 3. Fractions and exponents are not read: that of
    `1/2` is 2.
    """
    last = None
    for match in _NUMBER.finditer(answer):
        last = match
    if last is None:
        return None
    digits = last["digits"].replace(",", "") + (last["fraction"] or "")
    negative = (last["sign"] or last["after"] or "+") in _MINUS
    return Decimal(f"-{digits}" if negative else digits)
