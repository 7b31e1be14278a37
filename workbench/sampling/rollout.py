"""Many continuations from many prefixes of one trajectory, in one running batch.

The trajectory is prefilled once and its keys and values are shared. Deepest prefixes go first,
finished rows are refilled at once, and every draw has a generator of its own, so that batch
size, order and resumption do not change a token (up to the rounding of the forward pass).
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache

from workbench.errors import FitError, ModelError, TooLittleData
from workbench.model.backend import Inputs
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.shared_prefix import SharedPrefixCache, branching, shared_prefix
from workbench.model.sites import Kind, Site

_NORM = Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One continuation to draw: after `position` response tokens, the `draw`-th time.

    `banned` is a token whose probability is set to zero for the first draw only, and the rest
    renormalised. `full` draws that first token from the whole distribution at temperature 1
    instead of the policy's.
    """

    position: int
    draw: int
    banned: int | None = None
    full: bool = False


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
    """

    def __init__(
        self, model: Model, prompt: Sequence[int], response: Sequence[int], options: RolloutOptions
    ) -> None:
        """Prefill prompt and response once.

        Raises:
            TooLittleData: the prompt is empty.
        """
        if not prompt:
            raise TooLittleData("the prompt holds no tokens", hint="give at least a start token")
        self.model = branching(model)
        self.prompt, self.response, self.options = tuple(prompt), tuple(response), options
        self.prefix = DynamicCache()
        ids = torch.tensor([[*prompt, *response]], device=model.device)
        mask = torch.ones_like(ids, dtype=torch.bool)
        inputs = Inputs(
            ids=ids, mask=mask, position_ids=mask.long().cumsum(1) - 1, cache=self.prefix
        )
        states = model.forward(inputs, read=(_NORM,), logits="none").captured[_NORM]
        self._states = states[0, len(prompt) - 1 :]

    def logits(self, positions: Sequence[int]) -> Float[Tensor, "n d_vocab"]:
        """Return next-token logits after each number of response tokens."""
        return self.model.unembed(self._states[list(positions)], normed=True).float()

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


@dataclass(kw_only=True)
class _Row:
    branch: Branch
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)


class RolloutQueue:
    """The running batch over one trajectory: branches go in, rollouts come out.

    Branches may be added and dropped while it runs, which is what sequential tests need.
    """

    def __init__(self, trajectory: Trajectory, *, stop_ids: Iterable[int]) -> None:
        """Start with nothing to do."""
        self.trajectory = trajectory
        self.stop_ids = frozenset(stop_ids)
        self.n_tokens = 0
        self._heap: list[tuple[int, int, int, Branch]] = []
        self._asked = 0
        self._rows: list[_Row] = []
        self._holes: list[int] = []
        self._cache = SharedPrefixCache(
            trajectory.prefix, rows=trajectory.options.rows, limit=trajectory.options.limit
        )

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
        while self._heap or len(self._rows) > len(self._holes):
            yield from self._refill()
            yield from self._advance()

    def _refill(self) -> Iterator[Rollout]:
        """Give waiting branches their first token, and a row if they do not end there."""
        capacity = self.trajectory.options.rows
        while self._heap and len(self._rows) - len(self._holes) < capacity:
            room = capacity - len(self._rows) + len(self._holes)
            fresh = [heapq.heappop(self._heap)[-1] for _ in range(min(room, len(self._heap)))]
            rows = [_Row(branch=b, generator=self.trajectory.generator(b)) for b in fresh]
            done = self._draw(rows, self.trajectory.first_token(fresh))
            yield from done.values()
            for i, row in enumerate(rows):
                if i not in done:
                    self._place(row)

    def _draw(self, rows: Sequence[_Row], p: Tensor) -> dict[int, Rollout]:
        """Append one token to each row; return those that ended, by index."""
        greedy = self.trajectory.options.policy.temperature == 0
        done = {}
        for i, row in enumerate(rows):
            token = int(_pick(p[i], row.generator, greedy=greedy))
            row.tokens.append(token)
            stopped = token in self.stop_ids
            if stopped or len(row.tokens) >= self.trajectory.options.limit:
                done[i] = Rollout(branch=row.branch, tokens=tuple(row.tokens), stopped=stopped)
        return done

    def _place(self, row: _Row) -> None:
        if self._holes:
            slot = self._holes.pop()
            self._rows[slot] = row
        else:
            slot = len(self._rows)
            self._rows.append(row)
        self._cache.place(slot, len(self.trajectory.prompt) + row.branch.position)

    def _advance(self) -> Iterator[Rollout]:
        """Feed every row its last token, draw the next, and leave holes where rows ended."""
        for slot in sorted(self._holes, reverse=True):
            self._cache.replace_by_last(slot)
            self._rows[slot] = self._rows[-1]
            self._rows.pop()
        self._holes = []
        if not self._rows:
            return
        p = self.trajectory.options.policy.distribution(self._forward())
        self._cache.grow()
        done = self._draw(self._rows, p)
        self._holes = list(done)
        yield from done.values()

    def _forward(self) -> Float[Tensor, "batch d_vocab"]:
        ids = torch.tensor(
            [[row.tokens[-1]] for row in self._rows], device=self.trajectory.model.device
        )
        inputs = Inputs(
            ids=ids,
            mask=torch.ones_like(ids, dtype=torch.bool),
            position_ids=self._cache.position_ids(),
            cache=self._cache,
        )
        self.n_tokens += len(self._rows)
        with shared_prefix(self._cache):
            logits = self.trajectory.model.forward(inputs, logits="last").logits
        if logits is None:
            raise ModelError("the forward pass returned no logits")
        return logits[:, -1].float()


def _pick(
    p: Float[Tensor, " d_vocab"], generator: torch.Generator, *, greedy: bool
) -> Int[Tensor, ""]:
    return p.argmax() if greedy else torch.multinomial(p, 1, generator=generator)[0]
