"""Branches of a prompt that do not see each other: what leaks, and what their end makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import text_key
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.masks import Layout, Parallel, Piece, lay_out, relaxed, size
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Result
from workbench.result.row_samples import samples_of
from workbench.result.tables import Rows
from workbench.sampling.parts import has_parts, marked_by_itself, pieces_of

_FINAL = Site(Kind.FINAL_NORM)
_METRICS = {
    "interleaved": number("proportion", "‖a − b‖/‖b‖ of states, tokens of branches in turns."),
    "leak": number("proportion", "The same of the siblings of a branch that was changed."),
    "reach": number("nats", "KL of the next token at the end when it was changed.", "branch"),
    "seen": share("Branches that move the next token at the end."),
    "ahead": share("Pairs of a token and one it sees that stands at a later position."),
}
_CONTROLS = {"plain": Control("plain text", "the same tokens as plain text")}


@probe("branches", source="Yang et al. 2025, Multiverse, arXiv:2506.09991, section 3")
@dataclass(frozen=True, kw_only=True)
class Branches:
    """Change one branch of a prompt at a time: its siblings stay as they are, the end does not.

    A text marks its branches, `So:{{ one;|| two;}} Then`; without marks its lines, sentences or
    words are the branches. `leak` is how far the states of the others move when the tokens of one
    are replaced by random ones, `reach` how far the prediction behind the block does. In
    `interleaved` the tokens of the branches are written in turns, as when they are decoded side by
    side. Control: the same tokens as plain text, where every later branch sees the earlier ones.

    Units: relative errors of the final states; reach in nats.

    Cost: one pass over two rows per branch and four more.

    Raises:
        BadRows: no text has two branches.

    Source: Multiverse attention; we give the branches, none is generated.
    """

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        rows: Rows = []
        for done, example in enumerate(examples):
            found = _Block.of(model, example)
            if found is not None:
                rows += found.rows(model, example.number, context)
            context.progress(done + 1, len(examples), "texts")
        if not rows:
            raise BadRows("no text has two branches", hint="mark them: So:{{ one;|| two;}} Then")
        n = max(row.get("branch", 0) for row in rows) + 1
        axes = {"branch": Axis(help="Branch, counted from 0.", labels=tuple(range(n)))}
        samples = samples_of(
            rows, _METRICS, controls_of=_CONTROLS, axes_of=axes, n_given=len(examples)
        )
        names = ("leak", "interleaved", "seen", "ahead")
        estimates = [samples.estimate(name, "plain") for name in names]
        return study_report(
            samples,
            summary=f"When a branch is changed, its siblings move by {estimates[0]} and the end "
            f"follows: {estimates[2]}.",
            averages={"branches": ("branch",)},
            estimates=estimates,
            plots=(
                Plot(title="How far each branch reaches", metrics=("reach",), axes=("branch",)),
            ),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """A prompt with its first block of branches; `starts` are their columns and where they end."""

    pieces: tuple[Piece, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, model: Model, example: Example) -> "_Block | None":
        text = example.text if has_parts(example.text) else marked_by_itself(example.text)
        pieces = pieces_of(model.tokenizer, text, source=example.source)
        where = next((i for i, p in enumerate(pieces) if isinstance(p, Parallel)), None)
        if where is None or where + 1 == len(pieces):
            return None
        block = pieces[where]
        if not isinstance(block, Parallel) or len(block.branches) < 2:
            return None
        begin = size(pieces[:where])
        sizes = np.cumsum([begin, *map(size, block.branches)])
        return cls(pieces=pieces, starts=tuple(sizes.tolist()))

    def rows(self, model: Model, text: int, context: Context) -> Rows:
        """Return the numbers of the text and of each branch."""
        together = self._numbers(model, context, is_plain=False)
        plain = self._numbers(model, context, is_plain=True)
        reaches, found = together.pop("reach"), {"text": text}
        for kind, numbers in (("", together), ("_plain", plain)):
            found |= {f"{name}{kind}": x for name, x in numbers.items() if name != "reach"}
        return [
            found,
            *(
                {"text": text, "branch": j, "reach": a, "reach_plain": b}
                for j, (a, b) in enumerate(zip(reaches, plain["reach"], strict=True))
            ),
        ]

    def _numbers(self, model: Model, context: Context, *, is_plain: bool) -> dict[str, Any]:
        pieces = relaxed(self.pieces, blind=not is_plain, aligned=not is_plain)
        tokens, layout = lay_out([pieces])
        ids = self._changed(tokens.ids[0], model.spec.d_vocab, context)
        states = _states(model, ids, layout)
        turns = self._in_turns(ids.shape[1])
        # As plain text the tokens in turns are another text; else only their columns move.
        moved = layout if is_plain else _moved(layout, turns)
        mixed = _states(model, ids[:1, turns], moved)[0]
        logp = model.unembed(states[:, -1], normed=True).float().log_softmax(dim=-1)
        kl = (logp[0].exp() * (logp[0] - logp[1:])).sum(dim=-1).clamp(min=0)
        place, visible = layout.position_ids[0], layout.visible[0]
        later = place[None, :] > place[:, None]
        return {
            "interleaved": _gap(mixed, states[0, turns]),
            "leak": self._leak(states),
            "reach": kl.tolist(),
            "seen": float((kl > 0).double().mean()),
            "ahead": float((later & visible).sum() / visible.sum()),
        }

    def _changed(
        self, ids: Int[Tensor, " pos"], d_vocab: int, context: Context
    ) -> Int[Tensor, "row pos"]:
        """Return the text, and below it the text with each branch replaced by random tokens."""
        draw = context.stream(f"branches {text_key(ids.tolist())[:16]}")
        rows = ids.repeat(len(self.starts), 1)
        for j in range(len(self.starts) - 1):
            part = slice(self.starts[j], self.starts[j + 1])
            shift = torch.from_numpy(draw.integers(1, d_vocab, self.starts[j + 1] - self.starts[j]))
            rows[j + 1, part] = (rows[j + 1, part] + shift) % d_vocab
        return rows

    def _leak(self, states: Float[Tensor, "row pos d_model"]) -> float:
        found = []
        for j in range(len(self.starts) - 1):
            siblings = [*range(self.starts[0], self.starts[j]),
                        *range(self.starts[j + 1], self.starts[-1])]  # fmt: skip
            found.append(_gap(states[j + 1, siblings], states[0, siblings]))
        return max(found)

    def _in_turns(self, width: int) -> Int[Tensor, " pos"]:
        """Return the columns with those of the block in turns, one token of each branch."""
        spans = [range(a, b) for a, b in zip(self.starts, self.starts[1:], strict=False)]
        turns = sorted((at, j) for j, span in enumerate(spans) for at in range(len(span)))
        mixed = [spans[j][at] for at, j in turns]
        return torch.tensor([*range(self.starts[0]), *mixed, *range(self.starts[-1], width)])


def _states(
    model: Model, ids: Int[Tensor, "row pos"], layout: Layout
) -> Float[Tensor, "row pos d_model"]:
    tokens = Tokens(ids=ids, mask=torch.ones_like(ids, dtype=torch.bool))
    same = layout.take(torch.zeros(len(ids), dtype=torch.long))
    found: Tensor = model.run(tokens, read=[_FINAL], layout=same)[_FINAL]
    return found


def _moved(layout: Layout, columns: Int[Tensor, " pos"]) -> Layout:
    visible = layout.visible[:, columns][:, :, columns]
    return replace(layout, visible=visible, position_ids=layout.position_ids[:, columns])


def _gap(a: Float[Tensor, "pos d_model"], b: Float[Tensor, "pos d_model"]) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())
