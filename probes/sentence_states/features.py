"""States at the ends of sentences, streamed into one file that a stopped run goes on with."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.sentences.states import Place, places_of
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import Tokens
from workbench.training.checkpoint import texts_hash, write_whole

_AT_ONCE = 64
_MOST = 6e4


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """The places of some texts and their states.

    `states` hold the places one part after the other, each `layer place d_model` in 16 bits and
    mapped from the disk. `origins` say where each place comes from.
    """

    places: tuple[Place, ...]
    states: tuple[NDArray[np.float16], ...]
    origins: tuple[str, ...] = ()

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.states[0].shape[0])

    @property
    def d_model(self) -> int:
        """The width of a state."""
        return int(self.states[0].shape[2])

    def layer(self, layer: int, rows: Sequence[int]) -> Float[Tensor, "n d_model"]:
        """Return the states of some places at one layer."""
        wanted, first = np.asarray(rows, dtype=np.int64), 0
        found = np.empty((len(wanted), self.d_model), np.float32)
        for part in self.states:
            mine = (wanted >= first) & (wanted < first + part.shape[1])
            found[mine] = part[layer][wanted[mine] - first]
            first += part.shape[1]
        return torch.from_numpy(found)

    @classmethod
    def joined(cls, parts: "Mapping[str, Features]") -> "Features":
        """Return the places of several origins; texts are numbered on."""
        places: list[Place] = []
        for part in parts.values():
            first = 1 + max((place.text for place in places), default=-1)
            places += [replace(place, text=place.text + first) for place in part.places]
        return cls(
            places=tuple(places),
            states=tuple(x for part in parts.values() for x in part.states),
            origins=tuple(o for o, part in parts.items() for _ in part.places),
        )


def extract(
    model: Model, texts: Sequence[str], folder: Path, longest: int, context: Context
) -> Features:
    """Run every text once and keep the states of all layers at the ends of its sentences.

    Texts of like length share a pass. Passes that are in the file are not made again.

    Raises:
        TooLittleData: no text holds a whole sentence.
    """
    batches = list(_batches(model, texts, longest))
    places = tuple(place for _, some in batches for _, place in some)
    if not places:
        raise TooLittleData("no text holds a whole sentence", hint="give longer texts")
    n_layers = len(every_layer(Kind.RESID_POST, model.spec))
    shape = (n_layers, len(places), model.spec.d_model)
    key = hashlib.sha256(f"{texts_hash(texts)} {model.spec.weights_hash} {shape}".encode())
    name = f"states-{key.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    path, told = folder / f"{name}.f16", folder / f"{name}.json"
    done = json.loads(told.read_text())["done"] if told.is_file() and path.is_file() else 0
    states = np.memmap(path, np.float16, "r+" if done else "w+", shape=shape)
    at = 0
    for i, (tokens, some) in enumerate(batches):
        if i >= done and some:
            context.progress(i, len(batches), "passes over texts")
            states[:, at : at + len(some)] = _states(model, tokens, some)
            states.flush()
            write_whole(told, json.dumps({"done": i + 1}).encode())
        at += len(some)
    context.progress(len(batches), len(batches), "passes over texts")
    return Features(places=places, states=(states,))


def _batches(
    model: Model, texts: Sequence[str], longest: int
) -> Iterator[tuple[Tokens, list[tuple[int, Place]]]]:
    """Yield batches of tokens with the row and place of every whole sentence."""
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        tokens = model.tokenize([texts[i] for i in some], limit=longest)
        yield (
            tokens,
            [(row, p) for row, i in enumerate(some) for p in places_of(i, texts[i], tokens, row)],
        )


def _states(
    model: Model, tokens: Tokens, places: Sequence[tuple[int, Place]]
) -> Float[np.ndarray, "layer place d_model"]:
    sites = every_layer(Kind.RESID_POST, model.spec)
    trace = model.run(tokens, read=sites)
    found = []
    for site in sites:
        rows = [trace.row(row, site)[place.position] for row, place in places]
        found.append(torch.stack(rows).float().clamp(-_MOST, _MOST).cpu().numpy())
    return np.stack(found).astype(np.float16)
