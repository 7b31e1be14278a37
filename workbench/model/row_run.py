"""One text at a time with its cache: tokens are added, several ways at once, and taken back."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption, Unsupported
from workbench.model.backend import Inputs
from workbench.model.caches import fork_cache, new_key_value_cache, repeat_cache, select_cache
from workbench.model.policy import Host
from workbench.model.prefix import Prefix


class RowRun:
    """A model's cache of one text, rolled back to whatever the text has in common with the next.

    `calls` counts forward passes after the prompt.
    """

    def __init__(self, model: Host) -> None:
        """Start from nothing.

        Raises:
            Unsupported: the model's cache cannot take several tokens at once, or its positions
                depend on the length of the text.
        """
        if model.switch is not None and model.switch.divides([1, model.spec.max_positions]):
            raise Unsupported(
                f"the rotary frequencies of {model.spec.name} change with the length of a text",
                hint="use greedy or sample",
            )
        self.model = model
        self.calls = 0
        self._fed: list[int] = []
        self._cache = new_key_value_cache(model.backend.module)
        self._paths: list[list[int]] = []

    @classmethod
    def after(cls, model: Host, prefix: Prefix, row: int) -> "RowRun":
        """Start from one row of a prompt that was run."""
        run = cls(model)
        one = prefix.take([row])
        if one.cache is not None and not one.tokens.is_padded:
            run._cache, run._fed = one.cache, prefix.tokens.row(row)
        return run

    def logits(
        self, ids: Sequence[int], paths: Int[Tensor, "k length"] | None = None
    ) -> Float[Tensor, "k more d_vocab"]:
        """Return the logits after a text, and after each token of every path behind it.

        Several paths have a copy of the cache each; `keep` goes on with one of them.
        """
        self._back_to(ids)
        if len(ids) - len(self._fed) > 1:
            self._forward([list(ids[len(self._fed) : -1])], wanted=False)
        if paths is None:
            return self._forward([[ids[-1]]])
        if len(paths) > 1:
            self._cache = repeat_cache(fork_cache(self._cache), len(paths), 1)
        return self._forward([[ids[-1], *path] for path in paths.tolist()])

    def grow(self, tokens: Int[Tensor, " k"]) -> Float[Tensor, "k d_vocab"]:
        """Add one token to each of the paths that lie side by side."""
        return self._forward([[token] for token in tokens.tolist()])[:, -1]

    def keep(self, paths: Sequence[int]) -> None:
        """Go on with some of the paths that lie side by side; one may be named often."""
        if len(self._paths) > 1 or list(paths) != [0]:
            self._cache = select_cache(self._cache, torch.tensor(list(paths)))
            self._paths = [list(self._paths[i]) for i in paths]

    def change(
        self, ids: Sequence[int], found: Callable[[Any], Sequence[tuple[Tensor, Tensor]]]
    ) -> None:
        """Replace the keys and values of what stands before the last token of a text.

        `found` gives them layer by layer from a cache that it may use up. What stood behind that
        token runs again.
        """
        self._back_to(ids)
        for layer, (keys, values) in zip(
            self._cache.layers, found(fork_cache(self._cache)), strict=True
        ):
            layer.keys, layer.values = keys, values

    def _back_to(self, ids: Sequence[int]) -> None:
        """Cut the cache to what the text begins with, its last token always left out."""
        if self._paths:
            self.keep([0])
            self._fed += self._paths[0]
            self._paths = []
        same = 0
        for a, b in zip(self._fed, ids[:-1], strict=False):
            if a != b:
                break
            same += 1
        if same < len(self._fed):
            self._cache.crop(same - len(self._fed))
            self._fed = self._fed[:same]

    def _forward(self, added: list[list[int]], *, wanted: bool = True) -> Tensor:
        paths = self._paths or [[] for _ in added]
        before, n = len(self._fed) + len(paths[0]), len(added[0])
        if before + n > self.model.spec.max_positions:
            raise BadOption(
                f"{before + n} tokens; {self.model.spec.name} holds {self.model.spec.max_positions}"
            )
        device = self.model.device
        out = self.model.forward(
            Inputs(
                ids=torch.tensor(added, device=device),
                mask=torch.ones((len(added), before + n), dtype=torch.bool, device=device),
                position_ids=torch.arange(before, before + n, device=device).expand(len(added), -1),
                cache=self._cache,
                needs_mask=False,
            ),
            logits="all" if wanted else "none",
            step=1,
        )
        self._paths = [path + new for path, new in zip(paths, added, strict=True)]
        if not wanted or out.logits is None:
            self._fed, self._paths = self._fed + self._paths[0], []
            return torch.empty(0)
        self.calls += 1
        return out.logits
