"""Counterfactual texts that a local model writes, each checked before it makes a pair."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causal.concepts.rows import groups_of, too_few_values, value_of
from workbench.errors import BadOption, BadRows
from workbench.methods.contracts import Context, Example
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import pad
from workbench.result.estimate import Estimate
from workbench.result.intervals import proportion_estimate
from workbench.sampling.rendering import has_chat_template, message_ids, text_ids

_ROWS = 16
UNCHANGED, TOO_FAR = "unchanged", "too much was changed"
NOT_READ, CONTROL = "the value asked for is not read", "a control changed"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How counterfactuals are asked for.

    A text is tried so often, and at most that share of its words may change.
    """

    instruction: str
    tries: int
    most_changed: float

    def prompt(self, text: str, concept: str, wanted: str) -> str:
        """Return the instruction with its places filled.

        Raises:
            BadOption: it has no place for the text or for the value.
        """
        places = {"{text}": "the text", "{wanted}": "the value"}
        missing = [words for place, words in places.items() if place not in self.instruction]
        if missing:
            raise BadOption(
                f"the instruction {self.instruction!r} has no place for {' and '.join(missing)}",
                hint="write {text} and {wanted} in it",
            )
        filled = self.instruction.replace("{concept}", concept).replace("{wanted}", wanted)
        return filled.replace("{text}", text)


class Reader:
    """A probe of words and pairs of words that reads one field of a text.

    `right` says of each labelled text whether the probe reads it, fitted to other groups.
    """

    def __init__(self, texts: Sequence[str], values: Sequence[str], groups: Sequence[str]) -> None:
        """Fit to texts with a value, once to all and once for each fifth of the groups."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline

        y = np.array(values)
        self.commonest = max(Counter(values).values()) / len(y)
        fresh = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+"),
            LogisticRegression(C=10.0, max_iter=1000),
        )
        parts = GroupKFold(min(5, len(set(groups))))
        told = cross_val_predict(fresh, list(texts), y, groups=list(groups), cv=parts)
        self.right: NDArray[np.bool_] = np.asarray(told == y)
        self._fitted = fresh.fit(list(texts), y)

    def __call__(self, text: str) -> str:
        """Return the value that is read in a text."""
        return str(self._fitted.predict([text])[0])

    def accuracy(self, name: str) -> Estimate:
        """Return the share of texts that are read right, beside the commonest value's share."""
        found = proportion_estimate(name, int(self.right.sum()), len(self.right), n_unit="texts")
        null = {"control": self.commonest, "control_name": "the commonest value"}
        return Estimate(**{**vars(found), **null})


@dataclass(frozen=True, kw_only=True, eq=False)
class Checker:
    """What a written text must meet: the wanted value, the controls as they were, few edits."""

    concept: Reader
    controls: tuple[Reader, ...]
    most_changed: float

    def refused(self, source: str, written: str, wanted: str) -> str:
        """Return why a text makes no pair with its source, empty where it does."""
        changed = changed_share(source, written)
        if not changed:
            return UNCHANGED
        if changed > self.most_changed:
            return TOO_FAR
        if self.concept(written) != wanted:
            return NOT_READ
        return CONTROL if any(read(written) != read(source) for read in self.controls) else ""


def checker_of(
    examples: Sequence[Example], concept: str, controls: Sequence[str], most_changed: float
) -> Checker:
    """Fit the probes that check to rows with values.

    Raises:
        BadRows: no probe of words reads the concept better than its commonest value.
    """

    def reader(name: str) -> Reader:
        rows = [e for e in examples if value_of(e, name)]
        groups = groups_of(rows).tolist()
        values = [value_of(e, name) for e in rows]
        if len(rows) < 10 or len(set(values)) < 2 or len(set(groups)) < 2:
            raise BadRows(
                too_few_values(name, values),
                hint="give ten texts or more, in two groups or more, that differ in its value",
            )
        return Reader([e.text for e in rows], values, groups)

    found = reader(concept)
    accuracy = found.accuracy(concept)
    if accuracy.low is None or accuracy.low <= found.commonest:
        raise BadRows(
            f"no probe of words tells {concept!r}: {accuracy}, its commonest value "
            f"{found.commonest:.3g}",
            hint="nothing could check what a generator writes: give more texts to fit to",
        )
    return Checker(concept=found, controls=tuple(map(reader, controls)), most_changed=most_changed)


def attempts(
    model: Model,
    sources: Sequence[tuple[str, str]],
    concept: str,
    asking: Asking,
    check: Checker,
    context: Context,
) -> Iterator[dict[str, Any]]:
    """Yield every text that was written for a source and a wanted value, and why it was refused.

    A source is tried until a text is accepted, at most so often.
    """
    left = list(enumerate(sources))
    for k in range(asking.tries):
        done = set()
        for at in range(0, len(left), _ROWS):
            part = left[at : at + _ROWS]
            asked = [asking.prompt(text, concept, wanted) for _, (text, wanted) in part]
            draw = context.stream(f"generated texts {k} {at}")
            seeds = [int(draw.integers(2**31)) for _ in part]
            for (i, (text, wanted)), found in zip(part, _written(model, asked, seeds), strict=True):
                reason = check.refused(text, found, wanted)
                about = {"source": text, "wanted": wanted, "written": found, "try": k, "number": i}
                yield {**about, "changed": changed_share(text, found), "refused": reason}
                done |= set() if reason else {i}
            context.progress(at + len(part), len(left), f"texts written, try {k + 1}")
        left = [one for one in left if one[0] not in done]


def _written(model: Model, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
    tokenizer, name = model.tokenizer, model.spec.name
    is_chat = has_chat_template(tokenizer)
    ids = [
        message_ids(tokenizer, p, name=name) if is_chat else text_ids(tokenizer, p) for p in prompts
    ]
    longest = max(len(text_ids(tokenizer, p)) for p in prompts) + 16
    trace = model.generate(
        pad(ids, side="left"),
        policy=Sampling(temperature=0.7, top_p=0.9),
        limit=longest,
        options=GenerationOptions(seeds=seeds),
    )
    ends = set(model.stop_ids)
    written = ([i for i in found if i not in ends] for found in trace.generated)
    return [first_paragraph(model.decode(ids)) for ids in written]


def first_paragraph(text: str) -> str:
    """Return the first paragraph that does not announce another one, without quotes around it."""
    parts = [part.strip() for part in re.split(r"\n+", text) if part.strip()]
    parts = [part for part in parts if not part.endswith(":")] or [""]
    found = parts[0].removeprefix("Rewritten:").strip()
    is_quoted = len(found) > 1 and found[0] in "\"'“" and found[-1] in "\"'”"
    return found[1:-1].strip() if is_quoted else found


def changed_share(one: str, other: str) -> float:
    """Return the edit distance of two texts in words, as a share of the longer one."""
    a, b = (re.findall(r"\w+|[^\w\s]", text.lower()) for text in (one, other))
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, its in enumerate(b, start=1):
            best = min(row[j] + 1, row[j - 1] + 1, before + (word != its))
            before, row[j] = row[j], best
    return row[-1] / max(len(a), len(b), 1)
