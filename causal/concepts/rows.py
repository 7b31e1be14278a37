"""Rows for concept effects: texts, values of their concepts, and which of them are pairs.

`python -m causal.concepts.rows cebab CEBaB-v1.1.zip` and `… lexical 400` write JSON lines.
"""

import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadRows, DataError
from workbench.methods.contracts import Example

ASPECTS = ("food", "service", "ambiance", "noise")
_NO_VALUE = ("", "no majority")
_LEXICON = {
    "food": {"positive": "delicious", "negative": "awful"},
    "service": {"positive": "friendly", "negative": "rude"},
}
_WAITS = ("two", "five", "ten", "fifteen", "twenty", "thirty")


@dataclass(frozen=True, kw_only=True, eq=False)
class Concepts:
    """Texts to fit to, and ordered pairs (source, target) of texts that differ in the concept.

    `t` are values of the concept, `c` those of the controls, "" where there is none.
    """

    concept: str
    texts: tuple[str, ...]
    groups: NDArray[np.generic]
    t: NDArray[np.generic]
    c: NDArray[np.generic]
    fit: NDArray[np.intp]
    pairs: NDArray[np.intp]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise BadRows(
            "; ".join(problems),
            hint="rows need text, group and a field for each concept: docs/howto/concept-effects",
        )


def concepts_of(
    examples: Sequence[Example],
    concept: str,
    controls: Sequence[str],
    *,
    n_fit: int,
    n_pairs: int,
    generator: np.random.Generator,
) -> Concepts:
    """Read values and pairs from rows.

    Two rows of a group are a pair where their values of the concept differ: if rows say what was
    `edited`, this must be the concept in one and it or nothing in the other; else the values of
    all controls must be equal. Rows whose `split` is fit are fitted to and the others paired;
    without the field half of the groups are fitted to. Groups never stand on both sides.

    Raises:
        BadRows: no such field, fewer than two values, too few texts or no pairs; all at once.
    """
    t, *rest = ([value_of(e, name) for e in examples] for name in (concept, *controls))
    values, c = np.array(t), np.array(rest).reshape(len(controls), len(examples)).T
    groups = groups_of(examples)
    is_fit, is_paired = split_rows(examples, groups)
    fit = np.flatnonzero(is_fit & (values != ""))
    fit = np.sort(generator.permutation(fit)[:n_fit])
    known = set(values[fit])
    pairs = [
        (i, j)
        for i, j in _neighbours(groups, is_paired)
        if values[i] != values[j] and {values[i], values[j]} <= known
        and _is_pair(examples[i], examples[j], concept, c[i], c[j])
    ]  # fmt: skip
    named = zip((concept, *controls), (values, *c.T), strict=True)
    problems = [f"no row has a value of {n!r}" for n, column in named if not (column != "").any()]
    if len(known) < 2 and not problems:
        problems.append(too_few_values(concept, values[fit].tolist()))
    if not pairs:
        problems.append(f"no two texts of one group differ in {concept} alone")
    _refuse(problems)
    chosen = np.sort(generator.permutation(len(pairs))[:n_pairs])
    return Concepts(
        concept=concept,
        texts=tuple(e.text for e in examples),
        groups=groups,
        t=values,
        c=c,
        fit=fit,
        pairs=np.array(pairs, dtype=np.intp)[chosen],
    )


def groups_of(examples: Sequence[Example]) -> NDArray[np.generic]:
    """Return the group of every row, one of its own where it names none."""
    names = (e.group or str(e.fields.get("group", "")) for e in examples)
    return np.array([name or f"\0{i}" for i, name in enumerate(names)])


def value_of(example: Example, name: str) -> str:
    """Return a field's value, "" where there is none."""
    found = example.fields.get(name)
    return "" if found is None or str(found) in _NO_VALUE else str(found)


def too_few_values(name: str, values: Sequence[str]) -> str:
    """Return why nothing can be fitted to texts with those values of a field."""
    known = ", ".join(map(repr, sorted(set(values))))
    if not known:
        return f"no text to fit to has a value of {name!r}; two values are needed"
    if len(set(values)) < 2:
        return f"all {len(values)} texts to fit to have the value {known} of {name!r} alone"
    return f"only {len(values)} texts to fit to have a value of {name!r} ({known})"


def split_rows(
    examples: Sequence[Example], groups: NDArray[np.generic]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows may be fitted to and which may be paired, by their field or by group."""
    if any("split" in e.fields for e in examples):
        given = np.array([e.fields.get("split") == "fit" for e in examples])
        return given & ~np.isin(groups, groups[~given]), ~given
    names = np.unique(groups)
    fit = np.isin(groups, names[: (len(names) + 1) // 2])
    return fit, ~fit


def _neighbours(
    groups: NDArray[np.generic], chosen: NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    members: dict[str, list[int]] = {}
    for i in np.flatnonzero(chosen):
        members.setdefault(str(groups[i]), []).append(int(i))
    for rows in members.values():
        yield from ((i, j) for i in rows for j in rows if i != j)


def _is_pair(
    one: Example, other: Example, concept: str, c: NDArray[np.generic], d: NDArray[np.generic]
) -> bool:
    edited = [e.fields.get("edited") or "" for e in (one, other)]
    if any(edited):
        return concept in edited and set(edited) <= {concept, ""}
    return bool((c == d).all())


def cebab_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the CEBaB archive: exclusive training texts to fit to, test texts to pair.

    What was edited is taken from the edit, the values from the validated labels.

    Raises:
        DataError: the archive cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name, split in (("train_exclusive", "fit"), ("test", "pairs")):
                for row in json.loads(archive.read(f"CEBaB-v1.1/{name}.json")):
                    rating = str(row["review_majority"])
                    yield {
                        "text": row["description"],
                        "group": row["original_id"],
                        "split": split,
                        "edited": row["edit_type"] or "",
                        "rating": int(rating) if rating.isdigit() else None,
                        **{a: row[f"{a}_aspect_majority"] for a in ASPECTS},
                    }
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not the CEBaB archive: {error}", hint="give CEBaB-v1.1.zip as published"
        ) from error


def lexical_rows(
    n: int, generator: np.random.Generator, *, copied: float = 0.7
) -> Iterator[dict[str, Any]]:
    """Yield sentences of slots: food copied from service at that share, and a wait as filler.

    Each group to pair holds a sentence and the same one with the other word for the food, so that
    whatever a model makes of slots, the effect of the concept is known in closed form.
    """
    for i in range(n):
        service = str(generator.choice(["positive", "negative"]))
        food = (
            service
            if generator.random() < copied
            else str(generator.choice(["positive", "negative"]))
        )
        wait = int(generator.integers(len(_WAITS)))
        split = "fit" if i % 2 else "pairs"
        other = "negative" if food == "positive" else "positive"
        for value, edited in ((food, ""), (other, "food"))[: 1 if split == "fit" else 2]:
            yield {
                "text": f"We waited {_WAITS[wait]} minutes. The food was "
                f"{_LEXICON['food'][value]} and the staff were {_LEXICON['service'][service]}.",
                "group": f"s{i}",
                "split": split,
                "edited": edited,
                "food": value,
                "service": service,
                "wait": wait,
            }


def main(arguments: Sequence[str]) -> None:
    """Write rows as JSON lines to standard output."""
    kind, given = arguments
    draw = np.random.default_rng(0)
    rows = cebab_rows(Path(given)) if kind == "cebab" else lexical_rows(int(given), draw)
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
