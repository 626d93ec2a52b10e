"""The page: whole, true, safe, and readable in a real browser."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from imagegen import registry
from imagegen.data.store import load_pictures
from imagegen.evaluate import charts, copies, facts, report
from imagegen.images import metadata
from tests.evaluate.conftest import BAD, GOOD, evaluation

VOID = {"meta", "img", "br", "line", "circle", "polyline"}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(html.parser.HTMLParser):
    """Checks that a page is well formed, and collects what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.alts: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.add(tag)
        assert len(known) == len(attrs), (tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in known:
            self.ids.append(str(known["id"]))
        self.links += [str(known[key]) for key in ("src", "href", "srcset") if key in known]
        if tag == "img":
            self.alts.append(str(known["alt"]))
        assert not any(key.startswith("on") for key in known)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, self.getpos()


def made(folder: Path, training: bool = False) -> report.Report:
    return report.make(registry.Model(folder), training)


def words(page: str) -> str:
    """Return what is read on a page."""
    body = page[page.index("<body>") :]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def training_pictures(folder: Path, count: int) -> dict[str, str]:
    """Return the digests and the names of some pictures that the model was trained on."""
    model = registry.Model(folder)
    pictures = load_pictures("sample:smileys", facts.gather(model).config.data)
    seen = pictures.part(~copies.load(model.index).held(pictures))
    assert len(seen) < len(pictures)
    digests = [digest.tobytes().hex() for digest in seen.digests]
    return dict(list(zip(digests, seen.names, strict=True))[:count])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("measured", [False, True])
def test_the_page_is_whole(trained: Path, measured: bool, training: bool) -> None:
    if measured:
        evaluation(trained)
    text = made(trained, training).html
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith("data:image/png;base64,") or link.removeprefix("#") in page.ids
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert all(page.alts)
    assert page.alts[0] == "generated picture, seed 0, label 3d"
    assert sum(alt.startswith("generated") for alt in page.alts) == 24 + 2 * measured
    assert sum(alt.startswith("training picture ") for alt in page.alts) == 32 * training


def test_the_same_model_gives_the_same_page(trained: Path) -> None:
    evaluation(trained)
    assert made(trained).html == made(trained).html


def test_pictures_on_it_can_be_made_again(trained: Path) -> None:
    first = Page(made(trained).html).links[10:]
    data = next(link for link in first if link.startswith("data:"))
    record = metadata.read(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))))
    assert record is not None
    assert (record["seed"], record["label"], record["model"]) == (0, "3d", "smileys")


def test_an_unmeasured_model_says_so(trained: Path) -> None:
    shown = words(made(trained).html)
    assert "Not measured yet: its pictures are all the evidence there is." in shown
    assert shown.count("measured by imagegen evaluate smileys") == 5
    evidence, _, training = shown.partition("whether training was steady")
    assert training
    assert "0.410" not in evidence  # but it may be a loss


def test_numbers_stand_beside_their_floor(trained: Path) -> None:
    evaluation(trained)
    shown = words(made(trained).html)
    assert "Far from the real pictures, with little of their variety; 1.2% are copies" in shown
    assert "0.380 to 0.440 for generated, −0.020 to 0.020 for real" in shown
    assert "0.333 0.905" in shown
    assert "It copies." in shown
    assert "Only 21 pictures are held out." in shown
    assert "over 0.3: not alike" in shown
    assert "training picture not shown" in shown
    assert "FID" not in shown


