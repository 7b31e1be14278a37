"""Texts into batches of similar length under a token budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.errors import BadOption, TooLittleData
from workbench.methods.contracts import Example
from workbench.model.model import Model
from workbench.model.tokens import Encoded, Tokens, encoded_texts, outside_vocabulary, pad

EMPTY = "the text holds no token"


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Tokens of some examples and which examples they are."""

    tokens: Tokens
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Every text's token ids, and the order in which they are run.

    `n_cut` texts were longer than `limit` tokens; `skipped` ones cannot be run, each with
    the reason: no token at all, or one that the tokenizer or the model has no place for.
    """

    rows: tuple[tuple[int, ...], ...]
    offsets: tuple[tuple[tuple[int, int], ...], ...]
    examples: tuple[Example, ...]
    groups: tuple[tuple[int, ...], ...]
    skipped: tuple[tuple[Example, str], ...]
    n_cut: int
    limit: int
    pad_id: int

    @property
    def n_tokens(self) -> int:
        """The number of real tokens in all texts."""
        return sum(map(len, self.rows))

    def batches(self) -> Iterator[Batch]:
        """Yield the batches in order."""
        for group in self.groups:
            yield Batch(
                tokens=pad(
                    [self.rows[i] for i in group],
                    pad_id=self.pad_id,
                    texts=[self.examples[i].text for i in group],
                    offsets=[self.offsets[i] for i in group],
                ),
                examples=tuple(self.examples[i] for i in group),
            )


def plan(
    model: Model,
    examples: Sequence[Example],
    *,
    max_tokens: int,
    batch_tokens: int,
    may_be_empty: bool = False,
) -> Plan:
    """Tokenise all texts and group those of similar length under `batch_tokens` with padding.

    Raises:
        TooLittleData: no text can be run, unless the plan may be empty.
    """
    limit = min(max_tokens, model.spec.max_positions)
    rows, offsets, kept, skipped, n_cut = [], [], [], [], 0
    # Not by the model, which would take every text to its device and back.
    texts = [example.text for example in examples]
    found = encoded_texts(model.tokenizer, texts, limit=limit + 1)
    for example, one in zip(examples, found, strict=True):
        reason = _unfit(one, model)
        if reason or isinstance(one, BadOption):
            skipped.append((example, reason))
            continue
        ids, places = one
        n_cut += len(ids) > limit
        rows.append(tuple(ids[:limit]))
        offsets.append(tuple(places[:limit]))
        kept.append(example)
    if not kept and not may_be_empty:
        raise _nothing([reason for _, reason in skipped])
    pad_id = model.tokenizer.pad_token_id
    return Plan(
        rows=tuple(rows),
        offsets=tuple(offsets),
        examples=tuple(kept),
        groups=tuple(group_by_length([len(row) for row in rows], batch_tokens)),
        skipped=tuple(skipped),
        n_cut=n_cut,
        limit=limit,
        pad_id=model.tokenizer.eos_token_id or 0 if pad_id is None else pad_id,
    )


def runnable(
    model: Model, examples: Sequence[Example]
) -> tuple[list[Example], list[tuple[Example, str]]]:
    """Part the texts that the model can run whole from the others, each of these with the reason.

    Raises:
        TooLittleData: no text can be run.
    """
    longest, good, skipped = model.spec.max_positions, [], []
    found = encoded_texts(model.tokenizer, [e.text for e in examples], limit=longest + 1)
    for example, one in zip(examples, found, strict=True):
        reason = _unfit(one, model)
        if not reason and not isinstance(one, BadOption) and len(one[0]) > longest:
            reason = f"longer than the {longest} tokens that {model.spec.name} takes"
        skipped.append((example, reason)) if reason else good.append(example)
    if not good and skipped:
        raise _nothing([reason for _, reason in skipped])
    return good, skipped


def _unfit(one: Encoded | BadOption, model: Model) -> str:
    """Return why a text cannot be run; empty when it can."""
    if isinstance(one, BadOption):
        return one.message
    ids, d_vocab = one[0], model.spec.d_vocab
    if not ids:
        return EMPTY
    if min(ids) < 0 or max(ids) >= d_vocab:
        outside = [i for i in ids if not 0 <= i < d_vocab]
        return outside_vocabulary(outside, d_vocab, model.tokenizer).message
    return ""


def _nothing(reasons: Sequence[str]) -> TooLittleData:
    if set(reasons) <= {EMPTY}:
        return TooLittleData("no text holds a token", hint="give texts with words in them")
    return TooLittleData(
        f"no text can be run: {'; '.join([*dict.fromkeys(reasons)][:3])}",
        hint="give shorter texts with words that the tokenizer knows, or another model",
    )


def group_by_length(lengths: Sequence[int], budget: int) -> list[tuple[int, ...]]:
    """Group indices, longest first, so that rows × longest row stays within the budget.

    A row longer than the budget is a group of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [tuple(group) for group in groups]
