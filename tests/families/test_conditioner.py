"""What pictures are told, as vectors."""

import math
from dataclasses import replace

import pytest
import torch

from imagegen.nn.conditioner import (
    LEFT_TO_TEXT,
    SILENT,
    UNLABELLED,
    Conditioner,
    Matcher,
    Reader,
    Told,
)
from imagegen.nn.draws import Draws
from tests.telling import only


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def told(labels: list[list[float]], words: list[list[int]] | None = None) -> Told:
    rows = torch.tensor(words) if words else torch.zeros(len(labels), 0, dtype=torch.int64)
    return Told(torch.tensor(labels, dtype=torch.float32), rows, torch.zeros(len(rows)).long())


EQUAL = torch.ones(9)
"""Nine numbers of words, all as rare."""


def test_mixtures_lie_between_their_labels():
    conditioner = Conditioner(3, None, 8, 1.0)
    one, other, mixed = conditioner(told([[1, 0, 0], [0, 1, 0], [0.7, 0.3, 0]]))
    assert torch.allclose(mixed, 0.7 * one + 0.3 * other, atol=1e-6)


def test_nothing_told_is_a_vector_of_its_own():
    conditioner = Conditioner(2, EQUAL, 8, 1.0)
    some = told([[1, 0], [0, 1]], [[1, 2, 0], [3, 4, 4]])
    first, second = conditioner(some.nothing())
    assert torch.equal(first, second)
    assert not torch.isclose(conditioner(some), first).any(1).all()
    partly = conditioner(only(some, torch.tensor([False, True])))
    assert torch.allclose(partly, torch.stack([first, conditioner(some)[1]]), atol=1e-5)


def test_what_is_behind_the_end_of_a_text_does_not_count():
    reader = Reader(EQUAL, 8, 1.0)
    short = reader(torch.tensor([[1, 2]]))
    longer = reader(torch.tensor([[1, 2, 0, 0, 0], [3, 4, 5, 6, 7]]))
    assert torch.allclose(short[0], longer[0], atol=1e-6)
    empty = reader(torch.tensor([[0, 0], [1, 2]]))
    assert torch.equal(empty[0], reader.silent)
    assert torch.equal(reader(torch.zeros(2, 0, dtype=torch.int64)), reader.silent.expand(2, -1))


def test_the_order_of_words_counts():
    reader = Reader(EQUAL, 8, 1.0)
    one, other = reader(torch.tensor([[1, 2, 3], [3, 2, 1]]))
    assert not torch.allclose(one, other, atol=1e-3)


def test_rare_words_count_for_more():
    rarity = torch.tensor([1.0, 1, 1, 1, 9])
    reader = Reader(rarity, 8, 1.0)
    reader.words.weight.data[4] = reader.words.weight.data[3]  # alike but for how rare they are
    usual, frequent, rare = reader(torch.tensor([[1, 2, 1, 2], [1, 3, 1, 2], [1, 4, 1, 2]]))
    assert (usual - rare).norm().item() > 1.5 * (usual - frequent).norm().item()