def test_numbers_of_older_weights_are_marked_everywhere(trained: Path) -> None:
    evaluation(trained, weights="0" * 64)
    done = made(trained)
    assert "older model" in done.warnings[0]
    shown = words(done.html)
    assert shown.count("Of an older model.") == 4
    assert "The weights have changed since it was measured." in shown
    assert "of older weights: can't be drawn again" in shown
    assert sum(alt.startswith("generated") for alt in Page(done.html).alts) == 24


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": NaN', "\x00", "[" * 10_000])
def test_a_damaged_evaluation_is_named(trained: Path, content: str) -> None:
    (trained / registry.EVALUATION).write_text(content)
    done = made(trained)
    assert done.facts.state == "damaged"
    assert done.warnings == ["evaluation.json is damaged: nothing of it can be read"]
    assert "Not measured yet" in done.html


def test_what_can_be_read_of_an_evaluation_is_shown(trained: Path) -> None:
    evaluation(trained, kid="much", pairs=[{"seed": -1}], copies=None, labels=3, fidelity=None)
    done = made(trained)
    assert done.warnings[0] == "evaluation.json: can't make sense of kid, labels, pairs"
    assert "0.905" in done.html
    assert words(done.html).count("measured by imagegen evaluate smileys") == 3


def test_both_networks_have_a_chart(trained: Path) -> None:
    evaluation(trained)
    shown = words(made(trained).html)
    assert "Second network: ResNet at 64 px" in shown
    assert "0.600 to 0.640 for generated, −0.010 to 0.020 for real" in shown
    assert "Coverage 31%, of real pictures 86%" in shown
    evaluation(trained, second=None)
    assert "Second network" not in words(made(trained).html)


def test_every_value_may_be_missing(trained: Path) -> None:
    whole = evaluation(trained)
    for key in whole.keys() - {"weights"}:
        evaluation(trained, **{key: None})
        known = facts.gather(registry.Model(trained))
        page = report.render(known, [report.Drawn(b"", 0, None)], [], None, [], "2")
        Page(page)
        assert "None" not in words(page)
    evaluation(trained, equal_sizes={"n": None, "generated": {}, "real": {}})
    for file in ("data.json", "metrics.jsonl"):
        (trained / file).unlink()
    shown = words(made(trained).html)
    assert "No curves." in shown
    assert "not known" in shown


def test_what_others_wrote_is_text(trained: Path) -> None:
    evil = "</pre><script>alert('x')</script>"
    label = {"kid": 1}
    evaluation(trained, warnings=[evil], features=evil, labels={evil: label})
    data = {"source": evil, "labels": {evil: 3}, "skipped": [[evil, evil]], "held_out": 1}
    (trained / "data.json").write_text(json.dumps(data))
    (trained / "metrics.jsonl").write_text(json.dumps({"step": 1, evil: 1.0, "x": 1e300}) + "\n")
    page = made(trained).html
    assert "script" not in Page(page).tags
    assert page.count("&lt;script&gt;") > 5


def test_training_pictures_of_pairs_are_found(trained: Path) -> None:
    known = training_pictures(trained, 2)
    pairs = [
        {"seed": seed, "distance": 0.1, "digest": digest}
        for seed, digest in enumerate([*known, "00" * 8])
    ]
    evaluation(trained, pairs=pairs)
    page = Page(made(trained, training=True).html)
    shown = [alt for alt in page.alts if alt.startswith("training")]
    assert shown[:2] == [f"training picture {name}" for name in known.values()]
    assert len(shown) == 2 + 32
    assert "training picture not found" in made(trained, training=True).html


def test_held_out_pictures_are_not_shown_as_training_pictures(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "CONTACTS", 1000)
    known = training_pictures(trained, 1000)
    page = Page(made(trained, training=True).html)
    shown = [alt for alt in page.alts if alt.startswith("training")]
    assert shown == [f"training picture {name}" for name in known.values()]


def test_training_pictures_that_are_gone_or_changed(trained: Path, pictures: Path) -> None:
    known = json.loads((trained / "data.json").read_text())
    (trained / "data.json").write_text(json.dumps(known | {"source": str(pictures)}))
    assert "have changed since training" in made(trained, training=True).warnings[0]
    shutil.rmtree(pictures)
    done = made(trained, training=True)
    assert "Training pictures can't be shown" in done.warnings[0]
    assert str(pictures) in done.warnings[0]
    assert not any(alt.startswith("training") for alt in Page(done.html).alts)


# --- words and charts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kid_interval": [0.01, 0.03]}, "As near to the real pictures as real ones"),
        ({"equal_sizes": {"generated": GOOD, "real": GOOD}}, "Near to the real pictures, with all"),
        (
            {"equal_sizes": {"generated": GOOD | {"vendi": 1.1}, "real": GOOD}},
            "Nearly all alike; 1.2% are copies",
        ),
        ({"equal_sizes": None}, "Different from the real pictures; 1.2% are copies"),
        ({"copies": 0.0, "copies_interval": [0, 0.004]}, "; no copies of training pictures found."),
        ({"copies_among_real": 0.01}, "1.2% resemble a training picture, no more than real ones"),
        ({"copies": 0.0, "copies_among_real": 0.9}, "; copies can't be told from pictures that"),
        (
            {"kid_interval": None, "equal_sizes": None, "copies": None},
            "Little could be measured.",
        ),
    ],
)
def test_the_verdict_follows_from_the_numbers(
    trained: Path, changes: dict[str, object], says: str
) -> None:
    evaluation(trained, **changes)
    assert says in facts.verdict(facts.gather(registry.Model(trained)))
    assert BAD["precision"] < GOOD["precision"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not measured"), (0.0, "0"), (-0.0001, "0"), (-0.002, "−0.002"), (0.41, "0.410"),
     (1.021, "1.02"), (14.24, "14.2"), (210.4, "210"), (12345.6, "12,346")],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert facts.number(value) == text


