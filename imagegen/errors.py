"""Errors that the user can mend, and the exit codes they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell; the README documents the same table."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NOT_FOUND = 4
    INTERRUPTED = 130
    CLOSED_PIPE = 141


class UserError(Exception):
    """Something the user can mend: one line that names the thing, and one hint that helps."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(UserError):
    """A setting, preset or option that is not understood, or that would be ignored."""

    exit_code = ExitCode.USAGE


class NotFoundError(UserError):
    """A model, preset or sample of that name does not exist."""

    exit_code = ExitCode.NOT_FOUND


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest of `choices`, or nothing if none is near.

    One that goes on where the word ends is near, too.
    """
    folded = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    near += [choice for choice in folded if word and choice.startswith(word.casefold())]
    return f"; did you mean '{folded[near[0]]}'?" if near else ""
