"""Many continuations from many prefixes of one trajectory, in one running batch.

The trajectory is prefilled once and its keys and values are shared; where a model cannot do
that, batches of rows are generated with caches of their own. Deepest prefixes go first, finished
rows are refilled at once, and every draw has a generator of its own, so that batch size, order
and resumption do not change a token, up to the rounding of the forward pass: see `Model.generate`.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadOption, FitError, ModelError, TooLittleData
from workbench.model.apart_run import plain_inputs
from workbench.model.backend import Inputs
from workbench.model.caches import new_cache
from workbench.model.capabilities import verdict
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.shared_prefix import check_backend
from workbench.model.sites import Kind, Site
from workbench.sampling.branch import Branch, Row, draw_tokens
from workbench.sampling.own_rows import generate_rows
from workbench.sampling.shared_rows import SharedRows

_NORM = Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One finished continuation; `tokens` follow the prefix and end with a stop id if `stopped`."""

    branch: Branch
    tokens: tuple[int, ...]
    stopped: bool


@dataclass(frozen=True, kw_only=True)
class RolloutOptions:
    """How continuations are drawn.

    `limit` bounds new tokens, `rows` the rows of one forward pass. `seed` and `key` (the
    trajectory's name) decide every draw together with its position and number.
    """

    policy: Sampling = field(default_factory=Sampling)
    limit: int = 64
    rows: int = 32
    seed: int = 0
    key: str = ""


class Trajectory:
    """A prompt and response whose every prefix can be continued.

    Attributes:
        prompt: token ids of the prompt.
        response: token ids y_1 … y_T.
        prefix: keys and values that all continuations share, None where they cannot be shared.
    """

    def __init__(
        self, model: Model, prompt: Sequence[int], response: Sequence[int], options: RolloutOptions
    ) -> None:
        """Prefill prompt and response once.

        Raises:
            TooLittleData: the prompt is empty.
            BadOption: prompt and response are longer than the model's context.
            Unsupported: the model's backend is not `hooks`.
        """
        if not prompt:
            raise TooLittleData("the prompt holds no tokens", hint="give at least a start token")
        length = len(prompt) + len(response)
        if length > model.spec.max_positions:
            raise BadOption(
                f"prompt and response hold {length} tokens; {model.spec.name} takes at most "
                f"{model.spec.max_positions}",
                hint="shorten the response",
            )
        check_backend(model)
        self.model = model
        self.prompt, self.response, self.options = tuple(prompt), tuple(response), options
        shares = self._shares(length + options.limit - 1)
        self.prefix: Any = new_cache(model.backend.module) if shares else None
        self._maps = verdict(model, "unembed").works and verdict(model, "read final_norm").works
        self._states = self._run()

    def _shares(self, longest: int) -> bool:
        switch = self.model.switch
        if switch is not None and switch.divides([len(self.prompt), longest]):
            return False
        return verdict(self.model, "shared prefix").works

    def _run(self) -> Float[Tensor, "position width"]:
        """Return the final state after each number of response tokens, or its logits.

        Logits are kept, which takes more room, where the final state does not give them.
        """
        ids = torch.tensor([[*self.prompt, *self.response]], device=self.model.device)
        parts = []
        for begin, end in self._stretches(ids.shape[1]):
            inputs = plain_inputs(ids[:, :end], None, self.prefix)
            if self._maps:
                found = self.model.forward(inputs, read=(_NORM,), logits="none").captured[_NORM]
            else:
                found = self._all_logits(inputs)
            parts.append(found[0, begin - 1 :])
        return torch.cat(parts)

    def _all_logits(self, inputs: Inputs) -> Float[Tensor, "one pos d_vocab"]:
        found = self.model.forward(inputs, logits="all").logits
        if found is None:
            raise ModelError("the forward pass returned no logits")
        return found

    def _stretches(self, longest: int) -> list[tuple[int, int]]:
        """Return first and last length of the prefixes that one pass over the last serves."""
        switch = self.model.switch
        found: list[tuple[int, int]] = []
        for length in range(len(self.prompt), longest + 1):
            if found and (switch is None or not switch.divides([found[-1][0], length])):
                found[-1] = (found[-1][0], length)
            else:
                found.append((length, length))
        return found

    def logits(self, positions: Sequence[int]) -> Float[Tensor, "n d_vocab"]:
        """Return next-token logits after each number of response tokens."""
        chosen = self._states[list(positions)]
        return (self.model.unembed(chosen, normed=True) if self._maps else chosen).float()

    def distribution(self, positions: Sequence[int]) -> Float[Tensor, "n d_vocab"]:
        """Return the probabilities the policy draws the next token with."""
        return self.options.policy.distribution(self.logits(positions))

    def first_token(self, branches: Sequence[Branch]) -> Float[Tensor, "n d_vocab"]:
        """Return what the first token of each branch is drawn from.

        Raises:
            FitError: nothing is left once the banned token is taken out.
        """
        logits = self.logits([branch.position for branch in branches])
        p = self.options.policy.distribution(logits)
        for i, branch in enumerate(branches):
            if branch.full:
                p[i] = logits[i].softmax(dim=-1)
            if branch.banned is not None:
                p[i, branch.banned] = 0
        left = p.sum(dim=-1, keepdim=True)
        if bool((left <= 0).any()):
            empty = [b.position for b, mass in zip(branches, left, strict=True) if mass <= 0]
            raise FitError(
                f"no other token is possible at positions {sorted(set(empty))}",
                hint="raise the temperature or top_p, or leave these positions out",
            )
        return p / left

    def generator(self, branch: Branch) -> torch.Generator:
        """Return the generator that belongs to one draw."""
        name = (
            f"{self.options.seed}/{self.options.key}/{branch.position}/{branch.draw}/"
            f"{branch.banned}/{branch.full}"
        )
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return torch.Generator(device=self._states.device).manual_seed(seed)


