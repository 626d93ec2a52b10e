"""What pictures are told, as vectors."""

import pytest
import torch

from imagegen.nn.conditioner import LEFT_TO_TEXT, SILENT, UNLABELLED, Conditioner, Reader, Told
from imagegen.nn.draws import Draws


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def told(labels: list[list[float]], words: list[list[int]] | None = None) -> Told:
    rows = torch.tensor(words) if words else torch.zeros(len(labels), 0, dtype=torch.int64)
    return Told(torch.tensor(labels, dtype=torch.float32), rows)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_mixtures_lie_between_their_labels():
    conditioner = Conditioner(3, 0, 8, 1.0)
    one, other, mixed = conditioner(told([[1, 0, 0], [0, 1, 0], [0.7, 0.3, 0]]))
    assert torch.allclose(mixed, 0.7 * one + 0.3 * other, atol=1e-6)


def test_nothing_told_is_a_vector_of_its_own():
    conditioner = Conditioner(2, 5, 8, 1.0)
    some = told([[1, 0], [0, 1]], [[1, 2, 0], [3, 4, 4]])
    first, second = conditioner(some.nothing())
    assert torch.equal(first, second)
    assert not torch.isclose(conditioner(some), first).any(1).all()
    partly = conditioner(some.only(torch.tensor([False, True])))
    assert torch.allclose(partly, torch.stack([first, conditioner(some)[1]]), atol=1e-5)


def test_what_is_behind_the_end_of_a_text_does_not_count():
    reader = Reader(9, 8, 1.0)
    short = reader(torch.tensor([[1, 2]]))
    longer = reader(torch.tensor([[1, 2, 0, 0, 0], [3, 4, 5, 6, 7]]))
    assert torch.allclose(short[0], longer[0], atol=1e-6)
    empty = reader(torch.tensor([[0, 0], [1, 2]]))
    assert torch.equal(empty[0], reader.silent)
    assert torch.equal(reader(torch.zeros(2, 0, dtype=torch.int64)), reader.silent.expand(2, -1))


def test_the_order_of_words_counts():
    reader = Reader(9, 8, 1.0)
    one, other = reader(torch.tensor([[1, 2, 3], [3, 2, 1]]))
    assert not torch.allclose(one, other, atol=1e-3)


def test_vectors_begin_with_the_spread_asked_for():
    labels = Conditioner(40, 0, 64, 0.2)(told(torch.eye(40).tolist()))
    assert labels.std().item() == pytest.approx(0.2, rel=0.1)
    words = torch.randint(1, 50, (40, 6))
    assert Reader(50, 64, 0.2)(words).std().item() == pytest.approx(0.2, rel=0.3)


def test_every_parameter_learns():
    conditioner = Conditioner(2, 6, 8, 1.0)
    some = told([[1, 0], [0, 1], [0, 0]], [[1, 2, 5], [3, 4, 0], [0, 0, 0]])
    conditioner(some).square().sum().backward()
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


def test_labels_and_texts_are_kept_back_apart():
    count = 4000
    some = told([[1, 0]] * count, [[1, 2]] * count).partly(Draws(3, count))
    unlabelled, silent = some.labels.sum(1) == 0, some.words.sum(1) == 0
    assert unlabelled.float().mean().item() == pytest.approx(LEFT_TO_TEXT, abs=0.02)
    assert silent.float().mean().item() == pytest.approx(SILENT, abs=0.02)
    both = (unlabelled & silent).float().mean().item()
    assert both == pytest.approx(LEFT_TO_TEXT * SILENT, abs=0.01)
    for silent in (torch.zeros(count, 3), torch.zeros(count, 0)):  # no text, and no texts at all
        alone = Told(some.labels.new_ones(count, 2) / 2, silent.long()).partly(Draws(3, count))
        share = (alone.labels.sum(1) == 0).float().mean().item()
        assert share == pytest.approx(UNLABELLED, abs=0.02)
