"""Files that survive a crash and notice damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen import durable
from imagegen.errors import UserError


class Crash(BaseException):
    pass


def test_write_replaces_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write(path, b"old")
    durable.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    durable.write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_a_crash_between_data_and_sum_leaves_a_readable_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    path = tmp_path / "weights"
    durable.write_checked(path, b"old")
    real, calls = durable.write, 0

    def write(target: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == crash_at:
            raise Crash
        real(target, data)

    monkeypatch.setattr(durable, "write", write)
    if crash_at < 4:
        with pytest.raises(Crash):
            durable.write_checked(path, b"new")
    else:
        durable.write_checked(path, b"new")
    assert durable.read_checked(path)[0] == (b"old" if crash_at <= 2 else b"new")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    data = bytes(range(64))
    durable.write_checked(path, data)
    for bit in range(0, len(data) * 8, 7):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(UserError, match="is damaged"):
            durable.read_checked(path)


def test_a_missing_sum_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x")
    with pytest.raises(UserError, match=r"weights\.sha256: No such file"):
        durable.read_checked(tmp_path / "weights")


def test_a_torn_line_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    durable.append(path, "one")
    with path.open("ab") as file:
        file.write(b"tor")
    durable.append(path, "two")
    assert path.read_text().splitlines() == ["one", "tor", "two"]
