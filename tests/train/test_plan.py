"""The course of a training: decided once, written down, replayed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.train.plan import Plan, half_cosine


def test_by_steps_progress_is_linear(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "journal")
    plan.decide(0, 200, "steps")
    assert [plan.progress(step) for step in (0, 50, 199)] == [0, 0.25, 0.995]
    assert plan.total(0) == plan.total(199) == 200


def test_nothing_is_decided_before_the_decision(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "journal")
    assert plan.total(5) is None
    plan.decide(10, 100, "probe")
    assert plan.total(9) is None
    assert plan.progress(9) == 0
    assert plan.progress(10) == pytest.approx(0.1)


def test_a_revision_bends_but_never_jumps(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "journal")
    plan.decide(10, 110, "probe")
    before = plan.progress(60)
    plan.decide(60, 85, "slower")
    assert plan.progress(60) == pytest.approx(before)
    assert plan.progress(84) == pytest.approx(1 - (1 - before) / 25)


def test_a_journal_gives_the_same_course(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "journal")
    plan.decide(7, 90, "probe")
    plan.decide(30, 60, "slower")
    again = Plan.read(tmp_path / "journal")
    assert again.decisions == plan.decisions
    assert [again.progress(s) for s in range(60)] == [plan.progress(s) for s in range(60)]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 200)), min_size=1, max_size=6))
def test_progress_always_rises_and_stays_below_one(jumps: list[tuple[int, int]]) -> None:
    at, decisions = 0, []
    for jump, more in jumps:
        at += jump
        decisions.append((at, at + 1 + more))
    # A plan is revised only while steps are left.
    for (_, total), (later, _) in itertools.pairwise(decisions):
        if later >= total:
            return
    plan = Plan(Path("/nonexistent"), decisions)
    course = [plan.progress(step) for step in range(decisions[-1][1])]
    assert all(a <= b for a, b in itertools.pairwise(course))
    assert course[-1] < 1


def test_half_cosine_ends() -> None:
    assert half_cosine(0, 2, 1) == 2
    assert half_cosine(1, 2, 1) == 1
    assert half_cosine(0.5, 2, 1) == pytest.approx(1.5)