class RolloutQueue:
    """The running batch over one trajectory: branches go in, rollouts come out.

    Branches may be added and dropped while it runs, which is what sequential tests need. A
    rollout ends with a stop id, at the limit, or when the model's context is full.
    """

    def __init__(self, trajectory: Trajectory, *, stop_ids: Iterable[int]) -> None:
        """Start with nothing to do."""
        self.trajectory = trajectory
        self.stop_ids = frozenset(stop_ids)
        self.n_tokens = 0
        self._heap: list[tuple[int, int, int, Branch]] = []
        self._asked = 0
        self._shared = _shared_rows(trajectory)

    def add(self, branches: Iterable[Branch]) -> None:
        """Ask for more continuations."""
        for branch in branches:
            self._asked += 1
            heapq.heappush(self._heap, (-branch.position, branch.draw, self._asked, branch))

    def drop(self, wanted: Callable[[Branch], bool]) -> None:
        """Forget waiting branches that are no longer wanted; running ones finish."""
        self._heap = [item for item in self._heap if wanted(item[-1])]
        heapq.heapify(self._heap)

    def __iter__(self) -> Iterator[Rollout]:
        """Yield finished rollouts until nothing waits or runs."""
        if self._shared is None:
            while self._heap:
                yield from self._generate()
            return
        while self._heap or self._shared.n_running:
            while self._heap and self._shared.room:
                done, rows = self._begin(self._shared.room)
                self._shared.place(rows)
                yield from done
            if self._shared.n_running:
                self.n_tokens += self._shared.n_running
                p = self.trajectory.options.policy.distribution(self._shared.step())
                yield from self._draw(self._shared.rows, p)

    def _begin(self, room: int) -> tuple[list[Rollout], list[Row]]:
        """Give waiting branches their first token; return those that end there, and the others."""
        fresh = [heapq.heappop(self._heap)[-1] for _ in range(min(room, len(self._heap)))]
        longest = self.trajectory.model.spec.max_positions - len(self.trajectory.prompt)
        rows = [
            Row(
                branch=branch,
                before=(*self.trajectory.prompt, *self.trajectory.response[: branch.position]),
                generator=self.trajectory.generator(branch),
                limit=min(self.trajectory.options.limit, longest - branch.position),
            )
            for branch in fresh
        ]
        done = self._draw(rows, self.trajectory.first_token(fresh))
        return done, [row for row in rows if not row.is_done]

    def _draw(self, rows: Sequence[Row], p: Float[Tensor, "batch d_vocab"]) -> list[Rollout]:
        """Append one token to each row and return those that ended with it."""
        greedy = self.trajectory.options.policy.temperature == 0
        draw_tokens(rows, p, self.stop_ids, greedy=greedy)
        return [_rollout(row) for row in rows if row.is_done]

    def _generate(self) -> Iterator[Rollout]:
        """Generate one batch of waiting branches, each row with a cache of its own."""
        done, rows = self._begin(self.trajectory.options.rows)
        yield from done
        if rows:
            generate_rows(
                self.trajectory.model, rows, self.trajectory.options.policy, self.stop_ids
            )
            self.n_tokens += sum(len(row.tokens) - 1 for row in rows)
            yield from map(_rollout, rows)


def _shared_rows(trajectory: Trajectory) -> SharedRows | None:
    if trajectory.prefix is None:
        return None
    options = trajectory.options
    return SharedRows(trajectory.model, trajectory.prefix, rows=options.rows, limit=options.limit)


def _rollout(row: Row) -> Rollout:
    return Rollout(branch=row.branch, tokens=tuple(row.tokens), stopped=row.stopped)
