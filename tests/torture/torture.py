"""Training, tortured: faults are done to the real command, and what comes of it is checked.

    python -m tests.torture.torture [FAMILY ...] [FAULT ...]

Prints a table and, if none is named, writes it to README.md beside this file. Exit code 1 if
anything failed. Linux only; some faults need root (mount), and are left out, visibly, without it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from safetensors.numpy import load_file

from imagegen.families import FAMILIES

STEPS, EVERY, LATE = 400, 5, 340
TINY = {
    "gan": ["model.width=8"],
    "autoencoder": ["model.width=8", "model.blocks=1", "model.prior_width=8", "sample.steps=2"],
    "flow": ["model.width=8", "sample.steps=2"],
    "rnn": ["model.width=8", "model.layers=1", "model.tokens=bits", "data.channels=grey"],
}
"""For each family the settings that make a step take milliseconds; none if not named here."""
SHARED = [
    "data.size=16", "train.batch_size=4", f"train.checkpoint_every={EVERY}",
    "train.sample_every=50", "train.watch_every=150",
]  # fmt: skip
README = Path(__file__).with_name("README.md")
MOMENTS = random.Random(4)
SAME = "ends bit-identical"
Training = subprocess.Popen[str]


class Skipped(Exception):  # noqa: N818 - it is no error
    """This machine can't do such a fault."""


@dataclass
class Row:
    fault: str
    done: str
    outcome: str = ""
    failed: bool = False

    def __str__(self) -> str:
        cells = (self.fault, self.done, self.outcome)
        return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


@dataclass
class Lab:
    """One family's training, and a folder to try faults in."""

    family: str
    folder: Path
    rows: list[Row] = field(default_factory=list)
    running: list[Training] = field(default_factory=list)

    @contextmanager
    def fault(self, fault: str, done: str) -> Iterator[Row]:
        """Try one fault: the body fills in the row's outcome; AssertionError makes it FAILED."""
        row = Row(fault, done)
        try:
            yield row
            assert row.outcome
        except Skipped as reason:
            row.outcome = f"not tried: {reason}"
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            text = " ".join((str(error) or type(error).__name__).split())
            row.failed = True
            row.outcome = (
                f"FAILED: {text if len(text) < 400 else f'{text[:120]} ... {text[-250:]}'}"
            )
        finally:
            for training in self.running:
                if training.poll() is None:
                    kill(training)
            self.running.clear()
        self.rows.append(row)
        print(row, flush=True)

    def words(self, name: str, *more: str) -> list[str]:
        sets = [f"family={self.family}", *SHARED, *TINY.get(self.family, [])]
        length = [] if more else ["--steps", str(STEPS)]
        options = [word for setting in sets for word in ("--set", setting)]
        return ["train", "sample:smileys", *options, *length, *more, "--name", name]

    def start(self, home: Path, words: list[str], *before: str) -> Training:
        training = subprocess.Popen(
            [*before, sys.executable, "-m", "imagegen", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("IMAGEGEN_")},
                "IMAGEGEN_HOME": str(home),
                "OMP_NUM_THREADS": "1",
                "NO_COLOR": "1",
                "COLUMNS": "200",
            },
        )
        self.running.append(training)
        return training

    def run(self, home: Path, words: list[str], code: int = 0) -> str:
        return end(self.start(home, words), code)

    def new(self, home: Path | None = None) -> tuple[Path, Path]:
        """Return a new home and the folder that its model `m` will have."""
        home = home or Path(tempfile.mkdtemp(dir=self.folder))
        return home, home / "models" / "m"

    def late(self, home: Path | None = None) -> tuple[Path, Path]:
        """Return a home with a training that was killed at about step LATE, and its folder."""
        home, model = self.new(home)
        shutil.copytree(self._late, model, symlinks=True)
        return home, model

    @cached_property
    def whole(self) -> Path:
        """The folder of the training that nothing happened to."""
        home, model = self.new()
        self.run(home, self.words("m"))
        return model

    @cached_property
    def startup(self) -> float:
        """Seconds until a training does its first step."""
        home, model = self.new()
        began = time.monotonic()
        training = self.start(home, self.words("m"))
        wait(training, lambda: states(model))
        kill(training)
        return time.monotonic() - began

    @cached_property
    def _late(self) -> Path:
        home, model = self.new()
        training = self.start(home, self.words("m"))
        wait(training, lambda: newest(model) >= LATE)
        kill(training)
        for path in model.rglob(".*.tmp"):  # what kills leave over is another fault
            path.unlink()
        return model

    def prepare(self) -> None:
        """Train what every fault needs."""
        self.whole, self.startup, self._late  # noqa: B018

    def another(self) -> Lab:
        """Return a lab for another thread, with what is prepared."""
        other = copy.copy(self)
        other.rows, other.running = [], []
        return other

    def check(self, model: Path, lost: int = 0) -> None:
        """Hold an ended training against the whole one, bit by bit, and see that it is tidy.

        Of its log a fault may have lost so many lines.
        """
        same = (model / "model.safetensors").read_bytes()
        assert same == (self.whole / "model.safetensors").read_bytes(), "other final weights"
        last = f"state/{STEPS:09d}.safetensors"
        assert tensors(model / last) == tensors(self.whole / last), "other final state"
        tidy(model)
        looks = [steps(one, looks=True) for one in (model, self.whole)]
        assert lost or looks[0] == looks[1], f"looked at the quality at {looks[0]}"
        logged, expected = steps(model), steps(self.whole)
        assert logged[-1] == STEPS, f"metrics.jsonl ends at step {logged[-1]}"
        assert gap(logged) <= gap(expected) * (1 + lost), f"metrics.jsonl lacks steps: {logged}"


