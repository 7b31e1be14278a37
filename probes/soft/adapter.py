"""From patches of numbers to input vectors of a model, and from its last state to a forecast."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from probes.soft.backbones import Backbone
from probes.soft.series import Windows

ENTRIES = ("patches", "prototypes", "anchors")
_PROTOTYPES, _ANCHORS, _BATCH, _ROWS = 64, 2, 16, 64
_PENALTIES = tuple(10.0**k for k in range(-8, 3))


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """How patches enter: the text in front, the vocabulary, and the weights that are trained.

    - `patches`: a linear map to vectors as long as token embeddings (AutoTimes).
    - `prototypes`: a softmax mixture of `64` token embeddings drawn at random (Time-LLM).
    - `anchors`: the linear map, with the two token embeddings nearest to the mean of a window's
      vectors in front of them (S²IP-LLM).
    """

    name: str
    text: Float[Tensor, "token d_model"]
    vocabulary: Float[Tensor, "d_vocab d_model"]
    weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(
        cls, name: str, text: Tensor, vocabulary: Tensor, patch: int, generator: torch.Generator
    ) -> "Entry":
        """Draw the weights; vectors are as long as token embeddings, in the mean."""
        d_model = vocabulary.shape[1]
        if name == "prototypes":
            rows = torch.randperm(len(vocabulary), generator=generator)[:_PROTOTYPES]
            weights = {"query": torch.randn((patch, len(rows)), generator=generator)}
            prototypes = vocabulary[rows]
        else:
            size = float(vocabulary.square().mean().sqrt()) / patch**0.5
            weights = {"map": size * torch.randn((patch, d_model), generator=generator)}
            prototypes = vocabulary[:0]
        return cls(name=name, text=text, vocabulary=vocabulary,
                   weights={**weights, "prototypes": prototypes})  # fmt: skip

    def trained(self) -> list[Tensor]:
        """Return the weights that train."""
        return [x for name, x in self.weights.items() if name != "prototypes"]

    def vectors(self, x: Float[Tensor, "row patch value"]) -> Float[Tensor, "row patch d_model"]:
        """Return one input vector per patch."""
        if self.name == "prototypes":
            return (x @ self.weights["query"]).softmax(dim=-1) @ self.weights["prototypes"]
        return x @ self.weights["map"]

    def inputs(
        self, x: Float[Tensor, "row patch value"], text: Tensor | None = None
    ) -> Float[Tensor, "row pos d_model"]:
        """Return text, anchors and patches as input vectors; another text may stand in front."""
        own = self.vectors(x)
        before = self.text if text is None else text
        parts = [before.expand(len(x), *before.shape), own]
        if self.name == "anchors":
            near = cosines(own.detach().mean(dim=1), self.vocabulary).topk(_ANCHORS).indices
            parts.insert(1, self.vocabulary[near])
        return torch.cat(parts, dim=1)


def cosines(
    x: Float[Tensor, "*shape d_model"], vocabulary: Float[Tensor, "d_vocab d_model"]
) -> Float[Tensor, "*shape d_vocab"]:
    """Return the cosine of vectors with every token embedding."""
    unit = torch.nn.functional.normalize(vocabulary, dim=-1)
    return torch.nn.functional.normalize(x, dim=-1) @ unit.T


def train_entry(
    entry: Entry, through: Backbone, data: Windows, *, steps: int, generator: torch.Generator
) -> None:
    """Train the map by gradients through the frozen backbone, with a linear forecast behind it."""
    if steps == 0:
        return
    with torch.no_grad():
        states = through(entry.inputs(data.x[:_BATCH]))
    scale = states.std().clamp(min=1e-6)
    head = torch.zeros(states.shape[-1], requires_grad=True)
    weights = [x.requires_grad_() for x in entry.trained()]
    sizes = [float(x.detach().std()) for x in weights]
    groups = [{"params": [x], "lr": 0.03 * size} for x, size in zip(weights, sizes, strict=True)]
    optimizer = torch.optim.Adam([*groups, {"params": [head], "lr": 0.003}])
    for _ in range(steps):
        rows = torch.randint(len(data.x), (_BATCH,), generator=generator)
        optimizer.zero_grad()
        states = through(entry.inputs(data.x[rows])) / scale
        (states @ head - data.y[rows]).square().mean().backward()
        optimizer.step()
    for x in weights:
        x.requires_grad_(False)


def last_states(
    entry: Entry, through: Backbone, x: Float[Tensor, "window patch value"], text: Tensor | None
) -> Float[Tensor, "window d_model"]:
    """Return the last state of every window."""
    with torch.no_grad():
        parts = [through(entry.inputs(some, text)) for some in x.split(_ROWS)]
    return torch.cat(parts).double().cpu()


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """A ridge regression from the last state to the next value."""

    mean: Float[Tensor, " d_model"]
    offset: Tensor
    weight: Float[Tensor, " d_model"]

    @classmethod
    def fit(cls, h: Float[Tensor, "n d_model"], y: Float[Tensor, " n"], n_train: int) -> "Head":
        """Fit on the first `n_train` rows with the penalty that is best on the others."""
        y = y.double()
        mean, offset = h[:n_train].mean(dim=0), y[:n_train].mean()
        u, s, vh = torch.linalg.svd(h[:n_train] - mean, full_matrices=False)
        seen, rest = u.T @ (y[:n_train] - offset), (h[n_train:] - mean) @ vh.T
        found = []
        for penalty in _PENALTIES:
            weight = s / (s.square() + penalty * s[0].square()) * seen
            error = float((rest @ weight + offset - y[n_train:]).square().mean())
            found.append((error, vh.T @ weight))
        return cls(mean=mean, offset=offset, weight=min(found, key=lambda pair: pair[0])[1])

    def errors(self, h: Float[Tensor, "n d_model"], y: Tensor) -> Float[Tensor, " n"]:
        """Return the squared error of every forecast."""
        found: Tensor = ((h - self.mean) @ self.weight + self.offset - y.double()).square()
        return found
