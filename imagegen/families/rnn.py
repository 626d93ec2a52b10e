"""A recurrent network that draws a picture token by token, and knows how likely each one was.

The picture is a grid of tokens, drawn row by row. Two stacks of minGRU layers take turns, as the
two of a gated PixelCNN do (van den Oord et al. 2016, arXiv 1606.05328), but with recurrences in
place of stacks of convolutions, as in a RowLSTM (van den Oord et al. 2016, arXiv 1601.06759):
- `down` goes from row to row, over all columns at once. It sees every row above the present one.
- `along` goes from token to token in a row. It sees what `down` says, and the tokens to the left.

So nothing above or to the left is out of sight, and what is remembered does not grow with the
number of tokens: one state a column, and one for the row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from imagegen.errors import SettingsError
from imagegen.families.autoencoder import Autoencoder
from imagegen.family import FAMILIES, Batch, Condition, Family, Shape
from imagegen.nn.blocks import in_float32
from imagegen.nn.conditioner import Told, is_led
from imagegen.nn.mingru import Layer, State
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

DOWN, ALONG = (3, 5), (4, 1)
"""What the convolutions of the two stacks see: steps behind, this one included, and places beside
each other."""
PATCH = 2
"""Side of the square of black and white pixels that is a token."""

States = list[State | None]
"""What each layer of a stack remembers; None at the beginning."""


class Prior(nn.Module):
    """Tokens in, the logits of each one given all before it out."""

    def __init__(
        self, codes: int, grid: tuple[int, int], width: int, layers: int, condition: Condition
    ) -> None:
        """Build it.

        Args:
            codes: different tokens.
            grid: rows and columns.
            width: features of each cell.
            layers: of each stack.
            condition: what it can be told.
        """
        super().__init__()
        self.codes, self.layers, self.width = codes, layers, width
        # The last token of each is what lies beyond the edge.
        self.above = nn.Embedding(codes + 1, width)
        self.left = nn.Embedding(codes + 1, width)
        self.row = nn.Parameter(torch.randn(grid[0], 1, width) * 0.3)
        self.column = nn.Parameter(torch.randn(grid[1], width) * 0.3)
        self.conditioner = condition.conditioner(width, 1.0)
        self.down = nn.ModuleList(Layer(width, *DOWN) for _ in range(layers))
        self.along = nn.ModuleList(Layer(width, *ALONG) for _ in range(layers))
        self.head = nn.Sequential(nn.RMSNorm(width), nn.Linear(width, codes))

    def forward(self, tokens: Tensor, told: Tensor | None, kept: Tensor | None = None) -> Tensor:
        """Map (N, rows, columns) tokens to (N, rows, columns, codes) logits.

        Args:
            tokens: int64 in [0, codes).
            told: (N, width), from `listen`.
            kept: (N, 2 * layers, width), what dropout multiplies the changes with.
        """
        above = F.pad(tokens[:, :-1], (0, 0, 1, 0), value=self.codes)
        left = F.pad(tokens[:, :, :-1], (1, 0), value=self.codes)
        down, along = (None, None) if kept is None else kept.chunk(2, dim=1)
        seen = self.go_down(above, slice(None), told, [None] * self.layers, down)
        return self.go_along(left, seen, [None] * self.layers, along)

    def listen(self, told: Told | None) -> Tensor | None:
        """Return what pictures are told to be as vectors, (N, width); None if it can't be told."""
        return None if self.conditioner is None else self.conditioner(told)

    def go_down(
        self,
        above: Tensor,
        rows: slice,
        told: Tensor | None,
        states: States,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Return what all rows above say, (N, R, columns, width), for R rows.

        Args:
            above: (N, R, columns), the tokens above each.
            rows: which ones these are.
            told: (N, width), from `listen`.
            states: before these rows; afterwards, after them.
            kept: (N, layers, width), what dropout multiplies the changes with.
        """
        x = self.above(above) + self.row[rows] + self.column
        if told is not None:
            x = x + told[:, None, None]
        return _through(self.down, x, states, kept)

    def go_along(
        self, left: Tensor, seen: Tensor, states: States, kept: Tensor | None = None
    ) -> Tensor:
        """Return the logits of C columns of R rows, (N, R, C, codes).

        Args:
            left: (N, R, C), the tokens to the left of each.
            seen: (N, R, C, width), from `go_down`.
            states: before these columns; afterwards, after them.
            kept: (N, layers, width), what dropout multiplies the changes with.
        """
        x = (self.left(left) + seen).transpose(1, 2).contiguous()
        logits: Tensor = self.head(_through(self.along, x, states, kept).transpose(1, 2))
        return logits


def _through(stack: nn.ModuleList, x: Tensor, states: States, kept: Tensor | None) -> Tensor:
    """Take x, (N, T, S, width), through a stack of layers, and `states` on."""
    for index, layer in enumerate(stack):
        mask = None if kept is None else kept[:, index, None, None]
        x, states[index] = layer(x, mask, states[index])
    return x


@FAMILIES.register("rnn")
class Rnn(Family):
    """Draws tokens one after the other; can say how likely a picture is, and go on with a part.

    Its likelihood is exact. With `tokens: autoencoder` it is that of the tokens; with `tokens:
    bits` that of the black and white pixels themselves, as published for binarised digits. Greys
    are then taken as chances of white, and drawn anew in each step.
    """

    phases = ("prior",)
    drawn_by: tuple[str, ...] = ("prior",)
    judged_by = "held_out"
    stands: ClassVar[bool] = True
    completes: ClassVar[bool] = True
    has_likelihood: ClassVar[bool] = True

    class Model(Settings):
        """What it draws, and the size of the network."""

        tokens: Literal["autoencoder", "bits"] = "autoencoder"
        """`autoencoder`: those of an autoencoder of kind `fsq`; `bits`: squares of 2x2 pixels,
        black or white, for grey pictures."""
        width: Annotated[int, Field(ge=8)] = 96
        """Features of each cell of the grid."""
        layers: Annotated[int, Field(ge=1)] = 2
        """Recurrent layers from row to row, and as many along each row."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
        """Share of features left out in training, the same ones in all of a picture."""
        noise: Annotated[float, Field(ge=0, le=0.5)] = 0
        """Share of tokens that are others by chance when the next ones are learnt, in some pictures
        none and in some twice as many: of few pictures less is learnt by heart. None are before the
        set has been seen ten times, all from twenty."""

    class Sampling(Settings):
        """How tokens are drawn."""

        temperature: Annotated[float, Field(ge=0.01, le=10)] = 1.0
        """Below 1, likely tokens become likelier: safer and less varied."""
        top_k: Annotated[int, Field(ge=1)] | None = None
        """Draw from so many of the likeliest tokens only."""
        top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
        """Draw from the likeliest tokens only that together have this share."""
        guidance: Annotated[float, Field(ge=0, le=100)] = 1.5
        """How much more a label or text counts than it did in training: above 1, pictures are more
        typical of it and less varied, and take twice the time of 1. Untold it does nothing."""

    model: Model

    def build(self) -> None:
        """Build the networks; see `Family.build`."""
        model, shape = self.model, self.shape
        if model.tokens == "bits":
            self.factor, codes = PATCH, 2**PATCH**2
            _check_bits(shape, self.autoencoder)
        else:
            coder = self._coder()
            self.factor, codes = coder.factor, coder.codes
            # Of few pictures, new ones are soon less likely, long before pictures are copies.
            self.judged_by = "kid"
        self.grid = (shape[1] // self.factor, shape[2] // self.factor)
        self.prior = Prior(codes, self.grid, model.width, model.layers, self.condition)

    def prepare(self, images: Tensor) -> Tensor:
        """Return the tokens of pictures, (N, rows, columns); of bits, the pictures."""
        return self._tokens(images) if self.model.tokens == "autoencoder" else images

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the cross-entropy in nats a token.

        Dropout leaves out the same features everywhere in a picture (Gal and Ghahramani 2016,
        arXiv 1512.05287). Noise changes what is seen, not what is to be said (Xie et al. 2017,
        arXiv 1703.02573).
        """
        model, kept = self.model, None
        if model.dropout:
            chances = batch.draws.uniform(0, 1, 2 * model.layers, model.width)
            kept = ((chances >= model.dropout) / (1 - model.dropout)).to(self.device)
        told = None if batch.told is None else batch.told.partly(batch.draws)
        tokens = heard = self._seen(batch)
        if model.noise:
            shares = batch.draws.uniform(0, 2 * model.noise * batch.often, 1, 1)
            wrong = batch.draws.uniform(0, 1, *self.grid) < shares
            others = batch.draws.integers(0, self.prior.codes, *self.grid)
            heard = torch.where(wrong.to(self.device), others.to(self.device), tokens)
        nats = self._nats(tokens, told, kept, heard)
        return nats.mean() / math.prod(self.grid), {}

    @torch.no_grad()
    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return the nats of a held-out picture, and the same in bits per dimension."""
        nats = self._nats(self._seen(held_out), held_out.told).mean().item()
        return {"held_out": nats, "bits_per_dim": self.bits_per_dim(nats)}

    def likelihood(self, images: Tensor, told: Told | None = None) -> Tensor:
        """Return the negative log-likelihood of each picture, exact, in nats, (N,).

        That of its tokens; with `tokens: bits` of the pixels, where whatever is above 0 is white.
        """
        return self._nats(self._tokens(images), told)

    def bits_per_dim(self, nats: float) -> float:
        """Return the bits for each thing drawn, a pixel or a token of the autoencoder."""
        if self.model.tokens == "bits":
            return super().bits_per_dim(nats)
        return nats / math.log(2) / math.prod(self.grid)

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures, (N, C, H, W), in about [-1, 1]."""
        none = torch.empty(len(noise), 0, self.grid[1], dtype=torch.int64, device=self.device)
        return self._pictures(self._draw(noise, none, told, options))

    def complete(self, noise: Noise, known: Tensor, told: Told | None, options: Any) -> Tensor:
        """Draw what is below the upper part of a picture; that part stays as it is."""
        rows = known.shape[2] // self.factor
        missing = self.shape[1] - known.shape[2]
        whole = F.pad(known, (0, 0, 0, missing), mode="replicate")
        tokens = self._draw(noise, self._tokens(whole)[:, :rows], told, options)
        return torch.cat([known, self._pictures(tokens)[:, :, known.shape[2] :]], dim=2)

    def _coder(self) -> Autoencoder:
        """Return what turns pictures into tokens.

        Raises:
            SettingsError: if it is not there, or has no tokens.
        """
        if not isinstance(self.autoencoder, Autoencoder):
            raise SettingsError(
                "model.tokens: there is no autoencoder whose tokens an rnn could draw",
                "--preset rnn trains one; name yours with --set autoencoder.name=NAME",
            )
        if (kind := self.autoencoder.model.kind) != "fsq":
            raise SettingsError(
                f"autoencoder: an rnn draws tokens, and kind {kind} has none",
                "take one of kind fsq: imagegen train DATA --preset tokenizer",
            )
        return self.autoencoder

    def _seen(self, batch: Batch) -> Tensor:
        """Return a batch's tokens, (N, rows, columns)."""
        if self.model.tokens == "autoencoder":
            return batch.images
        return self._tokens(self._binarised(batch))

    def _binarised(self, batch: Batch) -> Tensor:
        """Return pictures with each grey drawn as black or white."""
        chances = batch.draws.uniform(-1, 1, *self.shape).to(self.device)
        return (batch.images > chances) * 2.0 - 1

    def _tokens(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, rows, columns) tokens."""
        if self.model.tokens == "autoencoder":
            coder = self._coder()
            return coder.tokens(coder.encode(images))
        bits = F.pixel_unshuffle((images > 0).long(), PATCH)
        return (bits * _places(bits)).sum(1)

    def _pictures(self, tokens: Tensor) -> Tensor:
        """Map (N, rows, columns) tokens to (N, C, H, W)."""
        if self.model.tokens == "autoencoder":
            coder = self._coder()
            return coder.decode(coder.latents(tokens))
        bits = tokens[:, None] // _places(tokens) % 2
        return F.pixel_shuffle(bits * 2.0 - 1, PATCH)

    def _nats(
        self,
        tokens: Tensor,
        told: Told | None,
        kept: Tensor | None = None,
        heard: Tensor | None = None,
    ) -> Tensor:
        """Return the nats of each picture's tokens, (N,), given those `heard` before each."""
        before = tokens if heard is None else heard
        logits = self.prior(before, self.prior.listen(told), kept)
        return F.cross_entropy(in_float32(logits).movedim(3, 1), tokens, reduction="none").sum(
            (1, 2)
        )

    def _draw(self, noise: Noise, known: Tensor, told: Told | None, options: Any) -> Tensor:
        """Draw the tokens below the (N, K, columns) known ones; return all, (N, rows, columns).

        With guidance, logits lead away from those of a picture that nothing is told of (Gafni et
        al. 2022, arXiv 2203.13131).
        """
        both = 1
        if is_led(told, options.guidance):
            told, both = told.beside_nothing(), 2
        heard = self.prior.listen(told)
        chances = torch.from_numpy(noise.uniform(*self.grid)).to(self.device)
        tokens = torch.full((len(noise), *self.grid), self.prior.codes, device=self.device)
        tokens[:, : known.shape[1]] = known
        beyond = torch.full_like(tokens[:, :1], self.prior.codes)
        down: States = [None] * self.model.layers
        for row in range(self.grid[0]):
            above = tokens[:, row - 1 : row] if row else beyond
            above = above.repeat(both, 1, 1)
            seen = self.prior.go_down(above, slice(row, row + 1), heard, down)
            if row < known.shape[1]:
                continue
            left = beyond[:, :, :1]
            along: States = [None] * self.model.layers
            for column in range(self.grid[1]):
                left = left.repeat(both, 1, 1)
                logits = self.prior.go_along(left, seen[:, :, column : column + 1], along)
                if both == 2:
                    said, plain = logits.chunk(2)
                    logits = plain + options.guidance * (said - plain)
                left = _pick_token(logits, chances[:, row, column, None, None], options)
                tokens[:, row, column] = left[:, 0, 0]
        return tokens


def _places(like: Tensor) -> Tensor:
    """Return what each bit of a token counts, (1, PATCH^2, 1, 1)."""
    return 2 ** torch.arange(PATCH**2, device=like.device).view(1, -1, 1, 1)


def _pick_token(logits: Tensor, chances: Tensor, options: Rnn.Sampling) -> Tensor:
    """Draw tokens of (..., codes) logits by the inverse of their distribution.

    Args:
        logits: unnormalised.
        chances: (...), in [0, 1).
        options: temperature and what is cut off.
    """
    shares, order = (logits.float() / options.temperature).softmax(-1).sort(-1, descending=True)
    total = shares.cumsum(-1)
    shares = shares * (total - shares < options.top_p)  # the first that reach it, at least one
    total = shares[..., : options.top_k].cumsum(-1)
    place = (total <= chances[..., None] * total[..., -1:]).sum(-1, keepdim=True)
    place = place.clamp_max(total.shape[-1] - 1)
    return order.gather(-1, place).squeeze(-1)


def _check_bits(shape: Shape, autoencoder: Family | None) -> None:
    """Raise SettingsError unless pictures of this shape can be drawn as bits."""
    if autoencoder is not None:
        raise SettingsError("model.tokens: bits need no autoencoder", "leave one of the two out")
    if shape[0] != 1:
        raise SettingsError("model.tokens: bits are for grey pictures", "--set data.channels=grey")
    if shape[1] % PATCH or shape[2] % PATCH:
        raise SettingsError(
            f"data.size: bits are drawn in squares of {PATCH}x{PATCH} pixels",
            f"try {shape[1] // PATCH * PATCH} or {(shape[1] // PATCH + 1) * PATCH}",
        )