def test_texts_are_matched_with_pictures_and_equal_texts_are_as_right():
    images = torch.randn(4, 2, 8, 8)
    texts = [[1, 2], [3, 0], [1, 2], [0, 0]]
    lost = Matcher(2, 8)(images, torch.randn(4, 8), torch.tensor(texts)).tolist()
    assert lost[3] == 0  # nothing is said of it
    assert min(lost[:3]) > 0
    conditioner = Conditioner(0, EQUAL, 8, 1.0, channels=2)
    some = told([[]] * 4, texts)
    optimizer = torch.optim.Adam(conditioner.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = conditioner.mismatch(images, some, slice(None))
        assert loss is not None
        loss.backward()
        optimizer.step()
    # Two of four share a text, so that log 2 is the least that is lost for each of them.
    assert loss.item() == pytest.approx(2 * math.log(2) / 4, abs=0.05)


def test_parts_of_a_batch_are_matched_with_all_of_it():
    conditioner = Conditioner(0, EQUAL, 8, 1.0, channels=2)
    some, images = told([[]] * 4, [[1], [2], [3], [4]]), torch.randn(4, 2, 8, 8)
    whole = conditioner.mismatch(images, some, slice(None))
    halves = [conditioner.mismatch(images, some, rows) for rows in (slice(0, 2), slice(2, 4))]
    assert whole is not None
    parts = [half.item() for half in halves if half is not None]
    assert whole.item() == pytest.approx(sum(parts) / 2, rel=1e-5)
    assert Conditioner(2, None, 8, 1.0, channels=2).mismatch(images, some, slice(None)) is None
    assert Conditioner(2, EQUAL, 8, 1.0).mismatch(images, some, slice(None)) is None


def test_vectors_begin_with_the_spread_asked_for():
    labels = Conditioner(40, None, 64, 0.2)(told(torch.eye(40).tolist()))
    assert labels.std().item() == pytest.approx(0.2, rel=0.1)
    words = torch.randint(1, 50, (40, 6))
    assert Reader(torch.ones(50), 64, 0.2)(words).std().item() == pytest.approx(0.2, rel=0.3)


def test_every_parameter_learns():
    conditioner = Conditioner(2, EQUAL, 8, 1.0, channels=3)
    some = told([[1, 0], [0, 1], [0, 0]], [[1, 2, 5], [3, 4, 0], [0, 0, 0]])
    mismatch = conditioner.mismatch(torch.randn(3, 3, 8, 8), some, slice(0, 3))
    assert mismatch is not None
    (conditioner(some).square().sum() + mismatch).backward()
    for name, parameter in conditioner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_same_is_told_by_equal_numbers():
    some = told([[1, 0], [0, 1], [1, 0], [1, 0]], [[1, 2], [1, 2], [1, 2], [1, 0]])
    kinds = some.kinds().tolist()
    assert kinds[0] == kinds[2]
    assert len(set(kinds)) == 3
    assert some.twice().kinds().tolist() == kinds * 2
    assert len(some[1:3]) == 2


def test_how_pictures_lie_is_heard_and_upright_ones_are_as_without() -> None:
    conditioner, plain = Conditioner(2, None, 8, 1.0, turned=True), Conditioner(2, None, 8, 1.0)
    plain.load_state_dict({k: v for k, v in conditioner.state_dict().items() if k != "turns"})
    upright = told([[1, 0]] * 8)
    lying = replace(upright, turned=torch.arange(8))
    assert torch.equal(conditioner(upright), plain(upright))
    said = conditioner(lying)
    assert torch.equal(said[0], plain(upright)[0])
    assert torch.pdist(said).min() > 0.1
    assert len(set(lying.kinds().tolist())) == 8
    for other in (lying.nothing(), lying.partly(Draws(0, 8)), lying[:], lying.to(said.device)):
        assert torch.equal(other.turned, lying.turned)
    for other in (lying.twice(), lying.beside_nothing()):
        assert torch.equal(other.turned, lying.turned.repeat(2))
    # Nothing else may be known of pictures.
    alone = Conditioner(0, None, 8, 1.0, turned=True)
    silent = replace(told([[]] * 2), turned=torch.tensor([0, 3]))
    assert alone(silent)[0].eq(0).all()
    assert alone(silent)[1].ne(0).all()


def test_labels_and_texts_are_kept_back_apart():
    count = 4000
    some = told([[1, 0]] * count, [[1, 2]] * count).partly(Draws(3, count))
    unlabelled, silent = some.labels.sum(1) == 0, some.words.sum(1) == 0
    assert unlabelled.float().mean().item() == pytest.approx(LEFT_TO_TEXT, abs=0.02)
    assert silent.float().mean().item() == pytest.approx(SILENT, abs=0.02)
    both = (unlabelled & silent).float().mean().item()
    assert both == pytest.approx(LEFT_TO_TEXT * SILENT, abs=0.01)
    for silent in (torch.zeros(count, 3), torch.zeros(count, 0)):  # no text, and no texts at all
        halves = some.labels.new_ones(count, 2) / 2
        alone = Told(halves, silent.long(), some.turned).partly(Draws(3, count))
        share = (alone.labels.sum(1) == 0).float().mean().item()
        assert share == pytest.approx(UNLABELLED, abs=0.02)
