"""Counted floating-point operations of a network, as a profiler counts them.

A multiply-add is two operations. Matrix products and attention products are counted, attention
as dense (masked scores included); norms, activations, softmax and look-ups are not. Rows are
counted as if each ran alone: padding costs nothing here.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from workbench.model.module_paths import find_paths
from workbench.model.spec import ModelSpec
from workbench.result.chain import Cost


@dataclass(frozen=True, kw_only=True)
class Size:
    """What decides the operations of one network.

    `per_token` are those of the blocks' matrices, `per_pair` those of attention for one query
    and one key over all layers, `head` those of the vocabulary head at one position.
    """

    per_token: float
    per_pair: float
    head: float

    @classmethod
    def of(cls, module: nn.Module, spec: ModelSpec) -> "Size":
        """Measure a transformers causal language model."""
        paths = find_paths(module)
        blocks: Any = module.get_submodule(paths.layers)
        return cls(
            per_token=matrix_operations(blocks),
            per_pair=4.0 * spec.n_layers * spec.n_heads * spec.d_head,
            head=2.0 * spec.d_model * spec.d_vocab,
        )

    def run(self, new: int, *, before: int = 0, heads: int = 0, drawn: int | None = None) -> Cost:
        """Return the cost of one pass over `new` positions after `before` cached ones.

        The vocabulary head is evaluated at `drawn` positions where only what is needed is
        computed, and at `heads` where every position is; `drawn` is one of `heads` by default.
        """
        body = new * self.per_token + new * (before + new) * self.per_pair
        drawn = min(heads, 1) if drawn is None else drawn
        return Cost(
            last_position=body + drawn * self.head,
            every_position=body + heads * self.head,
            n_tokens=new,
        )

    def write(self, n: int, *, before: int) -> Cost:
        """Return the cost of feeding `n` tokens one by one, each followed by the head."""
        pairs = sum(before + i + 1 for i in range(n))
        total = n * (self.per_token + self.head) + pairs * self.per_pair
        return Cost(last_position=total, every_position=total, n_tokens=n)


def matrix_operations(module: nn.Module) -> float:
    """Return the operations of a module's matrices on one vector."""
    matrices: list[Any] = [part for part in module.modules() if _is_matrix(part)]
    return sum((2.0 * part.weight.numel() for part in matrices), 0.0)


def _is_matrix(part: nn.Module) -> bool:
    # GPT-2's Conv1D is a matrix by another name.
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"


def flat_cost(operations: float, n: int = 0) -> Cost:
    """Return a cost that is the same under both conventions."""
    return Cost(last_position=operations, every_position=operations, n_tokens=n)


def generation_cost(size: Size, prompt: int, written: int) -> dict[str, Cost]:
    """Return the cost by stage of a prompt and the tokens written after it, with a cache.

    The last token written is never fed back.
    """
    return {
        "prefill": size.run(prompt, heads=prompt),
        "reasoning": size.write(max(0, written - 1), before=prompt),
    }