def test_intervals_are_placed_on_one_axis() -> None:
    rows = [charts.Row("a", 0.5, (0.4, 0.6), "ours"), charts.Row("b", 0.0, None, "real")]
    chart = charts.intervals(rows, [1.0])
    a, b = chart.rows
    assert 0 < b.at == b.low == b.high < a.low < a.at < a.high < 100
    assert [tick.text for tick in chart.ticks] == ["0", "0.5", "1"]
    flat = charts.intervals([charts.Row("a", 0.0, (0.0, 0.0), "ours")], [0.0])
    assert flat.rows[0].at == 50


def test_a_long_curve_is_averaged() -> None:
    one = charts.curve("loss", [(step, float(step % 2)) for step in range(1, 1601)])
    assert one.averaged == 10
    assert len(one.path.split()) == 160
    heights = {pair.partition(",")[2] for pair in one.path.split()}
    assert heights == {"50.00"}
    assert charts.curve("one", [(20, 3.0)]).path.startswith("0.0,")


# --- to the eye ---------------------------------------------------------------------------------


def test_colours_have_contrast(trained: Path) -> None:
    def light(color: str) -> float:
        full = "".join(2 * c for c in color[1:]) if len(color) == 4 else color[1:]
        parts = [int(full[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    blocks = re.findall(r":root \{(.*?)\}", made(trained).html, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        colors = dict(re.findall(r"--([\w-]+): (#\w+);", block))
        pairs = [
            (ink, page) for ink in ("ink", "soft", "ours", "real") for page in ("page", "raised")
        ]
        for ink, page in [*pairs, ("alarm-ink", "alarm"), ("note-ink", "note")]:
            a, b = sorted((light(colors[ink]), light(colors[page])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (ink, page)


PROBE = """<!doctype html><body style="margin:0"><iframe id="f" src="page.html"
style="border:0;width:{width}px;height:900px"></iframe><pre id="out"></pre><script>
document.getElementById("f").onload = () => {{
  const inner = document.getElementById("f").contentWindow;
  document.getElementById("out").textContent = JSON.stringify({{
    width: inner.document.documentElement.scrollWidth,
    images: [...inner.document.images].every(image => image.naturalWidth > 0),
    asked: inner.performance.getEntriesByType("resource").map(entry => entry.name),
  }});
}};
</script>"""


def browse(folder: Path, page: str, width: int) -> dict[str, object]:
    """Open a page in a frame of some width; return how wide it is and what it asked for."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "probe.html").write_text(PROBE.format(width=width))
    dom = chromium(folder, "--allow-file-access-from-files", "--dump-dom", "probe.html")
    found = re.search(r'<pre id="out">(.*?)</pre>', dom)
    assert found, dom[:500]
    return dict(json.loads(found[1]))


def chromium(folder: Path, *options: str) -> str:
    words = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--virtual-time-budget=3000", f"--user-data-dir={folder / 'profile'}",
             *options[:-1], (folder / options[-1]).as_uri()]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
def test_in_a_real_browser(trained: Path, tmp_path: Path) -> None:
    pairs = [{"seed": seed, "distance": 0.1, "digest": ""} for seed in range(3)]
    long = "a-label-without-any-place-to-break-" * 3
    evaluation(trained, pairs=pairs, labels={long: {"kid": 0.5, "kid_interval": [0.4, 0.6]}})
    data = json.loads((trained / "data.json").read_text())
    data |= {"source": "/home/" + "x" * 200, "skipped": [["y" * 150, "no picture"]]}
    (trained / "data.json").write_text(json.dumps(data))
    page = made(trained).html

    for width in (390, 1280):
        seen = browse(tmp_path, page, width)
        assert seen == {"width": width, "images": True, "asked": []}
        shot = tmp_path / f"{width}.png"
        chromium(tmp_path, f"--screenshot={shot}", f"--window-size={width},2000", "page.html")
        image = Image.open(shot).convert("RGB")
        assert len(image.getcolors(1 << 24) or []) > 500
        assert image.height == 2000

    # The probe would have seen it: a page that is too wide and asks for a picture.
    bad = '<div style="width:492px">x</div><img src="http://127.0.0.1:9/x.png">'
    seen = browse(tmp_path, bad, 390)
    assert seen == {"width": 500, "images": False, "asked": ["http://127.0.0.1:9/x.png"]}
