"""Many rows that share one prefix: its keys and values are kept once, each row adds its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from workbench.errors import Unsupported
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model

_NAME = "workbench_shared_prefix"
_CURRENT: "ContextVar[SharedPrefixCache]" = ContextVar("shared_prefix")
_BRANCHING: "WeakKeyDictionary[Model, Model]" = WeakKeyDictionary()


class SharedPrefixCache(Cache):
    """Keys and values of one prefix, and a suffix of its own for every row.

    Row r attends to the first `prefix_lengths[r]` positions of the prefix and to its own
    `suffix_lengths[r]` tokens. Memory grows with rows × suffix, not with rows × prefix.
    """

    def __init__(self, prefix: DynamicCache, *, rows: int, limit: int) -> None:
        """Make room for `rows` suffixes of at most `limit` tokens behind a batch of one."""
        filled: list[Any] = list(prefix.layers)
        self._parts = [_Layer(layer.keys, layer.values, self) for layer in filled]
        super().__init__(layers=list(self._parts))
        device = filled[0].keys.device
        self._prefix_lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self._suffix_lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self.rows, self.limit, self.active = rows, limit, 0

    @property
    def prefix_lengths(self) -> Int[Tensor, " batch"]:
        """How much of the prefix each active row sees."""
        return self._prefix_lengths[: self.active]

    @property
    def suffix_lengths(self) -> Int[Tensor, " batch"]:
        """How many tokens of its own each active row has."""
        return self._suffix_lengths[: self.active]

    def place(self, row: int, prefix_length: int) -> None:
        """Start a row anew behind the first `prefix_length` tokens of the prefix."""
        self._prefix_lengths[row] = prefix_length
        self._suffix_lengths[row] = 0
        self.active = max(self.active, row + 1)

    def replace_by_last(self, row: int) -> None:
        """Drop a row: the last active one takes its place."""
        last = self.active - 1
        for lengths in (self._prefix_lengths, self._suffix_lengths):
            lengths[row] = lengths[last]
        for layer in self._parts:
            layer.copy_row(last, row)
        self.active = last

    def grow(self) -> None:
        """Count the token that every active row has just been given."""
        self._suffix_lengths[: self.active] += 1

    def position_ids(self) -> Int[Tensor, "batch 1"]:
        """The position of the next token of every row."""
        return (self.prefix_lengths + self.suffix_lengths)[:, None]


class _Layer(CacheLayerMixin):
    """One layer's prefix (a batch of one) and the suffix buffers of all rows."""

    def __init__(self, keys: Tensor, values: Tensor, owner: SharedPrefixCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix_keys, self.prefix_values = keys[0], values[0]
        self.owner = owner
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """Write one new token per row behind the row's suffix."""
        rows, heads, _pos, d_head = key_states.shape
        if self.keys is None or self.values is None:
            shape = (self.owner.rows, heads, self.owner.limit, d_head)
            self.keys = key_states.new_zeros(shape)
            self.values = value_states.new_zeros(shape)
        index = torch.arange(rows, device=key_states.device)
        at = self.owner.suffix_lengths
        self.keys[index, :, at] = key_states[:, :, 0]
        self.values[index, :, at] = value_states[:, :, 0]
        width = int(at.max()) + 1
        return self.keys[:rows, :, :width], self.values[:rows, :, :width]

    def copy_row(self, source: int, target: int) -> None:
        """Overwrite one row's suffix by another's."""
        if self.keys is not None and self.values is not None and source != target:
            self.keys[target] = self.keys[source]
            self.values[target] = self.values[source]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Buffers are made by the first update."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return what a caller would need for a mask of its own; ours is built in attention."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Return the longest row, prefix and suffix together."""
        return int((self.owner.prefix_lengths + self.owner.suffix_lengths).max())

    def get_max_length(self) -> int:
        """Return that there is no bound beyond the suffix limit."""
        return -1


def branching(model: Model) -> Model:
    """Return a weight-sharing copy of a model whose attention reads a shared prefix.

    Raises:
        Unsupported: the backend is not `hooks`, or the model's attention looks at a window.
    """
    if model not in _BRANCHING:
        if not isinstance(model.backend, HooksBackend):
            raise Unsupported(
                f"rollouts run on backend hooks, not {model.backend.name}",
                hint='load_model(name, backend="hooks")',
            )
        kinds = set(getattr(model.backend.module.config, "layer_types", None) or ())
        if kinds - {"full_attention"}:
            raise Unsupported(
                f"{model.spec.name} has layers of type {', '.join(sorted(kinds))}; rollouts from "
                "a shared prefix need full attention in every layer",
                hint="use Model.generate on each prefix",
            )
        module = twin(model.backend.module)
        module.set_attn_implementation(_NAME)
        backend = HooksBackend(module, model.tokenizer)
        _BRANCHING[model] = Model(
            spec=model.spec, tokenizer=model.tokenizer, backend=backend, checked_as=model
        )
    return _BRANCHING[model]


@contextmanager
def shared_prefix(cache: SharedPrefixCache) -> Iterator[None]:
    """Make a cache the one that attention reads in this thread."""
    token = _CURRENT.set(cache)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _attend(
    module: nn.Module,
    query: Float[Tensor, "batch head 1 d_head"],
    key: Float[Tensor, "batch kv_head suffix d_head"],
    value: Float[Tensor, "batch kv_head suffix d_head"],
    mask: Any,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend to the shared prefix and the row's own suffix under one softmax, in fp32."""
    cache = _CURRENT.get()
    layer: Any = cache.layers[module.layer_idx]  # type: ignore[index]
    rows, heads, _, d_head = query.shape
    kv_heads, width = key.shape[1], int(cache.prefix_lengths.max())
    grouped = query.reshape(rows, kv_heads, heads // kv_heads, d_head)
    grouped = grouped * (scaling if scaling is not None else d_head**-0.5)
    stacked = grouped.transpose(0, 1).reshape(kv_heads, -1, d_head)
    before = stacked @ layer.prefix_keys[:, :width].transpose(1, 2)
    before = before.reshape(kv_heads, rows, -1, width).transpose(0, 1)
    scores = torch.cat([before, grouped @ key.transpose(2, 3)], dim=-1).float()
    if (cap := options.get("softcap")) is not None:
        scores = (scores / cap).tanh() * cap
    weights = scores.masked_fill(_hidden(cache, width, key.shape[2]), -torch.inf)
    weights = weights.softmax(dim=-1).to(query.dtype)
    head, tail = weights.split([width, key.shape[2]], dim=-1)
    flat = head.transpose(0, 1).reshape(kv_heads, -1, width) @ layer.prefix_values[:, :width]
    out = flat.reshape(kv_heads, rows, -1, d_head).transpose(0, 1) + tail @ value
    return out.reshape(rows, 1, heads, d_head), None


def _hidden(cache: SharedPrefixCache, width: int, suffix: int) -> Tensor:
    device = cache.prefix_lengths.device
    before = torch.arange(width, device=device) >= cache.prefix_lengths[:, None]
    after = torch.arange(suffix, device=device) > cache.suffix_lengths[:, None]
    return torch.cat([before, after], dim=1)[:, None, None]


AttentionInterface.register(_NAME, _attend)
