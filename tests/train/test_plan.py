"""The course of a training: decided once, written down, replayed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.train.journal import Journal
from imagegen.train.plan import Clock, Plan, half_cosine


def test_by_steps_progress_is_linear(tmp_path: Path) -> None:
    plan = Plan(Journal(tmp_path / "journal"))
    plan.decide(0, 200, "steps")
    assert [plan.progress(step) for step in (0, 50, 199)] == [0, 0.25, 0.995]
    assert plan.total(0) == plan.total(199) == 200


def test_nothing_is_decided_before_the_decision(tmp_path: Path) -> None:
    plan = Plan(Journal(tmp_path / "journal"))
    assert plan.total(5) is None
    plan.decide(10, 100, "probe")
    assert plan.total(9) is None
    assert plan.progress(9) == 0
    assert plan.progress(10) == pytest.approx(0.1)


def test_a_revision_bends_but_never_jumps(tmp_path: Path) -> None:
    plan = Plan(Journal(tmp_path / "journal"))
    plan.decide(10, 110, "probe")
    before = plan.progress(60)
    plan.decide(60, 85, "slower")
    assert plan.progress(60) == pytest.approx(before)
    assert plan.progress(84) == pytest.approx(1 - (1 - before) / 25)


def test_a_journal_gives_the_same_course(tmp_path: Path) -> None:
    plan = Plan(Journal(tmp_path / "journal"))
    plan.decide(7, 90, "probe")
    plan.decide(30, 60, "slower")
    again = Plan(Journal.read(tmp_path / "journal"))
    assert again.journal.records == plan.journal.records
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
    records = [{"decision": "steps", "at": at, "total": total} for at, total in decisions]
    plan = Plan(Journal(Path("/nonexistent"), records))
    course = [plan.progress(step) for step in range(decisions[-1][1])]
    assert all(a <= b for a, b in itertools.pairwise(course))
    assert course[-1] < 1


def test_half_cosine_ends() -> None:
    assert half_cosine(0, 2, 1) == 2
    assert half_cosine(1, 2, 1) == 1
    assert half_cosine(0.5, 2, 1) == pytest.approx(1.5)


class Machine:
    """A machine of a given pace: `pace(now)` are the seconds that a step takes at a time."""

    def __init__(self, pace) -> None:
        self.pace = pace
        self.now = 0.0

    def run(self, tmp_path: Path, budget: float, reserve: float = 0.0) -> Plan:
        plan = Plan(Journal(tmp_path / "journal"))
        clock = Clock(plan, budget, 0, lambda: self.now)
        step = 0
        while True:
            clock.decide(step, reserve)
            if (total := plan.total(step)) is not None and step >= total:
                break
            self.now += self.pace(self.now)
            step += 1
        self.now += reserve
        return plan


@pytest.mark.parametrize("budget", [60, 600, 36_000])
@pytest.mark.parametrize(
    "pace",
    [
        lambda now: 0.1,
        lambda now: 0.3 if now < 20 else 0.1,
        lambda now: 0.1 if now < 20 else 0.4,
        lambda now: 2.0 if 20 < now < 40 else 0.1,
        lambda now: 0.1 + 0.1 * (int(now) % 7 == 3),
    ],
    ids=["steady", "slow at first", "shared later", "a standstill", "uneven"],
)
def test_a_budget_is_met_whatever_the_machine_does(tmp_path: Path, budget: int, pace) -> None:
    machine = Machine(pace)
    plan = machine.run(tmp_path, budget, reserve=2)
    assert 0.9 * budget <= machine.now <= 1.05 * budget
    assert len(list(plan.journal.of("steps"))) < 30


def test_a_machine_that_is_free_again_at_the_end_is_used(tmp_path: Path) -> None:
    machine = Machine(lambda now: 5.0 if 30 < now < 92 else 0.05)
    machine.run(tmp_path, 100)
    assert 90 <= machine.now <= 106
