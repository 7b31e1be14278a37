"""The TransformerLens backend: reads and edits through the hook points of a TransformerBridge."""

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from workbench.errors import Unsupported
from workbench.model.backend import Inputs, Outputs, Wanted
from workbench.model.backends.one_pass import Caller, Pass
from workbench.model.backends.twin import Ends, twin
from workbench.model.edits import Edit
from workbench.model.module_paths import find_paths
from workbench.model.points import Layout, ModulePaths, Point
from workbench.model.sites import Kind, Site

_HOOKS = {
    Kind.RESID_PRE: ("hook_in",),
    Kind.Q: ("attn.hook_q_normed", "attn.q.hook_out"),
    Kind.K: ("attn.hook_k_normed", "attn.k.hook_out"),
    Kind.V: ("attn.v.hook_out",),
    Kind.Z: ("attn.o.hook_in",),
    Kind.ATTN_PATTERN: ("attn.hook_pattern",),
    Kind.ATTN_OUT: ("ln1_post.hook_out", "attn.hook_out"),
    Kind.RESID_MID: ("ln2.hook_in",),
    Kind.MLP_OUT: ("ln2_post.hook_out", "mlp.hook_out"),
    Kind.RESID_POST: ("hook_out",),
}
_ENDS = {Kind.EMBED: "embed.hook_out", Kind.FINAL_NORM: "ln_final.hook_out"}


class BridgeBackend:
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
        self.paths = paths or find_paths(module)
        self.tokenizer = tokenizer
        self._ends = Ends(module, self.paths)
        self.bridge = _boot(twin(module), tokenizer)
        _use_own_norms(self.bridge)
        self.module: Any = self.bridge.original_model
        self._call = Caller(self.module, self.paths)
        self._block = _hook_points(self.bridge, self.paths)
        self._computes_pattern = _computes_pattern(self.bridge)

    def supports(self, kind: Kind, *, edit: bool) -> bool:
        """Whether sites of that kind can be read (or edited) on this model."""
        if edit and kind is Kind.ATTN_PATTERN and not self._computes_pattern:
            return False
        return not kind.has_layer or kind in self._block

    def forward(
        self, inputs: Inputs, *, read: Sequence[Site], edits: Sequence[Edit], logits: Wanted
    ) -> Outputs:
        """Run once; reads see the state after the edits at the same site."""
        run = Pass(inputs, read, edits)
        hooks = [self._hook(run, place) for place in run.inside]
        with self.bridge.hooks(fwd_hooks=hooks):
            found = self._call(run.logits_needed(logits), run)
        kept = run.finish(found, logits)
        return Outputs(logits=kept, captured={site: run.captured[site] for site in read})

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        return self._ends.embed(ids)

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits, through the final norm unless `normed`."""
        return self._ends.unembed(h, normed=normed)

    def _hook(self, run: Pass, place: Site) -> tuple[str, Callable[..., Tensor | None]]:
        if place.layer is None:
            point = Point(_ENDS[place.kind], "output")
        else:
            point = self._block[place.kind]
            point = replace(point, path=f"blocks.{place.layer}.{point.path}")

        def through(raw: Tensor, hook: Any) -> Tensor | None:
            split = point.layout is Layout.JOINED and raw.dim() == 4
            here = replace(point, layout=Layout.SPLIT) if split else point
            x = here.view(raw, run.batch)
            changed = run.visit(place, x)
            return None if changed is x else here.write(raw, changed)

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
        try:
            bridge = bridge_class.boot_transformers(
                "model",
                hf_model=module,
                tokenizer=AutoTokenizer.from_pretrained(folder),
                device=next(module.parameters()).device,
                dtype=module.dtype,
            )
        except (ValueError, RuntimeError, AttributeError, KeyError) as error:
            said = str(error).partition("\n")[0][:100]
            raise Unsupported(
                f"TransformerLens cannot hold {type(module).__name__}: {said}",
                hint="use backend hooks or nnsight",
            ) from error
    return bridge


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


def _hook_points(bridge: Any, paths: ModulePaths) -> Mapping[Kind, Point]:
    found = {}
    for kind, point in paths.block.items():
        names = [name for name in _HOOKS[kind] if f"blocks.0.{name}" in bridge.hook_dict]
        if not names:
            continue
        layout = point.layout
        if names[0].endswith("_normed"):
            layout = Layout.HEADS_FIRST
        elif layout in (Layout.INTERLEAVED, Layout.SPLIT):
            layout = Layout.JOINED
        found[kind] = replace(point, path=names[0], layout=layout, part=0)
    return found


def _computes_pattern(bridge: Any) -> bool:
    from transformer_lens.model_bridge.generalized_components import AttentionBridge

    # The plain bridge leaves attention to the model and only shows the pattern.
    return type(bridge.blocks[0].attn).forward is not AttentionBridge.forward
