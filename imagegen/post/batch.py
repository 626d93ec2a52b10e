"""Many pictures through one chain: several at once, in order, a broken one no end of the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from imagegen.errors import UserError
from imagegen.images import files, metadata, netpbm
from imagegen.images.naming import Template
from imagegen.images.pixels import to_integers
from imagegen.images.reading import BadPictureError
from imagegen.post.chain import Chain, Watch

ALONE = 8_000_000
"""Pictures of more pixels than this are worked on one at a time, or memory would run short."""
UNKNOWN_BELOW = 1 << 16
"""Bytes; only a larger file, or a very well packed one, can hold a large picture."""


class Source(NamedTuple):
    """One input: what messages call it, what to name its output, how to read its bytes."""

    title: str
    name: str
    read: Callable[[], bytes]
    streamed: bool = False
    """Has no name of its own: `name` is its place, and what the picture says goes before that."""
    path: Path | None = None
    """The file itself, if it is one."""


@dataclass
class Finished:
    """What became of one picture.

    Attributes:
        source: where it came from.
        data: the bytes of its file.
        name: what to call that file, without suffix.
        extras: more files to write beside it; the key ends their name.
        reports: what report steps say.
        notes: what people should know.
        problem: why there is nothing, and
        hint: what to do about it; both empty if all went well.
    """

    source: Source
    data: bytes = b""
    name: str = ""
    extras: dict[str, bytes] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Finishing:
    """What is done to every picture.

    Attributes:
        chain: the steps.
        icc: what becomes of colour profiles.
        max_pixels: larger pictures are refused, and steps with larger results.
        template: how to name the outputs; without it, as the inputs.
        pam: encode as PAM, not PNG.
        watcher: makes, for one picture by its name, what is shown each step of the chain.
    """

    chain: Chain
    icc: files.Profiles
    max_pixels: int
    template: Template | None = None
    pam: bool = False
    watcher: Callable[[str, files.Opened], Watch] | None = None

    def __call__(self, source: Source, place: int, data: bytes) -> Finished:
        """Decode, finish and encode one picture, the one at `place` of all, from 1."""
        finished = Finished(source)
        try:
            self._finish(finished, place, data)
        except BadPictureError as error:
            finished.problem, finished.hint = str(error), error.hint
        except UserError as error:
            finished.problem, finished.hint = error.message, error.hint
        except MemoryError:
            finished.problem = "too large for the memory"
            finished.hint = "use --jobs 1, or make it smaller first"
        return finished

    def _finish(self, finished: Finished, place: int, data: bytes) -> None:
        opened = files.read(data, self.icc, self.max_pixels)
        record = metadata.with_steps(opened.header, self.chain.records)
        finished.name = _name(finished.source, record)
        watch = self.watcher(finished.name, opened) if self.watcher is not None else None
        result = self.chain.run(opened.pixels, watch, self.max_pixels)
        values = to_integers(result.pixels)
        if self.template is not None:
            height, width = values.shape[:2]
            known = {"name": finished.name, "index": place, "width": width, "height": height}
            finished.name = self.template.fill(known | record)
        finished.data = (
            netpbm.encode(values) if self.pam else metadata.encode(values, record, opened.header)
        )
        finished.extras = encode_extras(result.extras, record)
        finished.reports, finished.notes = result.reports, result.notes
        if opened.frames > 1:
            finished.notes.append(
                f"the first of {opened.frames} frames is taken "
                f"(all: ffmpeg -i FILE -f image2pipe -c:v png - | imagegen postprocess ...)"
            )


def encode_extras(extras: dict[str, Any], record: dict[str, Any]) -> dict[str, bytes]:
    """Return the files that steps made (`Picture.extras`) as bytes, pictures with the record."""
    return {
        key: extra if isinstance(extra, bytes) else metadata.encode(extra, record)
        for key, extra in extras.items()
    }


def finish(sources: Iterable[Source], finishing: Finishing, jobs: int) -> Iterator[Finished]:
    """Work on `jobs` pictures at once; what they become comes in the order they came in.

    Threads, not processes: decoders, encoders and filters all run without Python's lock. At most
    about twice as many pictures as jobs are held. Whoever stops asking early does not wait for the
    pictures in work; what becomes of them is lost.

    Raises:
        UserError: where the sources break off, after all that came before.
    """
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1 if jobs > 1 else threads)  # each picture has a processor of its own
    pool = ThreadPoolExecutor(jobs)
    waiting: deque[Future[Finished]] = deque()
    broken = None

    def come(most: int) -> Iterator[Finished]:
        while waiting and (waiting[0].done() or len(waiting) > most):
            yield waiting.popleft().result()

    try:
        places = enumerate(sources, start=1)
        while True:
            try:
                place, source = next(places)
                data = source.read()
            except StopIteration:
                break
            except (BadPictureError, OSError) as error:
                failed: Future[Finished] = Future()
                failed.set_result(_unread(source, error))
                waiting.append(failed)
                continue
            except UserError as error:
                broken = error
                break
            large = len(data) > UNKNOWN_BELOW and files.count_pixels(data) > ALONE
            if large:
                yield from come(0)
            waiting.append(pool.submit(finishing, source, place, data))
            yield from come(0 if large or jobs == 1 else 2 * jobs)
        yield from come(0)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # at the regular end, all is done
        cv2.setNumThreads(threads)
    if broken is not None:
        raise broken


def _unread(source: Source, error: BadPictureError | OSError) -> Finished:
    if isinstance(error, BadPictureError):
        return Finished(source, problem=str(error), hint=error.hint)
    return Finished(source, problem=f"can't be read: {error.strerror}")


def _name(source: Source, record: dict[str, object]) -> str:
    """Name a finished picture: one of a stream by what it says of itself, if it says that."""
    from imagegen.registry import name_from

    if source.streamed and "seed" in record and "model" in record:
        return name_from(f"{record['model']}-{record['seed']}")
    return source.name
