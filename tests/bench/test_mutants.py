"""Mutants are changes of code that runs, found again after edits, and drawn evenly by a seed."""

from __future__ import annotations

import ast

import pytest

from tests.bench.mutants.__main__ import GONE, NONE, OTHER, OWN, UNKNOWN, draw, table
from tests.bench.mutants.changes import applied, changes
from tests.bench.mutants.targets import ROOT, TARGETS, modules, other_tests

SOURCE = '''"""Sums."""

from __future__ import annotations


def clipped(values: list[float], least: float = -1.0) -> float | None:
    """The sum, at least `least`; 0 is no sum."""
    total = sum(values) + 0
    values.sort()
    total += 2
    if total < least and not values:
        return least
    return total if total >= least else None
'''


def test_each_kind_of_change_is_found_and_nothing_else_is_touched() -> None:
    found = {(change.before, change.after) for change in changes(SOURCE)}
    assert found == {
        ("-1.0", "(1.0)"),
        ("1.0", "2.0"),
        ("sum(values) + 0", "(sum(values) - 0)"),
        ("0", "1"),
        ("values.sort()", "pass"),
        ("total += 2", "pass"),
        ("2", "3"),
        ("total < least and not values", "((total < least) or (not values))"),
        ("total < least", "(total <= least)"),
        ("not values", "(values)"),
        ("return least", "return None"),
        ("return total if total >= least else None", "return None"),
        ("total if total >= least else None", "(None if total >= least else total)"),
        ("total >= least", "(total > least)"),
    }


def test_a_change_is_found_again_after_edits_elsewhere() -> None:
    edited = SOURCE.replace('"""Sums."""', '"""Sums, clipped: ä."""\n\nLIMIT = 3')
    (change,) = [one for one in changes(SOURCE) if one.before == "total < least"]
    assert "if (total <= least) and not values:" in applied(edited, change)
    with pytest.raises(KeyError):
        applied(SOURCE.replace("total < least", "least > total"), change)


@pytest.mark.parametrize("module", modules())
def test_every_mutant_of_a_target_is_another_program(module: str) -> None:
    source = (ROOT / module).read_text(encoding="utf-8")
    unchanged = ast.dump(ast.parse(source))
    for change in changes(source):
        assert ast.dump(ast.parse(applied(source, change))) != unchanged, change


def test_a_draw_follows_its_seed_and_holds_no_mutant_twice() -> None:
    first = draw(50, seed=1)
    assert first == draw(50, seed=1) != draw(50, seed=2)
    assert len({tuple(line.items()) for line in first}) == 50


@pytest.mark.parametrize("module", modules())
def test_the_tests_of_every_target_are_there(module: str) -> None:
    assert other_tests(module)
    assert all((ROOT / name).exists() for name in other_tests(module))


def test_the_table_counts_before_and_after_by_folder_and_names_modules_whose_own_tests_notice_nothing() -> None:
    folder, other = list(TARGETS)[:2]
    change = {"function": "f", "before": "1", "after": "2", "occurrence": 0}
    first, second = ({"module": f"{folder}/a.py", **change, "occurrence": number} for number in (0, 1))
    third, fourth = ({"module": f"{other}/b.py", **change, "occurrence": number} for number in (0, 1))
    before = [
        first | {"noticed_by": UNKNOWN},
        first | {"noticed_by": OWN},
        second | {"noticed_by": NONE},
        third | {"noticed_by": NONE},
        fourth | {"noticed_by": GONE},
    ]
    shown = table(before, [third | {"noticed_by": OTHER}], [second]).splitlines()
    assert f"| {folder} | 2 | 1 | 1 | 1 | 1 | 50% | 100% |" in shown
    assert f"| {other} | 1 | 0 | 0 | 1 | 0 | 100% | 100% |" in shown
    assert "| all | 3 | 1 | 1 | 2 | 1 | 67% | 100% |" in shown
    assert shown[-1] == f"Their own tests noticed none of: {other}/b.py."
