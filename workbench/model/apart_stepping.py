"""Feeding positions to rows that cannot run side by side: groups of rows of equal length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.model.backend import Outputs
from workbench.model.edits import Edit
from workbench.model.policy import Choice, Host, Lookahead
from workbench.model.prefix import Prefix
from workbench.model.row_states import RowState, Runner
from workbench.model.sites import Kind, Site


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ahead:
    states: tuple[RowState, ...]
    logits: Float[Tensor, "batch k d_vocab"]
    captured: Mapping[Site, Tensor]


class ApartStepper:
    """The state of the model during one generation, rows of equal length together.

    Nothing is ever padded. A group is run anew over all it was fed where a cache cannot be kept,
    or where its rotary frequencies change with this token.
    """

    def __init__(self, model: Host, prefix: Prefix, edits: Sequence[Edit], *, keeps: bool) -> None:
        """Continue a prefix, which stays as it is; `keeps` says that caches are valid."""
        self.logits: Float[Tensor, "batch d_vocab"] = prefix.logits
        self.captured: Mapping[Site, Tensor] = prefix.captured
        self._n, width = prefix.tokens.ids.shape
        self._runner = Runner(
            model=model,
            read=tuple(prefix.captured),
            edits=tuple(edits),
            prompt_edits=prefix.edits,
            n=self._n,
            width=width,
            keeps=keeps,
        )
        self._width = width
        self._states = [state.take(range(len(state.rows)), state.rows) for state in prefix.states]

    def look(self, candidates: Int[Tensor, "batch k"]) -> Lookahead:
        """Run k candidates per running row next to each other, one forward pass per group."""
        n, k = candidates.shape
        states, found = [], _Found(n * k, self._width + 1)
        for state in self._states:
            several = state.take(
                [i for i in range(len(state.rows)) for _ in range(k)],
                [row for row in state.rows for _ in range(k)],
            )
            ids = candidates.to(several.ids.device)[list(state.rows)].reshape(-1, 1)
            several, out = self._runner.run(several.fed(ids, None, self._runner.model))
            found.add([row * k + j for row in state.rows for j in range(k)], out)
            states.append(several)
        logits = found.logits.unflatten(0, (n, k))
        captured = {site: x.unflatten(0, (n, k)) for site, x in found.captured.items()}
        return Lookahead(
            candidates=candidates,
            logits=logits,
            captured={site: x[:, :, -1] for site, x in captured.items()},
            state=_Ahead(states=tuple(states), logits=logits, captured=captured),
        )

    def feed(self, choice: Choice, live: Sequence[bool]) -> None:
        """Feed what was chosen; rows that are no longer live are let go."""
        if choice.lookahead is not None:
            self._adopt(choice, live)
        else:
            self._feed(choice, live)
        self._width += 1

    def _feed(self, choice: Choice, live: Sequence[bool]) -> None:
        found, states = _Found(self._n, self._width + 1), []
        for state in self._states:
            kept = [i for i, row in enumerate(state.rows) if live[row]]
            if not kept:
                continue
            if len(kept) < len(state.rows):
                state = state.take(kept, [state.rows[i] for i in kept])
            state, out = self._runner.run(self._with(state, choice))
            found.add(state.rows, out)
            states.append(state)
        self._states = states
        self.logits, self.captured = found.logits, found.captured

    def _with(self, state: RowState, choice: Choice) -> RowState:
        model, rows = self._runner.model, list(state.rows)
        ids = choice.tokens.to(state.ids.device)[rows][:, None]
        if choice.embeds is None:
            return state.fed(ids, None, model)
        token = model.embed(ids)
        vector = choice.embeds.to(token)[rows][:, None]
        if choice.fed is not None:
            fed = choice.fed.to(token.device)[rows][:, None, None]
            vector = torch.where(fed, vector, token)
        return state.fed(ids, vector, model)

    def _adopt(self, choice: Choice, live: Sequence[bool]) -> None:
        ahead = choice.lookahead.state if choice.lookahead else None
        if choice.pick is None or not isinstance(ahead, _Ahead):
            raise BadOption("a choice with a lookahead of this step needs the picked candidates")
        pick = choice.pick.tolist()
        k = ahead.logits.shape[1]
        states = []
        for state in ahead.states:
            kept = [i for i, row in enumerate(state.rows) if live[row] and i % k == pick[row]]
            if kept:
                states.append(state.take(kept, [state.rows[i] for i in kept]))
        self._states = states
        every = torch.arange(self._n)
        self.logits = ahead.logits[every, choice.pick.to(ahead.logits.device)]
        self.captured = {
            site: x[every, choice.pick.to(x.device)] for site, x in ahead.captured.items()
        }


class _Found:
    """Outputs of the newest position, one entry per row of the whole batch."""

    def __init__(self, n: int, seen: int) -> None:
        self.captured: dict[Site, Tensor] = {}
        self._n, self._seen = n, seen
        self._logits: Tensor | None = None

    @property
    def logits(self) -> Float[Tensor, "batch d_vocab"]:
        if self._logits is None:
            raise BadOption("the backend returned no logits")
        return self._logits

    def add(self, rows: Sequence[int], out: Outputs) -> None:
        if out.logits is not None:
            self._logits = self._put(self._logits, rows, out.logits[:, -1])
        for site, x in out.captured.items():
            if site.kind is Kind.ATTN_PATTERN:  # columns count from the left of the padded batch
                x = torch.nn.functional.pad(x, (self._seen - x.shape[-1], 0))
            self.captured[site] = self._put(self.captured.get(site), rows, x)

    def _put(self, whole: Tensor | None, rows: Sequence[int], part: Tensor) -> Tensor:
        if whole is None:
            whole = part.new_zeros((self._n, *part.shape[1:]))
        whole[torch.tensor(list(rows), device=part.device)] = part
        return whole
