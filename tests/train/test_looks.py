"""What looks at the quality conclude, on numbers made up and on pictures that are real."""

from __future__ import annotations

import numpy as np
import pytest

from imagegen.settings import TrainSettings
from imagegen.train.judge import Judge, Look
from imagegen.train.loop import Training
from imagegen.train.watch import spread

JUDGE = Judge()


def look(step: int, kid: float | None = 0.5, copies: float = 0.0, spread: float = 1.0) -> Look:
    low, high = (None, None) if kid is None else (kid - 0.05, kid + 0.05)
    return Look(step, kid, low, high, 0.5, copies, copies, spread, {"gap": 0.1})


def looks(*kids: float) -> list[Look]:
    return [look(100 * number, kid) for number, kid in enumerate(kids, start=1)]


def test_a_look_is_written_down_and_read_again() -> None:
    one = look(300)
    assert Look.of({"decision": "watched", "at": 300, **one.record()}) == one
    few = Look(7, None, None, None, None, 0.5, 0.25, None, {})
    assert Look.of({"decision": "watched", "at": 7, **few.record()}) == few


def test_the_last_is_the_best_unless_another_was_so_beyond_doubt() -> None:
    assert JUDGE.best([]) is None
    for kids, step in [
        ((0.9, 0.5, 0.4), 300),
        ((0.9, 0.4, 0.45), 300),  # intervals overlap
        ((0.9, 0.4, 0.6), 200),
        ((0.9, 0.4, 0.6, 0.45), 400),
    ]:
        best = JUDGE.best(looks(*kids))
        assert best is not None
        assert best.step == step


def test_what_copies_is_not_the_best_if_something_else_is_there() -> None:
    best = JUDGE.best([look(1, 0.5), look(2, 0.1, copies=0.8)])
    assert best is not None
    assert best.step == 1
    best = JUDGE.best([look(1, 0.5, copies=0.9), look(2, 0.6, copies=0.8)])
    assert best is not None
    assert best.step == 2


def test_another_number_can_judge() -> None:
    def held(step: int, loss: float, copies: float = 0.0) -> Look:
        return Look(step, 1 / step, None, None, 0.5, copies, copies, 1.0, {"held_out": loss})

    for losses, step in [((3.0, 2.0, 1.0), 3), ((3.0, 1.0, 2.0), 2), ((3.0, 1.0, 1.001), 3)]:
        judged = [held(number, loss) for number, loss in enumerate(losses, start=1)]
        best = Judge("held_out").best(judged)
        assert best is not None
        assert best.step == step
    best = Judge("held_out").best([held(1, 2.0), held(2, 1.0, copies=0.8)])
    assert best is not None
    assert best.step == 1


def test_without_numbers_the_last_is_the_best() -> None:
    best = JUDGE.best([look(1, None), look(2, None)])
    assert best is not None
    assert best.step == 2


def test_collapse_is_answered_three_times() -> None:
    fine, bad = look(1), look(2, spread=0.1)
    assert not JUDGE.has_collapsed(fine)
    assert [JUDGE.caution([fine, *[bad] * n]) for n in range(5)] == [0, 1, 2, 3, 3]
    assert not JUDGE.is_given_up([bad] * 3)
    assert JUDGE.is_given_up([bad] * 4)
    assert not JUDGE.is_given_up([*[bad] * 4, fine])
    never = Judge(can_collapse=False)
    assert never.caution([bad] * 4) == 0
    assert not never.verdict([bad] * 4)
    assert not list(never.warnings([bad]))
    assert JUDGE.verdict([bad] * 4)


def test_copying_is_believed_at_the_second_look() -> None:
    bad = look(1, copies=0.6)
    assert not JUDGE.memorises([bad])
    assert JUDGE.memorises([look(0), bad, bad])
    assert not JUDGE.memorises([bad, bad, look(2)])


def test_a_plateau_is_eight_looks_without_a_better_one() -> None:
    assert not JUDGE.is_plateau(looks(*[0.5] * 8))
    assert JUDGE.is_plateau(looks(*[0.5] * 9))
    assert JUDGE.is_plateau(looks(0.9, 0.4, *[0.5] * 8))
    assert not JUDGE.is_plateau(looks(0.9, 0.4, *[0.5] * 7, 0.39))


def test_spread_of_known_sets() -> None:
    random = np.random.Generator(np.random.Philox(1))
    real = random.normal(size=(200, 16))
    assert spread(real, random.normal(size=(200, 16))) == pytest.approx(1, abs=0.1)
    assert spread(real, 0.1 * random.normal(size=(200, 16))) == pytest.approx(0.1, abs=0.02)
    again = random.normal(size=(10, 16))[np.arange(200) % 10]  # a few pictures, over and over
    assert spread(real, again + 1e-3 * random.normal(size=again.shape)) < 0.01
    learnt_by_heart = real[random.integers(0, 200, 256)]
    assert spread(real, learnt_by_heart) > 0.7
    assert spread(np.zeros((20, 3)), random.normal(size=(20, 3))) == 1


def test_the_last_look_is_taken_whatever_time_the_others_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = Training.__new__(Training)
    training.settings = TrainSettings(budget="100s")
    training.looks, training.spent, training.cost = [], {"watching": 0.0}, {"sheets": 0.0}
    monkeypatch.setattr(training, "_elapsed", lambda: 80.0)
    assert training._has_time(last=False)
    training.cost["sheets"] = 0.15  # of 16 pictures; a look draws 256, and measures them
    assert not training._has_time(last=False)
    assert not training._has_time(last=True)
    training.cost["sheets"] = 0.11
    assert not training._has_time(last=False)
    assert training._has_time(last=True)
    training.looks, training.spent["watching"] = looks(0.5, 0.4), 7.0  # more than 4 of 100 seconds
    assert not training._has_time(last=False)
    assert training._has_time(last=True)
    training.spent["watching"] = 9.0
    assert not training._has_time(last=True)
