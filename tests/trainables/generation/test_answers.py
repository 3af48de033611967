"""The answer in a text, and the number in an answer."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trainables.generation.answers import answer_in, ended, number_in


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("18", "18"),
        ("It is 18.", "18"),
        ("3 boxes of 6 are 18 pens", "18"),
        ("1,234", "1234"),
        ("12,345,678.90", "12345678.9"),
        ("$1,234.50 in all", "1234.5"),
        ("-3", "-3"),
        ("x = -3.50", "-3.5"),
        ("−5", "-5"),
        ("-$3", "-3"),
        ("$-3", "-3"),
        ("€ 5", "5"),
        ("+7", "7"),
        ("(4)", "4"),
        ("50%", "50"),
        ("20kg", "20"),
        (".5", "0.5"),
        ("007", "7"),
        # no thousands separator: two numbers
        ("1,2", "2"),
        ("10, 20", "20"),
        ("1,23", "23"),
        ("1,234,56", "56"),
        # no sign
        ("16-3", "3"),
        ("(2)-3", "3"),
        ("3 - 4", "4"),
        ("a-1", "1"),
        ("1/2", "2"),
    ],
)
def test_the_last_number_is_read(answer: str, number: str) -> None:
    assert number_in(answer) == Decimal(number)


@pytest.mark.parametrize("answer", ["", "none", "-", "$", "…,.", "-."])
def test_a_text_without_digits_has_no_number(answer: str) -> None:
    assert number_in(answer) is None


@pytest.mark.parametrize(
    ("text", "stops", "left"),
    [
        ("a b", [], "a b"),
        ("a\n\nb", ["\n\n"], "a"),
        ("one STOP two END", ["END", "STOP"], "one "),
        ("END", ["END"], ""),
    ],
)
def test_a_text_ends_at_its_first_stop(text: str, stops: list[str], left: str) -> None:
    assert ended(text, stops) == left


@pytest.mark.parametrize(
    ("text", "pattern", "answer"),
    [
        (" all of it\n", None, "all of it"),
        ("so 3\n#### 18 \nmore", "#### (.+)", "18"),
        ("#### 5\n#### 6", "#### (.+)", "5"),
        ("18", "#### (.+)", None),
        ("b", "(a)|b", None),
        ("####", "####(.*)", ""),
    ],
)
def test_an_answer_is_the_first_group_of_the_first_match(text: str, pattern: str | None, answer: str | None) -> None:
    assert answer_in(text, pattern) == answer


def test_an_expression_that_takes_for_ever_is_named() -> None:
    with pytest.raises(TimeoutError, match=r"generation\.answer = .*takes more than 1 s .* 5,001 characters"):
        answer_in("a" * 5_000 + "!", r"^(a|aa)+$")
