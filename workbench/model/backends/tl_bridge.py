"""The TransformerLens backend: reads and edits through the hook points of a TransformerBridge."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from workbench.errors import Unsupported, WorkbenchError, first_line
from workbench.model.backend import Wanted
from workbench.model.backends.bridge_points import hook_points
from workbench.model.backends.one_pass import Caller, Pass
from workbench.model.backends.twin import twin
from workbench.model.backends.twin_backend import TwinBackend
from workbench.model.points import HookPoint, ModulePaths
from workbench.model.sites import Kind, Site

_ENDS = {Kind.EMBED: "embed.hook_out", Kind.FINAL_NORM: "ln_final.hook_out"}


class BridgeBackend(TwinBackend):
    """Reads and edits through a TransformerBridge on Hugging Face weights, never processed.

    The bridge always computes attention eagerly. Its own objects (`bridge.W_Q`, analysis helpers)
    are reached through `bridge`.
    """

    name = "transformer-lens"

    def __init__(self, module: nn.Module, tokenizer: Any, paths: ModulePaths | None = None) -> None:
        """Boot a bridge on a weight-sharing twin of the model.

        Raises:
            Unsupported: the workbench or TransformerLens does not know the architecture.
        """
        super().__init__(module, tokenizer, paths)
        self.plain: Any = _eager(module)
        with _failures_named(type(module).__name__):
            self.bridge = _boot(twin(module), tokenizer)
            _use_own_norms(self.bridge)
            self.module: Any = self.bridge.original_model
            self._call = Caller(self.module, self.paths)
            self._blocks = hook_points(self._call, self.bridge, self.paths, self.plain)
            patterns = self.layers_with(Kind.ATTN_PATTERN)
            self._computes_pattern = _computes_pattern(self.bridge, patterns)

    def supports(self, kind: Kind, *, edit: bool) -> bool:
        """Whether sites of that kind can be read (or edited) on this model."""
        if edit and kind is Kind.ATTN_PATTERN and not self._computes_pattern:
            return False
        return not kind.has_layer or bool(self.layers_with(kind))

    def layers_with(self, kind: Kind) -> tuple[int, ...]:
        """Return the layers that have a site of that kind."""
        return tuple(layer for layer, block in self._blocks.items() if kind in block)

    def run(self, step: Pass, wanted: Wanted) -> Tensor | None:
        """Run once under the bridge's hooks."""
        with self.bridge.hooks(fwd_hooks=[self._hook(step, place) for place in step.inside]):
            logits: Tensor | None = self._call(wanted, step)
        return logits

    def _hook(self, run: Pass, place: Site) -> tuple[str, Callable[..., Tensor | None]]:
        if place.layer is None:
            point = HookPoint(_ENDS[place.kind], "output")
        else:
            point = self._blocks[place.layer][place.kind]

        def through(raw: Tensor, hook: Any) -> Tensor | None:
            x = point.view(raw, run.batch)
            changed = run.visit(place, x)
            return None if changed is x else point.write(raw, changed)

        return point.path, through


def _boot(module: Any, tokenizer: Any) -> Any:
    if module.config.get_text_config(decoder=True) is not module.config:
        # Booting one would look for an image processor online and install packages for it.
        raise Unsupported(
            f"{type(module).__name__} takes more than text; the TransformerLens backend does not",
            hint="use backend hooks or nnsight",
        )
    if not module.config.architectures:
        module.config.architectures = [type(module).__name__]
    bridge_class = _bridge_class()
    with tempfile.TemporaryDirectory() as folder:
        # The bridge changes the tokenizer it is given and reloads it from where it was saved.
        (tokenizer or _no_tokenizer()).save_pretrained(folder)
        return bridge_class.boot_transformers(
            "model",
            hf_model=module,
            tokenizer=AutoTokenizer.from_pretrained(folder),
            device=next(module.parameters()).device,
            dtype=module.dtype,
        )


@contextmanager
def _failures_named(architecture: str) -> Iterator[None]:
    """Say what TransformerLens cannot hold; its adapters may fail in any way."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        raise Unsupported(
            f"TransformerLens cannot hold {architecture}: {first_line(error)}",
            hint="use backend hooks or nnsight",
        ) from error


def _use_own_norms(bridge: Any) -> None:
    from transformer_lens.model_bridge.generalized_components import NormalizationBridge

    # For some families the bridge rewrites the norm in elementary steps, whose last bits differ.
    for part in bridge.original_model.modules():
        if isinstance(part, NormalizationBridge):
            part.use_native_layernorm_autograd = True


def _bridge_class() -> Any:
    verbosity = transformers_logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformer_lens.model_bridge import TransformerBridge
    transformers_logging.set_verbosity(verbosity)
    return TransformerBridge


def _no_tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = Tokenizer(WordLevel({"<s>": 0}, unk_token="<s>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<s>", bos_token="<s>")


def _eager(module: nn.Module) -> Any:
    plain = twin(module)
    with suppress(ValueError):
        plain.set_attn_implementation("eager")
    return plain


def _computes_pattern(bridge: Any, layers: Sequence[int]) -> bool:
    from transformer_lens.model_bridge.generalized_components import AttentionBridge

    # The plain bridge leaves attention to the model and only shows the pattern.
    plain = AttentionBridge.forward
    return all(type(bridge.blocks[layer].attn).forward is not plain for layer in layers)