def end(training: Training, code: int = 0) -> str:
    """Wait for the end of a training and return its stderr."""
    _, err = training.communicate(timeout=600)
    assert training.returncode == code, f"exit code {training.returncode}, not {code}: {err}"
    assert "Traceback" not in err, err
    return err


def refused(err: str) -> str:
    """Return the one line of an error that is told as it should be."""
    lines = [line.strip() for line in err.splitlines()]
    errors = [line for line in lines if line.startswith("error:")]
    hints = [line for line in lines if line.startswith("hint:")]
    assert len(errors) == len(hints) == 1, f"not one error and one hint: {err}"
    assert lines[-2:] == [*errors, *hints], f"not at the end: {err}"
    assert "bug in imagegen" not in err, err
    return errors[0].removeprefix("error: ")


def wait(training: Training, true: Callable[[], object], seconds: float = 300) -> None:
    limit = time.monotonic() + seconds
    while not true():
        if training.poll() is not None:
            raise AssertionError(f"ended too soon: {training.communicate()[1]}")
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.001)


def goes_on(training: Training, model: Path) -> None:
    """Wait for the next state."""
    old = newest(model)
    wait(training, lambda: newest(model) > old)


def kill(training: Training) -> None:
    training.kill()
    training.communicate()


def states(model: Path) -> list[Path]:
    found = (model / "state").glob("*.safetensors") if model.is_dir() else ()
    return sorted(path for path in found if path.stem.isdigit())


def newest(model: Path) -> int:
    return int(states(model)[-1].stem) if states(model) else -1


def intact(state: Path) -> bool:
    sums = state.with_name(f"{state.name}.sha256")
    try:
        digest = hashlib.sha256(state.read_bytes()).hexdigest()
        return digest in sums.read_text().split()
    except FileNotFoundError:  # dropped by a training under way
        return False


def whole_states(model: Path) -> list[int]:
    return [int(state.stem) for state in states(model) if intact(state)]


def tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    return {key: (str(value.dtype), value.tobytes()) for key, value in load_file(path).items()}


def steps(model: Path, looks: bool = False) -> list[int]:
    records = [json.loads(line) for line in (model / "metrics.jsonl").open()]
    found = [record["step"] for record in records if ("spread" in record) == looks]
    assert found == sorted(set(found)), f"metrics.jsonl is out of order: {found}"
    return found


def gap(logged: list[int]) -> int:
    return max(b - a for a, b in zip([0, *logged], logged, strict=False))


def tidy(model: Path) -> None:
    hidden = [str(path.relative_to(model)) for path in model.rglob(".*")]
    assert not hidden, f"left over: {hidden}"
    lone = [path.name for path in model.rglob("*.sha256") if not path.with_suffix("").exists()]
    assert not lone, f"sums of nothing: {lone}"
    damaged = [path.stem for path in states(model) if not intact(path)]
    assert not damaged, f"states not whole: {damaged}"


