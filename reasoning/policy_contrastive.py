"""Contrastive search: likely tokens whose state is unlike everything said before."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reasoning.candidates import Candidates
from workbench.errors import BadOption
from workbench.model.policy import Choice, Host, Step
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens

FINAL_NORM = Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True)
class ContrastiveSearch:
    """Choose argmax (1 − α)·p(v) − α·max_j cos(h_v, h_j) among the k most probable tokens.

    h is the last layer's state after the final norm, h_v that of the candidate once fed, and j
    runs over prompt and output. Each step forwards k candidates per row and keeps one. α = 0 and
    k = 1 are greedy. `skip_first` leaves out the first position of every prompt, whose state is
    an outlier in most causal models.

    Source: Su et al. 2022, arXiv:2202.06417, equation 5; Su & Collier 2023, arXiv:2210.14140
    (k = 5, α = 0.6). `skip_first` is ours.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    k: int = 5
    alpha: float = 0.6
    skip_first: bool = False

    def __post_init__(self) -> None:
        """Refuse settings out of bounds, all at once."""
        problems = []
        if self.k < 1:
            problems.append(f"k is {self.k}; expected at least 1")
        if not 0 <= self.alpha <= 1:
            problems.append(f"alpha is {self.alpha}; expected 0 to 1")
        if problems:
            raise BadOption("; ".join(problems))

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (FINAL_NORM,)

    def begin(self, prompt: Tokens, model: Host) -> "_Contrastive":
        return _Contrastive(self, prompt)


class _Contrastive:
    def __init__(self, recipe: ContrastiveSearch, prompt: Tokens) -> None:
        self._recipe = recipe
        self._past = _Past(prompt.mask, skip_first=recipe.skip_first)

    def choose(self, step: Step) -> Choice:
        """Choose the next token of every row."""
        recipe = self._recipe
        live = torch.tensor(step.live, device=step.logits.device)
        self._past.add(step.captured[FINAL_NORM], live)
        top = step.logits.topk(min(recipe.k, step.logits.shape[-1]), dim=-1)
        p = (top.values.float() - step.logits.float().logsumexp(dim=-1, keepdim=True)).exp()
        ahead = step.look(top.indices)
        penalty = self._past.nearest(ahead.captured[FINAL_NORM])
        score = (1 - recipe.alpha) * p - recipe.alpha * penalty
        picked = score.argmax(dim=-1)
        record = Candidates(
            ids=top.indices.cpu(),
            p=p.cpu(),
            penalty=penalty.cpu(),
            score=score.cpu(),
            picked=picked.cpu(),
            live=live.cpu(),
        )
        tokens = top.indices.gather(1, picked[:, None])[:, 0]
        return Choice(tokens=tokens, lookahead=ahead, pick=picked, record=record)


class _Past:
    """Unit-length states of everything fed so far, in a buffer that doubles when it is full."""

    def __init__(self, prompt: Bool[Tensor, "batch pos"], *, skip_first: bool) -> None:
        self._prompt = prompt
        if skip_first:
            first = prompt.long().cumsum(dim=1) == 1
            self._prompt = prompt & ~first
        self._length = 0
        self._states: Tensor | None = None
        self._known: Tensor | None = None

    def add(self, h: Float[Tensor, "batch pos d_model"], live: Bool[Tensor, " batch"]) -> None:
        """Add the newest positions: the whole prompt first, then one at a time."""
        known = self._prompt if self._states is None else live[:, None]
        states, mask = self._room(h)
        where = slice(self._length, self._length + h.shape[1])
        states[:, where] = torch.nn.functional.normalize(h.float(), dim=-1)
        mask[:, where] = known.to(mask.device)
        self._length += h.shape[1]

    def nearest(self, h: Float[Tensor, "batch k d_model"]) -> Float[Tensor, "batch k"]:
        """Return the largest cosine with any earlier state, 0 where there is none."""
        if self._states is None or self._known is None:
            return h.new_zeros(h.shape[:2], dtype=torch.float32)
        unit = torch.nn.functional.normalize(h.float(), dim=-1)
        cosine = unit @ self._states[:, : self._length].transpose(1, 2)
        known = self._known[:, None, : self._length]
        nearest = cosine.masked_fill(~known, -torch.inf).amax(dim=-1)
        return nearest.masked_fill(~known.any(dim=-1), 0.0)

    def _room(self, h: Tensor) -> tuple[Tensor, Tensor]:
        needed = self._length + h.shape[1]
        if self._states is None or self._known is None:
            self._states = h.new_empty((h.shape[0], 2 * needed, h.shape[2]), dtype=torch.float32)
            self._known = torch.zeros(self._states.shape[:2], dtype=torch.bool, device=h.device)
        elif needed > self._states.shape[1]:
            # What lies beyond the length is unknown and written before it is first read.
            self._states = torch.cat([self._states, torch.empty_like(self._states)], dim=1)
            self._known = torch.cat([self._known, torch.zeros_like(self._known)], dim=1)
        return self._states, self._known
