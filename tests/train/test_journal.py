"""Decisions are written down, hold from their step on, and are replayed."""

from __future__ import annotations

from pathlib import Path

from imagegen.train.journal import RATE, SPLIT, STEPS, WATCHED, Journal


def test_decisions_hold_from_their_step_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(RATE, 100, factor=0.5)
    journal.add(RATE, 100, factor=0.5)
    journal.add(SPLIT, 50, parts=2)
    assert [journal.rate(step) for step in (0, 99, 100, 500)] == [1, 1, 0.25, 0.25]
    assert [journal.parts(step) for step in (0, 50)] == [1, 2]
    again = Journal.read(tmp_path / "journal.jsonl")
    assert again.records == journal.records


def test_going_back_forgets_what_was_seen_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(STEPS, 10, total=900)
    for step in (100, 200, 300):
        journal.add(WATCHED, step, kid=step / 1000)
    journal.add(RATE, 200, factor=0.5)
    assert journal.watched(300) is None
    assert journal.watched(200) is not None
    journal.add(WATCHED, 300, kid=0.1)
    for one in (journal, Journal.read(tmp_path / "journal.jsonl")):
        assert [record["at"] for record in one.of(WATCHED)] == [100, 200, 300]
        assert next(r["kid"] for r in one.of(WATCHED) if r["at"] == 300) == 0.1


def test_a_torn_line_and_others_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).add(STEPS, 0, total=5)
    with path.open("a") as file:
        file.write('{"finished": 5, "reason": "done"}\n{"decision": "wat')
    assert [record["at"] for record in Journal.read(path).records] == [0]