def resumed_from(err: str) -> int:
    found = re.search(r"going on from step (\d+)", err)
    assert found, f"does not say where it goes on: {err}"
    return int(found[1])


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
        if path.name != "lock"  # of no content that matters, and not in need of a folder's right
    }


# 1. Kills


def temporary(model: Path, kind: str) -> set[tuple[str, int]]:
    """Return the temporary files there are now, with their times: each writing is another one."""
    found = set()
    for folder in (model, model / "state", model / "samples"):
        try:
            for file in os.scandir(folder):
                if file.name.startswith(".") and re.search(kind, file.name):
                    found.add((file.name, file.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return found


def kill_inside(training: Training, model: Path, kind: str, writes: int) -> bool:
    """Kill at once in the so-manieth writing of a kind of file; True if it was left unfinished."""
    old = temporary(model, kind)
    seen: set[str] = set()
    limit = time.monotonic() + 300
    while training.poll() is None and time.monotonic() < limit:
        fresh = temporary(model, kind) - old
        if fresh and seen.isdisjoint(fresh):
            seen |= fresh
            writes -= 1
            if not writes:
                kill(training)
                return training.returncode == -signal.SIGKILL and bool(temporary(model, kind) - old)
    kill(training)
    return False


def kills(lab: Lab) -> None:
    home, model = lab.new()
    words = lab.words("m")
    inside = {"checkpoint": 0, "final": 0}
    killed = 0

    def at_random() -> None:
        nonlocal killed
        old = temporary(model, "")
        training = lab.start(home, words)
        limit = time.monotonic() + MOMENTS.uniform(0.3, 1.4) * lab.startup
        far = newest(model) + 3 * EVERY  # the machine may have become faster: do not get to the end
        while time.monotonic() < limit and newest(model) < far:
            time.sleep(0.002)
        time.sleep(MOMENTS.uniform(0, 0.1))
        kill(training)
        killed += training.returncode == -signal.SIGKILL
        inside["checkpoint"] += bool(temporary(model, "") - old)

    def writing(kind: str, which: str, writes: int) -> None:
        nonlocal killed
        training = lab.start(home, words)
        inside[which] += kill_inside(training, model, kind, writes)
        killed += training.returncode == -signal.SIGKILL

    state, sums = r"^\.\d+\.safetensors\.tmp", r"^\.\d+\.safetensors\.sha256"
    weights = r"^\.model\.safetensors"
    with lab.fault("SIGKILL over one training", "killed and started again") as row:
        moments = [at_random] * 14
        moments += [lambda: writing(state, "checkpoint", 1)] * 6
        moments += [lambda n=n: writing(sums, "checkpoint", n) for n in (1, 2, 2)]
        moments += [lambda: writing(weights, "checkpoint", MOMENTS.randint(1, 3))] * 5
        MOMENTS.shuffle(moments)
        for moment in moments:
            moment()
        assert newest(model) < STEPS, f"all done after {killed} kills"
        for kind in (state, weights, weights, r"^\.model\.safetensors\.tmp", r"^\.card", r"png"):
            if newest(model) < STEPS:  # up to the end, and there into the very last writing
                training = lab.start(home, words)
                wait(training, lambda: newest(model) >= STEPS - EVERY)
                inside["final"] += kill_inside(training, model, kind, 1)
                killed += training.returncode == -signal.SIGKILL
            else:
                writing(kind, "final", 1)
        row.done += f" ({killed} times)"
        lab.run(home, words)
        assert killed >= 30, f"only {killed} kills"
        assert inside["checkpoint"] >= 10, f"only {inside['checkpoint']} kills inside of writing"
        assert inside["final"] >= 2, f"only {inside['final']} kills inside of the final writing"
        lab.check(model)
        row.outcome = (
            f"{SAME}; {inside['checkpoint']} kills left a half-written file of a checkpoint, "
            f"{inside['final']} one of the end; nothing is left over, no log line lost"
        )


# 2. and 3. Damaged files


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_a_byte(data: bytes) -> bytes:
    return data[:-1]


def zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(4096) + data[middle + 4096 :]


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[MOMENTS.randrange(len(data))] ^= 1 << MOMENTS.randrange(8)
    return bytes(changed)


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def damaged_states(lab: Lab) -> None:
    changes: dict[str, tuple[Callable[[bytes], bytes], int]] = {
        "cut in half": (cut, 1),
        "its last byte cut off": (cut_a_byte, 1),
        "4 kB in the middle zeroed": (zeroed, 1),
        "one bit flipped": (flipped, 3),
        "emptied": (lambda data: b"", 1),
    }
    sums: dict[str, Callable[[Path], object]] = {
        "removed": Path.unlink,
        "bytes that are no text": lambda path: path.write_bytes(bytes(range(128, 256))),
        "emptied": lambda path: path.write_bytes(b""),
        "of another file": lambda path: path.write_text(f"{'0' * 64}  {path.stem}\n"),
    }

    def passed_over(model: Path, home: Path) -> None:
        before, last = states(model)[-2:]
        err = lab.run(home, lab.words("m"))
        told = [line for line in err.splitlines() if line.startswith("warning:")]
        assert told, f"no warning: {err}"
        assert last.name in told[0], f"no warning names {last.name}: {err}"
        assert resumed_from(err) == int(before.stem), err
        lab.check(model)

    told = f"a warning names it; goes on from the state before; {SAME}"
    for what, (change, times) in changes.items():
        with lab.fault("damaged state", f"newest state: {what} ({times})") as row:
            for _ in range(times):
                home, model = lab.late()
                damage(states(model)[-1], change)
                passed_over(model, home)
            row.outcome = told
    for what, spoil in sums.items():
        with lab.fault("damaged state", f"sha256 of the newest state: {what} (1)") as row:
            home, model = lab.late()
            spoil(model / "state" / f"{states(model)[-1].name}.sha256")
            passed_over(model, home)
            row.outcome = told
    with lab.fault("damaged state", "both states, a bit flipped in each (1)") as row:
        home, model = lab.late()
        names = [state.name for state in states(model)]
        for state in states(model):
            damage(state, flipped)
        err = lab.run(home, lab.words("m"))
        for name in names:
            assert re.search(f"warning:.*{name}", err), f"no warning names {name}: {err}"
        assert resumed_from(err) == 0, err
        lab.check(model)
        row.outcome = f"warnings name them; starts again; {SAME}"
    with lab.fault("damaged state", "both states; killed later, while making up for it (1)") as row:
        home, model = lab.late()
        for state in states(model):
            damage(state, cut)
        training = lab.start(home, lab.words("m"))
        wait(training, lambda: 60 <= max([0, *logged(model)]) < LATE)
        kill(training)
        err = lab.run(home, lab.words("m"))
        assert resumed_from(err) >= 50, f"starts from {resumed_from(err)} again, not from 50 or so"
        lab.check(model)
        row.outcome = f"goes on from the states made since; {SAME}"


def logged(model: Path) -> list[int]:
    lines = (model / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def torn_lines(lab: Lab) -> None:
    tears: dict[str, Callable[[bytes], bytes]] = {
        "half a line more": lambda data: data + b'{"decision": "steps", "at": 3',
        "its last line cut": lambda data: data[:-9],
        "zeros at its end": lambda data: data + bytes(300),
    }
    for name in ("journal.jsonl", "metrics.jsonl"):
        with lab.fault("torn journal", f"{name}: {', '.join(tears)} ({len(tears)})") as row:
            for tear in tears.values():
                home, model = lab.late()
                damage(model / "state" / name if "journal" in name else model / name, tear)
                err = lab.run(home, lab.words("m"))
                assert resumed_from(err) >= LATE, err
                check_journal(model, "all steps done")
                lab.check(model, lost=1)
            row.outcome = f"goes on from the newest state; {SAME}"
    with lab.fault("torn journal", "the line that says it is finished, cut (1)") as row:
        home, model = lab.new()
        shutil.copytree(lab.whole, model)
        damage(model / "state" / "journal.jsonl", tears["its last line cut"])
        lab.run(home, lab.words("m"))
        check_journal(model, "all steps done")
        lab.check(model)
        row.outcome = f"finishes again; {SAME}"


def check_journal(model: Path, reason: str) -> list[dict]:
    """Return the decisions of a journal: each made once at a step, and the training ended once."""
    found = []
    for line in (model / "state" / "journal.jsonl").read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # torn
    decisions = [record for record in found if "decision" in record]
    keys = [(record["decision"], record.get("at")) for record in decisions]
    assert len(keys) == len(set(keys)), f"decided twice at one step: {decisions}"
    ends = [record for record in found if "finished" in record]
    assert len(ends) == 1, f"finished {len(ends)} times: {found}"
    assert ends[0]["reason"] == reason, ends
    total = [record["total"] for record in decisions if record["decision"] == "steps"][-1]
    assert ends[0]["finished"] == total, found
    return decisions


# 4. and 5. Disks


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of so many bytes."""
    place = Path(tempfile.mkdtemp(dir=folder))
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise Skipped(f"mounting needs root ({done.stderr.strip()})")


class Hog:
    """Takes whatever room there is on a disk, and whatever becomes free, until told to stop."""

    def __init__(self, place: Path, leave: int = 0) -> None:
        self.file = place / "hog"
        self.full = threading.Event()
        self.over = threading.Event()
        self.leave = leave
        self.thread = threading.Thread(target=self._eat)

    def _eat(self) -> None:
        with self.file.open("ab", buffering=0) as file:
            while not self.over.is_set():
                free = os.statvfs(file.name).f_bavail * os.statvfs(file.name).f_frsize
                if free > self.leave:
                    try:
                        file.write(bytes(min(free - self.leave, 1 << 16)))
                        continue
                    except OSError:
                        pass
                self.full.set()
                time.sleep(0.0005)

    def __enter__(self) -> Hog:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()
        self.file.unlink()


def full_disk(lab: Lab) -> None:
    size = sum(path.stat().st_size for path in lab.whole.rglob("*") if path.is_file())
    room = 3 * size
    what = "from the start too small for"
    for share, of in [(0.01, "the settings"), (0.3, "a state"), (0.65, "a second one")]:
        with lab.fault("full disk (tmpfs)", f"{what} {of} (1)") as row:
            with disk(lab.folder, max(4096, int(size * share) // 4096 * 4096)) as place:
                home, model = lab.new(place)
                told = refused(lab.run(home, lab.words("m"), code=1))
                assert whole_states(model) == [int(path.stem) for path in states(model)]
                kept = max([0, *whole_states(model)])
                mount("-o", f"remount,size={room}", str(place))
                err = lab.run(home, lab.words("m"))
                assert not kept or resumed_from(err) == kept, err
                lab.check(model)
            row.outcome = f"exit 1: `{name(told, home)}`; with more room {SAME}"
    for leave, of in [(0, "no byte left"), (50_000, "50 kB left"), (300_000, "300 kB left")]:
        with lab.fault("full disk (tmpfs)", f"filled in the middle, {of}, and kept so (2)") as row:
            for _ in range(2):
                with disk(lab.folder, room) as place:
                    home, model = lab.late(place)
                    training = lab.start(home, lab.words("m"))
                    goes_on(training, model)
                    time.sleep(MOMENTS.uniform(0, 0.2))
                    before = max(whole_states(model))
                    with Hog(place, leave):
                        _, err = training.communicate(timeout=600)
                        assert max([-1, *whole_states(model)]) >= before, "a state is lost"
                    if training.returncode or not leave:
                        assert training.returncode == 1, f"exit code {training.returncode}: {err}"
                        row.outcome = f"exit 1: `{name(refused(err), home)}`; with room"
                    kept = max(whole_states(model))
                    err = lab.run(home, lab.words("m"))
                    assert kept == STEPS or resumed_from(err) == kept, err
                    lab.check(model)
            row.outcome = f"{row.outcome or 'makes do with what there is;'} {SAME}; no state lost"


def name(told: str, home: Path) -> str:
    return told.replace(str(home), "HOME")


def size_limit(lab: Lab) -> None:
    state = states(lab.whole)[-1].stat().st_size
    weights = (lab.whole / "model.safetensors").stat().st_size
    limits = {"half a state": state // 2, "half the weights": weights // 2, "1 kB": 1000}
    for what, limit in limits.items():
        with lab.fault("file-size limit (RLIMIT_FSIZE)", f"{what}, set in the middle (1)") as row:
            home, model = lab.late()
            training = lab.start(home, lab.words("m"))
            goes_on(training, model)
            before = max(whole_states(model))
            resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (limit, limit))
            told = refused(end(training, 1))
            kept = max([-1, *whole_states(model)])
            assert kept >= before, "a state is lost"
            err = lab.run(home, lab.words("m"))
            assert resumed_from(err) == kept, err
            lab.check(model)
            row.outcome = f"exit 1: `{name(told, home)}`; no state lost; without it {SAME}"


def read_only(lab: Lab) -> None:
    # Root may write where the mode says no, unless it gives that power up.
    humble = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] * (os.geteuid() == 0)

    def unchanged(home: Path, words: list[str], *before: str) -> str:
        held = contents(home)
        told = refused(end(lab.start(home, words, *before), 1))
        assert contents(home) == held, "something changed"
        return name(told, home)

    for begun in (False, True):
        what = "a training begun in it" if begun else "empty"
        with lab.fault("read-only home", f"mounted read-only, {what} (1)") as row:
            home, model = lab.late() if begun else lab.new()
            mount("--bind", str(home), str(home))
            try:
                mount("-o", "remount,bind,ro", str(home))
                told = unchanged(home, lab.words("m"))
            finally:
                subprocess.run(["umount", str(home)], check=True, capture_output=True)
            row.outcome = f"exit 1: `{told}`; nothing changed"
            if begun:
                lab.run(home, lab.words("m"))
                lab.check(model)
                row.outcome += f"; writable again, {SAME}"
        with lab.fault("read-only home", f"no right to write, {what} (1)") as row:
            home, model = lab.late() if begun else lab.new()
            folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
            for folder in folders:
                folder.chmod(0o555)
            told = unchanged(home, lab.words("m"), *humble)
            for folder in folders:
                folder.chmod(0o755)
            row.outcome = f"exit 1: `{told}`; nothing changed"
            if begun:
                lab.run(home, lab.words("m"))
                lab.check(model)
                row.outcome += f"; writable again, {SAME}"
    with lab.fault("read-only home", "state/ closed in the middle (1)") as row:
        home, model = lab.late()
        training = lab.start(home, lab.words("m"), *humble)
        goes_on(training, model)
        (model / "state").chmod(0o555)
        told = name(refused(end(training, 1)), home)
        (model / "state").chmod(0o755)
        err = lab.run(home, lab.words("m"))
        assert resumed_from(err) >= LATE, err
        lab.check(model)
        row.outcome = f"exit 1: `{told}`; no state lost; writable again, {SAME}"


# 6. Signals


def signals(lab: Lab) -> None:
    def begun() -> tuple[Path, Path, Training]:
        home, model = lab.late()
        training = lab.start(home, lab.words("m"))
        goes_on(training, model)
        time.sleep(MOMENTS.uniform(0, 0.3))
        return home, model, training

    def resumed(home: Path, model: Path) -> None:
        kept = max(whole_states(model))
        assert resumed_from(lab.run(home, ["train", "--resume", "m"])) == kept
        lab.check(model)

    saved = f"exit 130; says that it saved, and how to go on; {SAME}"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with lab.fault(number.name, "once, in the middle (2)") as row:
            for _ in range(2):
                home, model, training = begun()
                before = newest(model)
                training.send_signal(number)
                err = end(training, 130)
                assert "stopped and saved" in err, err
                assert max(whole_states(model)) >= before
                tidy(model)
                resumed(home, model)
            row.outcome = saved
    with lab.fault("SIGHUP", "to a training started with nohup (1)") as row:
        home, model = lab.late()
        training = lab.start(home, lab.words("m"), "nohup")
        goes_on(training, model)
        training.send_signal(signal.SIGHUP)
        end(training)
        lab.check(model)
        row.outcome = f"it goes on; {SAME}"
    with lab.fault("SIGINT twice", "at once, in the middle (2)") as row:
        for _ in range(2):
            home, model, training = begun()
            training.send_signal(signal.SIGINT)
            time.sleep(0.02)
            training.send_signal(signal.SIGINT)
            assert "stopped and saved" in end(training, 130)
            resumed(home, model)
        row.outcome = saved
    for where in ("at any moment", "while a file is written"):
        times = 3
        with lab.fault("SIGINT twice", f"1.5 s apart, {where} of the clean stop ({times})") as row:
            broken = 0
            for _ in range(times):
                home, model, training = begun()
                old = temporary(model, "tmp")
                training.send_signal(signal.SIGINT)
                if where == "at any moment":
                    time.sleep(MOMENTS.uniform(0.01, 0.1))
                else:  # no sleep: it is over in milliseconds
                    while training.poll() is None and not temporary(model, "tmp") - old:
                        pass
                # It would have ended before the second one: as on a slow machine, stop its clock.
                training.send_signal(signal.SIGSTOP)
                time.sleep(1.5)
                training.send_signal(signal.SIGINT)
                training.send_signal(signal.SIGCONT)
                _, err = training.communicate(timeout=600)
                # -2: it came when all was saved and told, and Python was about to end.
                saved_before = "stopped and saved" in err
                assert training.returncode in (130, -signal.SIGINT if saved_before else 130), err
                assert "Traceback" not in err, err
                assert not temporary(model, ""), f"left over: {temporary(model, '')}"
                broken += not saved_before
                resumed(home, model)
            row.outcome = f"exit 130, {broken} of {times} broken off; a whole state left; {SAME}"
    with lab.fault("SIGTERM, then SIGKILL", "killed while it saves, as at a shutdown (3)") as row:
        for _ in range(3):
            home, model, training = begun()
            old = temporary(model, "tmp")
            training.send_signal(signal.SIGTERM)
            while training.poll() is None and not temporary(model, "tmp") - old:
                pass
            kill(training)
            resumed(home, model)
        row.outcome = f"{SAME}; nothing is left over"
    with lab.fault("SIGINT", "while it starts, before the first step (5)") as row:
        for _ in range(5):
            home, model = lab.late()
            training = lab.start(home, lab.words("m"))
            time.sleep(MOMENTS.uniform(0.3, 0.9) * lab.startup)
            training.send_signal(signal.SIGINT)
            _, err = training.communicate(timeout=600)
            # Before Python has read our code it ends by the signal itself: for a shell that is 130.
            assert training.returncode in (130, -signal.SIGINT), (training.returncode, err)
            resumed(home, model)
        row.outcome = f"exit 130; {SAME}"


# 7. and 8.


def two_at_once(lab: Lab) -> None:
    for begun, times in ((False, 6), (True, 3)):
        what = "to go on with one" if begun else "of a new name"
        with lab.fault("two trainings at once", f"{what}, the same command ({times})") as row:
            for turn in range(times):
                home, model = lab.late() if begun else lab.new()
                pair = []
                for delay in (0, [0, 0.02, 0.1][turn % 3]):
                    time.sleep(delay)
                    pair.append(lab.start(home, lab.words("m")))
                told = {}
                for training in pair:
                    _, err = training.communicate(timeout=600)
                    told.setdefault(training.returncode, []).append(err)
                assert sorted(told) == [0, 1], f"round {turn + 1}: {told}"
                line = refused(told[1][0])
                assert "being trained by another process" in line, told
                lab.check(model)
            row.outcome = f"one trains and {SAME}; the other: exit 1, `{line}`"
    moments = (r"^\.index\.safetensors\.tmp", r"^\.data", r"^\.config")
    with lab.fault(
        "two trainings at once", "one held up (SIGSTOP) while it makes the folder (3)"
    ) as row:
        for moment in moments:
            home, model = lab.new()
            slow = lab.start(home, lab.words("m"))
            while slow.poll() is None and not temporary(model, moment):
                pass
            slow.send_signal(signal.SIGSTOP)
            quick = lab.start(home, lab.words("m"))
            while quick.poll() is None and newest(model) < EVERY:
                time.sleep(0.01)
            slow.send_signal(signal.SIGCONT)
            ends = {training: training.communicate(timeout=600)[1] for training in (slow, quick)}
            codes = sorted(training.returncode for training in ends)
            told = " ".join(ends.values())
            if codes == [0, 0]:  # the second one came to the lock when the first had ended
                assert told.count("m is finished") == 1, f"held at {moment}: {told}"
            else:
                assert codes == [0, 1], f"held at {moment}: {codes}, {told}"
                line = refused(next(err for training, err in ends.items() if training.returncode))
                assert "being trained by another process" in line, f"held at {moment}: {line}"
            lab.check(model)
        row.outcome = (
            f"one trains and {SAME}; the other says that it is being trained, or is finished"
        )


def budget(lab: Lab) -> None:
    home, model = lab.new()
    words = lab.words("m", "--budget", "90s")
    times = 6
    with lab.fault("--budget and SIGKILL", f"90s, killed and started again ({times})") as row:
        for _ in range(times):
            training = lab.start(home, words)
            goes_on(training, model)
            time.sleep(MOMENTS.uniform(0, 1))
            kill(training)
            assert training.returncode == -signal.SIGKILL, "it ended before it was killed"
        err = lab.run(home, words)
        assert "budget used" in err, err
        decisions = check_journal(model, "budget used")
        tidy(model)
        again, twin = lab.new()
        for folder in ("state", "samples"):
            (twin / folder).mkdir(parents=True)
        for path in model.iterdir():
            if path.is_file() and not path.name.startswith(("model", "metrics", "card")):
                shutil.copy2(path, twin)
        # The same decisions, and none after them: its clock can't fit.
        total = steps(model)[-1]
        last = {"decision": "steps", "at": total, "total": total, "reason": "as before"}
        lines = [json.dumps(record) for record in [*decisions, last]]
        (twin / "state" / "journal.jsonl").write_text("\n".join(lines) + "\n")
        lab.run(again, words)
        one, other = model / "model.safetensors", twin / "model.safetensors"
        assert one.read_bytes() == other.read_bytes(), "its journal does not give its weights"
        row.outcome = (
            f"ends as `budget used` after {len(decisions)} decisions, no two at one step; the same "
            "weights, bit for bit, as an unbroken training by that journal"
        )


FAULTS = {
    one.__name__: one
    for one in (
        kills, damaged_states, torn_lines, full_disk, size_limit, read_only, signals, two_at_once,
        budget,
    )
}  # fmt: skip


TEXT = """# Training, tortured

`make torture` (or `python -m tests.torture.torture`) trains each family on the bundled smileys
({steps} steps at 16 pixels, a checkpoint every {every}), does to the real command what the table
says, and writes this file. The number in brackets says how often. "Ends bit-identical" means: the
same command, or `train --resume`, was then let run to the end, and

- `model.safetensors` is the same file, byte for byte, as that of a training that nothing happened
  to, and every tensor of the last state (weights, average, moments) is the same too;
- the steps in `metrics.jsonl` rise strictly, and none is missing;
- no temporary file, no damaged state and no checksum without its file is left.

No error showed a traceback; each was one `error:` and one `hint:` line, at the end.

The kills "inside" are proven by the unfinished temporary file that was found after them. The disks
are real ones of a few megabytes (tmpfs), filled by another process's file; the read-only homes are
a read-only mount, and a folder whose mode forbids writing, as seen by a process without the
right to overrule modes. A machine that loses its power is not tried here: what the kernel had not
yet written is what `fsync` is for, and no test without such a machine can show it.

Of {machine}; {seconds} seconds in all.
"""


def main() -> None:
    words = sys.argv[1:]
    families = [word for word in words if word in FAMILIES] or sorted(FAMILIES)
    chosen = [FAULTS[word] for word in words if word not in FAMILIES] or list(FAULTS.values())
    began = time.monotonic()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    table: list[str] = []
    failed = 0
    for family in families:
        head = f"\n## {family}\n\n| fault | what was done (how often) | outcome |\n|---|---|---|"
        print(head, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            lab = Lab(family, Path(folder))
            lab.prepare()
            labs = [lab.another() for _ in chosen]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                ended = [pool.submit(one, lab) for one, lab in zip(chosen, labs, strict=True)]
            for future in ended:
                future.result()
        rows = [row for lab in labs for row in lab.rows]
        table += [head, *map(str, rows)]
        failed += sum(row.failed for row in rows)
    seconds = round(time.monotonic() - began)
    print(f"\n{failed} failed, {seconds} seconds")
    if not sys.argv[1:]:
        machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}"
        text = TEXT.format(steps=STEPS, every=EVERY, machine=machine, seconds=seconds)
        README.write_text(text + "\n".join(table) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
