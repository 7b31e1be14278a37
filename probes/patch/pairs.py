"""Pairs of a clean and a corrupted text, and which of their tokens stand for each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from workbench.errors import BadOption
from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.model.tokens import encoded, token_ids

_FORM = "corrupted, answer, wrong, and slots where text is a template such as 'To {giver}'"


@dataclass(frozen=True)
class Place:
    """A token of the clean text and the one that stands for it in the corrupted text.

    `name` is the slot it fills, or where it stands between slots.
    """

    name: str
    clean: int
    corrupted: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Token ids of both texts, their aligned places, and the answers that the metric weighs.

    `noised` are the positions whose embeddings get noise where the corrupted text is a noisy twin
    of the clean one; then both have the same tokens.
    """

    number: int
    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    places: tuple[Place, ...]
    answer: int | None = None
    wrong: int | None = None
    noised: tuple[int, ...] = ()
    group: str = ""

    @property
    def n_same(self) -> int:
        """How many tokens both texts begin with."""
        if self.noised:
            return min(self.noised)
        same = (a == b for a, b in zip(self.clean, self.corrupted, strict=False))
        return next((i for i, is_same in enumerate(same) if not is_same), len(self.clean))


def pair_of(model: Model, example: Example, *, longest: int) -> Pair:
    """Read one row: a corrupted text in the field `corrupted`, or a noisy twin where there is none.

    `corrupted` is a text, or a table of other words for some slots of the template `text`, whose
    words for the clean text are in `slots`.

    Raises:
        BadOption: a field has another form, a slot has no word, or the texts cannot be aligned.
    """
    fields = example.fields
    slots, other = fields.get("slots") or {}, fields.get("corrupted")
    if not isinstance(slots, Mapping) or not isinstance(other, str | Mapping | None):
        raise BadOption(f"{example.source}: the row has another form", hint=f"fields: {_FORM}")
    clean, spans = _filled(example.text, slots, example.source)
    ids, names = _named_tokens(model, clean, spans, longest)
    if other is None:
        pair = _twin(example.number, ids, names, fields.get("noised"), has_slots=bool(spans))
    else:
        text, words = (other, {}) if isinstance(other, str) else (example.text, {**slots, **other})
        corrupted, other_spans = _filled(text, words, example.source)
        theirs = _named_tokens(model, corrupted, other_spans, longest)
        pair = _of_two(example, (ids, names), theirs, has_slots=bool(spans))
    answer, wrong = (_answer(model, fields, name) for name in ("answer", "wrong"))
    return replace(pair, answer=answer, wrong=wrong, group=example.group)


def _twin(
    number: int, ids: tuple[int, ...], names: list[str], wanted: Any, *, has_slots: bool
) -> Pair:
    noised = _noised(names, wanted)
    told = names if has_slots else ["noised" if i in noised else "other" for i in range(len(ids))]
    places = tuple(Place(name, i, i) for i, name in enumerate(_ended(told)))
    return Pair(number=number, clean=ids, corrupted=ids, places=places, noised=noised)


def _of_two(
    example: Example,
    clean: tuple[tuple[int, ...], list[str]],
    corrupted: tuple[tuple[int, ...], list[str]],
    *,
    has_slots: bool,
) -> Pair:
    (ids, names), (other_ids, other_names) = clean, corrupted
    if ids == other_ids:
        raise BadOption(f"{example.source}: both texts have the same tokens")
    if has_slots:
        places = _aligned(_ended(names), _ended(other_names))
    elif len(ids) == len(other_ids):
        told = _ended(_changed(ids, other_ids))
        places = [Place(name, i, i) for i, name in enumerate(told)]
    else:
        raise BadOption(
            f"{example.source}: the texts have {len(ids)} and {len(other_ids)} tokens",
            hint="write a template with slots, or texts of equally many tokens",
        )
    return Pair(number=example.number, clean=ids, corrupted=other_ids, places=tuple(places))


def _filled(
    template: str, words: Mapping[str, Any], source: str
) -> tuple[str, list[tuple[str, int, int]]]:
    """Return the text, and each slot's name with the characters it takes."""
    if not words:
        return template, []
    text, spans = "", []
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise BadOption(f"{source}: {template[:60]!r} is no template: {error}") from error
    missing = sorted({name for _, name, _, _ in parts if name is not None and name not in words})
    if missing:
        raise BadOption(f"{source}: no words for the slots {', '.join(missing)}", hint=_FORM)
    for literal, name, _, _ in parts:
        text += literal
        if name is not None:
            spans.append((name, len(text), len(text) + len(str(words[name]))))
            text += str(words[name])
    return text, spans


def _named_tokens(
    model: Model, text: str, spans: Sequence[tuple[str, int, int]], longest: int
) -> tuple[tuple[int, ...], list[str]]:
    """Return the tokens, and of each the slot it belongs to or the one it comes after."""
    if not spans:
        ids = token_ids(model.tokenizer, text)[:longest]
        return tuple(ids), ["other"] * len(ids)
    found = encoded(model.tokenizer, text, offsets=True)
    ids = [int(i) for i in found["input_ids"]]
    if len(ids) > longest:
        raise BadOption(f"{text[:60]!r} has {len(ids)} tokens", hint=f"--longest {len(ids)}")
    names, before = [], "start"
    for start, end in found["offset_mapping"]:
        # Tokens hold the blank before a word, so a slot's token may begin one earlier.
        inside = [name for name, a, b in spans if end > a and start < b and end > start]
        names.append(inside[0] if inside else before)
        before = f"after {inside[0]}" if inside else before
    return tuple(ids), names


def _aligned(clean: Sequence[str], corrupted: Sequence[str]) -> list[Place]:
    """Join runs of tokens of one name: one by one where equally many, else the last of each."""
    others = dict(_runs(corrupted))
    runs = [(name, mine, others[name]) for name, mine in _runs(clean) if name in others]
    places = []
    for name, mine, theirs in runs:
        both = (
            zip(mine, theirs, strict=True) if len(mine) == len(theirs) else [(mine[-1], theirs[-1])]
        )
        places += [Place(name, a, b) for a, b in both]
    return places


def _runs(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(name, []).append(i)
    return list(found.items())


def _ended(names: Sequence[str]) -> list[str]:
    return [*names[:-1], "end"]


def _changed(clean: Sequence[int], corrupted: Sequence[int]) -> list[str]:
    differs = [a != b for a, b in zip(clean, corrupted, strict=True)]
    first = differs.index(True) if any(differs) else len(differs)
    return ["changed" if d else "before" if i < first else "after" for i, d in enumerate(differs)]


def _noised(names: Sequence[str], wanted: Any) -> tuple[int, ...]:
    """Return the tokens of the named slot, or all but the first where none is named."""
    if not wanted:
        return tuple(range(min(1, len(names) - 1), len(names)))
    found = tuple(i for i, name in enumerate(names) if name == wanted)
    if not found:
        raise BadOption(
            f"noised names {wanted!r}, which is no slot", hint=", ".join(sorted({*names}))
        )
    return found


def _answer(model: Model, fields: Mapping[str, Any], name: str) -> int | None:
    """Return the first token of an answer as it stands after a blank."""
    word = fields.get(name)
    if not word:
        return None
    ids = token_ids(model.tokenizer, f" {str(word).strip()}", special_tokens=False)
    return ids[0] if ids else None
