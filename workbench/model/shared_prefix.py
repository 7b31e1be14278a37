"""Many rows that share one prefix: its keys and values are kept once, each row adds its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from workbench.errors import Unsupported
from workbench.model.backends.torch_hooks import HooksBackend
from workbench.model.backends.twin import twin
from workbench.model.model import Model

_NAME = "workbench_shared_prefix"
_CURRENT: "ContextVar[SharedPrefixCache]" = ContextVar("shared_prefix")
_BRANCHING: "WeakKeyDictionary[Model, Model]" = WeakKeyDictionary()

# What attention may be told besides queries, keys and values without other results. A window is
# in the mask as well, which is what the library's own kernels go by.
_HARMLESS = {
    "dropout",
    "is_causal",
    "position_ids",
    "cache_position",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "sliding_window",
    "logits_to_keep",
    "output_router_logits",
}
_KNOWN = {"softcap", "s_aux"}


class SharedPrefixCache(Cache):
    """Keys and values of one prefix, and a suffix of its own for every row.

    Row r attends to the first `prefix_lengths[r]` positions of the prefix and to its own
    `suffix_lengths[r]` tokens, as far as the model's masks allow. Memory grows with rows ×
    suffix, not with rows × prefix.
    """

    def __init__(self, prefix: DynamicCache, *, rows: int, limit: int) -> None:
        """Make room for `rows` suffixes of at most `limit` tokens behind a batch of one."""
        filled: list[Any] = list(prefix.layers)
        self._parts = [_Layer(layer.keys, layer.values, self) for layer in filled]
        super().__init__(layers=list(self._parts))
        self._device = filled[0].keys.device
        self._prefix: list[int] = []
        self._suffix: list[int] = []
        self.rows, self.limit = rows, limit
        self._places()

    @property
    def active(self) -> int:
        """The number of rows that run."""
        return len(self._prefix)

    def place(self, row: int, prefix_length: int) -> None:
        """Start a row anew behind the first `prefix_length` tokens of the prefix."""
        if row == len(self._prefix):
            self._prefix.append(prefix_length)
            self._suffix.append(0)
        else:
            self._prefix[row], self._suffix[row] = prefix_length, 0
        self._places()

    def replace_by_last(self, row: int) -> None:
        """Drop a row: the last active one takes its place."""
        last = self.active - 1
        for lengths in (self._prefix, self._suffix):
            lengths[row] = lengths[last]
            lengths.pop()
        for layer in self._parts:
            layer.copy_row(last, row)
        self._places()

    def grow(self) -> None:
        """Count the token that every active row has just been given."""
        self._suffix = [n + 1 for n in self._suffix]
        self._places()

    def position_ids(self) -> Int[Tensor, "batch 1"]:
        """The position of the next token of every row."""
        return (self.prefix_lengths + self.suffix_lengths)[:, None]

    def _places(self) -> None:
        """Put the lengths where the keys are, once per step and not once per layer."""
        numbers = [self._prefix, self._suffix, list(range(self.active))]
        lengths = torch.tensor(numbers, dtype=torch.long).to(self._device)
        self.prefix_lengths: Int[Tensor, " batch"] = lengths[0]
        self.suffix_lengths: Int[Tensor, " batch"] = lengths[1]
        self.row_numbers: Int[Tensor, " batch"] = lengths[2]
        self.width = max(self._prefix, default=0)
        self.suffix_width = max(self._suffix, default=0) + 1
        self.longest = max(
            (a + b for a, b in zip(self._prefix, self._suffix, strict=True)), default=0
        )

    def visible(self, allowed: Callable[..., Tensor]) -> Bool[Tensor, "batch one one seen"]:
        """Say which columns every row sees under a rule over row, head, query and key position."""
        rows, device = self.active, self._device
        before = torch.arange(self.width, device=device).expand(rows, -1)
        behind = torch.arange(self.suffix_width, device=device)
        keys = torch.cat([before, self.prefix_lengths[:, None] + behind], dim=1)[:, None, None]
        real = torch.cat(
            [before < self.prefix_lengths[:, None], behind <= self.suffix_lengths[:, None]], dim=1
        )[:, None, None]
        row = torch.arange(rows, device=device)[:, None, None, None]
        seen = allowed(row, torch.zeros_like(row[:1]), self.position_ids()[:, None, None], keys)
        return seen.expand(real.shape) & real


class _Layer(CacheLayerMixin):
    """One layer's prefix (a batch of one) and the suffix buffers of all rows."""

    def __init__(self, keys: Tensor, values: Tensor, owner: SharedPrefixCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix_keys, self.prefix_values = keys[0], values[0]
        self.owner = owner
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """Write one new token per row behind the row's suffix."""
        rows = key_states.shape[0]
        if self.keys is None or self.values is None:
            self.keys, self.values = self._room(key_states), self._room(value_states)
        index, at = self.owner.row_numbers, self.owner.suffix_lengths
        self.keys[index, :, at] = key_states[:, :, 0]
        self.values[index, :, at] = value_states[:, :, 0]
        width = self.owner.suffix_width
        return self.keys[:rows, :, :width], self.values[:rows, :, :width]

    def _room(self, states: Tensor) -> Tensor:
        _rows, heads, _pos, width = states.shape
        return states.new_zeros((self.owner.rows, heads, self.owner.limit, width))

    def copy_row(self, source: int, target: int) -> None:
        """Overwrite one row's suffix by another's."""
        if self.keys is not None and self.values is not None and source != target:
            self.keys[target] = self.keys[source]
            self.values[target] = self.values[source]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Buffers are made by the first update."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the sizes of a mask; which columns are seen is decided by `visible`."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Return the longest row, prefix and suffix together."""
        return self.owner.longest

    def get_max_length(self) -> int:
        """Return that there is no bound beyond the suffix limit."""
        return -1


def check_backend(model: Model) -> None:
    """Refuse backends whose attention cannot be switched.

    Raises:
        Unsupported: the backend is not `hooks`.
    """
    if not isinstance(model.backend, HooksBackend):
        raise Unsupported(
            f"rollouts run on backend hooks, not {model.backend.name}",
            hint='load_model(name, backend="hooks")',
        )


def branching(model: Model) -> Model:
    """Return a weight-sharing copy of a model whose attention reads a shared prefix.

    Raises:
        Unsupported: the backend is not `hooks`, or the attention cannot be switched.
    """
    if model not in _BRANCHING:
        check_backend(model)
        module = twin(model.backend.module)
        if not module._can_set_attn_implementation():
            raise Unsupported(f"{type(module).__name__} has an attention that cannot be switched")
        module.set_attn_implementation(_NAME)
        backend = HooksBackend(module, model.tokenizer, getattr(model.backend, "paths", None))
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


def _mask(*_: Any, mask_function: Callable[..., Tensor], **__: Any) -> Tensor:
    return _CURRENT.get().visible(mask_function)


def _attend(
    module: nn.Module,
    query: Float[Tensor, "batch head 1 d_head"],
    key: Float[Tensor, "batch kv_head suffix d_head"],
    value: Float[Tensor, "batch kv_head suffix d_value"],
    attention_mask: Bool[Tensor, "batch one one seen"] | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend to the shared prefix and the row's own suffix under one softmax, in fp32."""
    cache = _CURRENT.get()
    layer: Any = cache.layers[module.layer_idx]  # type: ignore[index]
    rows, heads, _, d_head = query.shape
    kv_heads, width = key.shape[1], cache.width
    if layer.prefix_keys.shape[::2] != (kv_heads, key.shape[3]):
        raise Unsupported("attention makes its keys of what is in the cache, not before")
    seen = _checked(attention_mask, (rows, 1, 1, width + key.shape[2]), options)
    grouped = query.reshape(rows, kv_heads, heads // kv_heads, d_head)
    grouped = grouped * (scaling if scaling is not None else d_head**-0.5)
    stacked = grouped.transpose(0, 1).reshape(kv_heads, -1, d_head)
    before = stacked @ layer.prefix_keys[:, :width].transpose(1, 2)
    before = before.reshape(kv_heads, rows, -1, width).transpose(0, 1)
    scores = torch.cat([before, grouped @ key.transpose(2, 3)], dim=-1).float()
    weights = _weights(scores, seen, options).to(query.dtype)
    head, tail = weights.split([width, key.shape[2]], dim=-1)
    flat = head.transpose(0, 1).reshape(kv_heads, -1, width) @ layer.prefix_values[:, :width]
    out = flat.reshape(kv_heads, rows, -1, value.shape[-1]).transpose(0, 1) + tail @ value
    return out.reshape(rows, 1, heads, value.shape[-1]), None


def _weights(
    scores: Float[Tensor, "batch kv_head group seen"],
    seen: Bool[Tensor, "batch one one seen"],
    options: dict[str, Any],
) -> Float[Tensor, "batch kv_head group seen"]:
    """Return the softmax, soft cap and attention sinks included."""
    cap, sinks = options.get("softcap"), options.get("s_aux")
    if cap is not None:
        scores = (scores / cap).tanh() * cap
    scores = scores.masked_fill(~seen, -torch.inf)
    if sinks is None:
        return scores.softmax(dim=-1)
    sink = sinks.float().reshape(1, scores.shape[1], -1, 1).expand(*scores.shape[:3], 1)
    return torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1]


def _checked(mask: Any, shape: tuple[int, ...], options: dict[str, Any]) -> Tensor:
    """Return the mask that was made for these rows; refuse what is not known."""
    given = {name for name, value in options.items() if value is not None}
    if unknown := sorted(given - _HARMLESS - _KNOWN):
        raise Unsupported(f"attention is told {', '.join(unknown)}, which a shared prefix lacks")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != shape:
        raise Unsupported("attention makes its own mask, which knows nothing of a shared prefix")
    return mask


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _mask)
