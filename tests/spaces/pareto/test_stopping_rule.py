"""The rule that lets trials go on, against what it promises and against a naive reference."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.pareto.point import SIZE_REGION, Point
from spaces.pareto.stopping_rule import CONFIDENCE, KNOWN, FrontRule
from spaces.spec.metrics import METRICS, standard_error

TRIALS = st.lists(
    st.tuples(st.integers(1, 100_000), st.floats(0.5, 0.9).map(lambda value: round(value, 2))), max_size=40
).map(lambda found: [Point(str(number), size, quality) for number, (size, quality) in enumerate(found)])


def knowing(noise: float, mode: str = "max") -> FrontRule:
    """A rule that has seen enough trials finish to stop others; of what they were at a rung it knows nothing."""
    rule = FrontRule("max" if mode == "max" else "min", lambda quality: noise)
    for number in range(KNOWN):
        rule.finish(Point(f"finished {number}", 1, 0.5))
    return rule


def survivors(seen: Sequence[Point], noise: float = 0.01, mode: str = "max") -> list[Point]:
    rule = knowing(noise, mode)
    return [one for one in seen if rule.goes_on(1, one)]


def region(one: Point) -> int:
    return math.floor(math.log10(one.parameters) / SIZE_REGION)


@given(TRIALS)
def test_no_point_of_the_rungs_front_is_stopped(seen: list[Point]) -> None:
    kept = survivors(seen)
    for one in seen:
        beaten = any(other.parameters <= one.parameters and other.quality > one.quality for other in seen)
        assert beaten or one in kept


@given(TRIALS)
def test_every_region_that_was_tried_keeps_its_best(seen: list[Point]) -> None:
    kept = survivors(seen)
    for tried in {region(one) for one in seen}:
        best = max(one.quality for one in seen if region(one) == tried)
        assert any(one.quality == best for one in kept if region(one) == tried)


@given(TRIALS)
def test_it_is_the_naive_rule(seen: list[Point]) -> None:
    kept = survivors(seen)
    for position, one in enumerate(seen):
        earlier = seen[:position]
        margin = CONFIDENCE * math.sqrt(2) * 0.01
        smaller = [other for other in earlier if other.parameters <= one.parameters]
        behind = any(other.quality - one.quality > margin for other in smaller)
        rivals = [other.quality for other in earlier if region(other) == region(one)]
        assert (one in kept) == (not behind or one.quality > max(rivals, default=-math.inf))


@given(TRIALS, st.lists(st.floats(0.4, 0.95), min_size=40, max_size=40))
def test_what_ended_on_the_front_says_how_far_behind_is_too_far(seen: list[Point], ends: list[float]) -> None:
    """The same rule, from all that was seen, with every trial that goes on finishing at once."""
    rule, finished, earlier = FrontRule("max", lambda quality: 0.01), list[tuple[Point, Point]](), list[Point]()
    for one, end in zip(seen, ends, strict=False):
        smaller = [other.quality for other in earlier if other.parameters <= one.parameters]
        margin = CONFIDENCE * math.sqrt(2) * 0.01
        for at_rung, at_end in finished:
            if not any(
                other.parameters <= at_end.parameters
                and other.quality >= at_end.quality
                and (other.parameters < at_end.parameters or other.quality > at_end.quality)
                for _, other in finished
            ):
                known = [*earlier, one]
                best = max(other.quality for other in known if other.parameters <= at_rung.parameters)
                margin = max(margin, best - at_rung.quality)
        rivals = [other.quality for other in earlier if region(other) == region(one)]
        behind = len(finished) >= KNOWN and any(quality - one.quality > margin for quality in smaller)
        expected = not behind or one.quality > max(rivals, default=-math.inf)
        assert rule.goes_on(1, one) == expected
        earlier.append(one)
        if expected:
            finished.append((one, Point(one.trial, one.parameters, round(end, 2))))
            rule.finish(finished[-1][1])


def test_nobody_is_stopped_before_some_have_finished() -> None:
    rule = FrontRule("max", lambda quality: 0.0)
    for number in range(KNOWN):
        assert rule.goes_on(1, Point(str(number), 100 + number, 0.9 - number / 10))
        rule.finish(Point(str(number), 100 + number, 0.9 - number / 10))
    assert not rule.goes_on(1, Point("late", 200, 0.1))


def test_a_rung_at_which_the_best_looked_weak_stops_few() -> None:
    rule = knowing(0.0)
    rule.record(1, Point("fast", 100, 0.8))
    rule.record(1, Point("slow", 110, 0.6))
    assert not rule.goes_on(1, Point("a", 120, 0.65))
    rule.finish(Point("slow", 110, 0.9))
    assert rule.goes_on(1, Point("b", 120, 0.65))
    assert not rule.goes_on(1, Point("c", 120, 0.55))
    rule.finish(Point("fast", 100, 0.95))  # what was slow is on no front any more
    assert not rule.goes_on(1, Point("d", 120, 0.65))


@given(TRIALS)
def test_lower_is_better_for_a_loss(seen: list[Point]) -> None:
    turned = [Point(one.trial, one.parameters, -one.quality) for one in seen]
    assert [one.trial for one in survivors(turned, mode="min")] == [one.trial for one in survivors(seen)]


def test_noise_keeps_what_is_not_told_apart() -> None:
    seen = [Point("small", 100, 0.70), Point("near", 110, 0.69), Point("behind", 120, 0.60)]
    assert [one.trial for one in survivors(seen, noise=0.02)] == ["small", "near"]
    assert [one.trial for one in survivors(seen, noise=0.2)] == ["small", "near", "behind"]
    assert [one.trial for one in survivors(seen, noise=0.0)] == ["small"]


def test_rungs_are_apart_and_a_trial_does_not_compete_with_itself() -> None:
    rule = knowing(0.0)
    assert rule.goes_on(3, Point("a", 100, 0.9))
    assert rule.goes_on(9, Point("b", 100, 0.5))
    assert rule.goes_on(3, Point("a", 100, 0.1))
    assert not rule.goes_on(9, Point("c", 100, 0.4))
    assert not rule.goes_on(9, Point("d", 100, math.nan))


@given(TRIALS, st.sets(st.integers(0, 39)))
def test_what_was_forgotten_was_never_seen(seen: list[Point], failed: set[int]) -> None:
    rule, other = knowing(0.01), knowing(0.01)
    for number, one in enumerate(seen):
        rule.goes_on(1, one)
        if number not in failed:
            other.goes_on(1, one)
    for number in failed:
        rule.forget(str(number))
    for size, quality in ((10, 0.6), (3_000, 0.7), (90_000, 0.8)):
        late = Point("late", size, quality)
        assert rule.goes_on(1, late) == other.goes_on(1, late)


def ends(rule: FrontRule, sizes: Sequence[int], slots: int, failing: float, seed: int) -> dict[int, str]:
    """How trials of these sizes end that run `slots` at a time, come to their rungs in any order, and fail at times."""
    generator = random.Random(seed)
    ended: dict[int, str] = {}
    running: dict[int, int] = {}
    waiting = list(range(len(sizes)))
    while waiting or running:
        while waiting and len(running) < slots:
            running[waiting.pop(0)] = 0
        number = generator.choice(list(running))
        running[number] += 1
        if generator.random() < failing:
            ended[number] = "failed"
            rule.forget(str(number))
        elif running[number] == 3:
            ended[number] = "finished"
            rule.finish(Point(str(number), sizes[number], generator.random()))
        elif not rule.goes_on(running[number], Point(str(number), sizes[number], generator.random())):
            ended[number] = "stopped"
        if number in ended:
            del running[number]
    return ended


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=150), st.sampled_from([1, 7, 100]), st.integers(0, 10**6))
@settings(deadline=None)
def test_every_region_has_a_finished_trial_however_many_run_at_once(sizes: list[int], slots: int, seed: int) -> None:
    regions = [region(Point("", size, 0.5)) for size in sizes]
    ended = ends(knowing(0.01), sizes, slots, 0.0, seed)
    assert {regions[number] for number, end in ended.items() if end == "finished"} == set(regions)


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=150), st.sampled_from([1, 7, 100]), st.integers(0, 10**6))
@settings(deadline=None)
def test_where_all_others_came_to_nothing_a_further_trial_goes_on(sizes: list[int], slots: int, seed: int) -> None:
    rule = knowing(0.01)
    ended = ends(rule, sizes, slots, 0.4, seed)
    assert len(ended) == len(sizes)
    regions = [region(Point("", size, 0.5)) for size in sizes]
    survived = {regions[number] for number, end in ended.items() if end != "failed"}
    for size, here in zip(sizes, regions, strict=True):
        if here not in survived:
            further = Point("further", size, 0.01)
            assert all(rule.goes_on(rung, further) for rung in (1, 2))


def test_what_was_recorded_before_counts() -> None:
    rule = knowing(0.0)
    rule.record(3, Point("earlier", 100, 0.9))
    assert not rule.goes_on(3, Point("later", 120, 0.8))


@given(st.floats(0.05, 0.95), st.integers(20, 10_000))
def test_standard_errors_shrink_with_rows_and_vanish_at_perfection(quality: float, rows: int) -> None:
    for metric in METRICS.values():
        value = quality if metric.mode == "max" else 1 + quality
        error = standard_error(metric, value, rows)
        assert error > 0
        assert math.isclose(standard_error(metric, value, 4 * rows), error / 2)
        assert standard_error(metric, metric.perfect, rows) == 0
    assert math.isclose(standard_error(METRICS["accuracy"], 0.5, 100), 0.05)


def test_a_forgotten_point_of_the_front_is_compared_with_none_though_another_is_the_best_of_its_region() -> None:
    rule = knowing(0.0)
    rule.record(1, Point("small", 100, 0.6))
    rule.record(1, Point("best", 120, 0.8))
    assert not rule.goes_on(1, Point("behind", 110, 0.55))
    rule.forget("small")
    assert rule.goes_on(1, Point("alone", 110, 0.55))
