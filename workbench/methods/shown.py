"""The texts that a result shows token by token, and their tables."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.methods.host import Named, layer_by_position
from workbench.methods.sentence_ends import ends_sentence
from workbench.result.grid import GRID, LABELS, TOKENS, place_names
from workbench.result.metric import Control, Metric
from workbench.result.row_samples import column_name
from workbench.result.samples import mean_of_defined
from workbench.result.tables import Column, Table

Words = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownText:
    """One text: its tokens, what was measured at each, and the words of its cells.

    `numbers` are `layer position` or `position` by (kind, metric); `words` likewise by name;
    `arrays` are whatever else the probe keeps of it.
    """

    number: int
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    numbers: Named = field(default_factory=dict)
    words: Words = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, names beginning with the text's number."""
        about = {
            "ids": self.ids,
            "tokens": self.tokens,
            "words": {name: x.tolist() for name, x in self.words.items()},
        }
        text = json.dumps(about, ensure_ascii=False).encode("utf-8", "surrogatepass")
        start = f"shown/{self.number}"
        return {
            f"{start}/about": np.frombuffer(text, np.uint8).copy(),
            **{f"{start}/number/{kind}/{name}": x for (kind, name), x in self.numbers.items()},
            **{f"{start}/array/{name}": x for name, x in self.arrays.items()},
        }

    @classmethod
    def all_of(cls, arrays: Mapping[str, NDArray[Any]]) -> "list[ShownText]":
        """Rebuild every text of a state."""
        names = [name.split("/", 2)[1:] for name in arrays if name.startswith("shown/")]
        return [
            cls._one(int(number), {rest: arrays[f"shown/{number}/{rest}"] for rest in rests})
            for number, rests in _grouped(names).items()
        ]

    @classmethod
    def _one(cls, number: int, parts: Mapping[str, NDArray[Any]]) -> "ShownText":
        about = json.loads(parts["about"].tobytes().decode("utf-8", "surrogatepass"))
        numbers = {
            (kind, name): x
            for rest, x in parts.items()
            if rest.startswith("number/")
            for kind, name in [rest.removeprefix("number/").split("/", 1)]
        }
        arrays = {
            rest.removeprefix("array/"): x for rest, x in parts.items() if rest.startswith("array/")
        }
        return cls(
            number=number,
            ids=tuple(about["ids"]),
            tokens=tuple(about["tokens"]),
            numbers=numbers,
            words={name: np.array(x, dtype=object) for name, x in about["words"].items()},
            arrays=arrays,
        )


def shown_text(
    number: int,
    ids: Sequence[int],
    row: Mapping[tuple[str, str], NDArray[np.float64]],
    words: Mapping[str, NDArray[np.int64]],
    about: tuple[Mapping[str, Metric], Callable[[Sequence[int]], str]],
) -> ShownText:
    """Reduce one text's numbers to (layer, position) and decode its words."""
    metrics, decode = about
    known: dict[int, str] = {-1: ""}
    for i in (*ids, *(int(i) for x in words.values() for i in np.unique(x))):
        if i not in known:
            known[i] = decode([i])
    numbers = {
        key: _told(layer_by_position(x, metrics[key[1]]), metrics[key[1]])
        for key, x in row.items()
        if "position" in metrics[key[1]].axes
    }
    said = {
        name: np.vectorize(lambda i: known[int(i)], otypes=[object])(x) for name, x in words.items()
    }
    tokens = tuple(known[i] for i in ids)
    return ShownText(number=number, ids=tuple(ids), tokens=tokens, numbers=numbers, words=said)


def shown_tables(
    texts: Sequence[ShownText],
    metrics: Mapping[str, Metric],
    controls_of: Mapping[str, Control],
    layers: Sequence[int],
    words_of: Mapping[str, Column],
) -> dict[str, Table]:
    """Return the tables `tokens` and `grid`; the second where something has both axes."""
    about = {**LABELS, **words_of, **columns_of(metrics, controls_of)}
    found = {
        TOKENS: [_strip_frame(text, metrics) for text in texts],
        GRID: [frame for text in texts for frame in _cell_frames(text, layers)],
    }
    return {
        name: Table(frame, {str(column): about[str(column)] for column in frame})
        for name, frames in found.items()
        if frames
        for frame in [pd.concat(frames, ignore_index=True)]
    }


def _strip_frame(text: ShownText, metrics: Mapping[str, Metric]) -> pd.DataFrame:
    columns = {column_name(*key): _strip(x, metrics[key[1]]) for key, x in text.numbers.items()}
    columns |= {name: x for name, x in text.words.items() if x.ndim == 1}
    return pd.DataFrame(
        {
            "text": text.number,
            "position": range(len(text.tokens)),
            "token": text.tokens,
            "token_id": text.ids,
            **columns,
            "ends_sentence": ends_sentence(text.tokens),
        }
    )


def _cell_frames(text: ShownText, layers: Sequence[int]) -> list[pd.DataFrame]:
    """Return a row for each layer of each token, nothing where nothing has both axes."""
    columns = {column_name(*key): x for key, x in text.numbers.items() if x.ndim == 2}
    columns |= {name: x for name, x in text.words.items() if x.ndim == 2}
    if not columns:
        return []
    n, n_layers = len(text.tokens), len(layers)
    places = place_names(text.tokens)
    flat = {name: np.broadcast_to(x, (n_layers, n)).T.reshape(-1) for name, x in columns.items()}
    labels = {
        "text": text.number,
        "layer": np.tile(np.array(layers), n),
        "position": np.repeat(np.arange(n), n_layers),
        "token": np.repeat(np.array(text.tokens, dtype=object), n_layers),
        "place": np.repeat(np.array(places, dtype=object), n_layers),
    }
    return [pd.DataFrame({**labels, **flat})]


def _strip(x: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Return the values of a token strip: those at one layer, or the mean over the headline."""
    if x.ndim == 1:
        return x
    if metric.strip is not None:
        return np.asarray(x[metric.strip])
    part = x[slice(*(metric.headline or (None, None)))]
    return mean_of_defined(part if len(part) else x, axis=0)


def columns_of(
    metrics: Mapping[str, Metric], controls_of: Mapping[str, Control]
) -> dict[str, Column]:
    """Return the columns of metrics and of their controls."""
    found = {name: Column(metric.unit, metric.help) for name, metric in metrics.items()}
    for kind, control in controls_of.items():
        for name, metric in metrics.items():
            words = f"Control: {control.help or control.name}."
            found[column_name(kind, name)] = Column(metric.unit, words, control_of=name)
    return found


def _told(x: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    return np.exp(x) if metric.geometric else x


def _grouped(names: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, rest in names:
        found.setdefault(number, []).append(rest)
    return found
