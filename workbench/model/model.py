"""A causal language model and its tokenizer behind one hook backend."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadEdit, BadOption
from workbench.model.apart_run import run_apart
from workbench.model.backend import Backend, Inputs, Outputs, Wanted
from workbench.model.capabilities import require
from workbench.model.card import card
from workbench.model.company import row_plan, runs_together
from workbench.model.edits import Edit, active, selection_problems
from workbench.model.finite import current_watch, head_flags, pass_flags
from workbench.model.generation import DEFAULTS, GenerationOptions, continue_prefix
from workbench.model.masks import Layout, fitting, honoured
from workbench.model.own_loop import AnyPolicy
from workbench.model.policy import GREEDY, RowPlan
from workbench.model.prefix import Prefix, prefill
from workbench.model.rope_switch import rope_switch
from workbench.model.site_checks import check_sites
from workbench.model.site_patterns import expand
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, check_ids, tokenize
from workbench.model.trace import Trace
from workbench.model.verdict import Verdict
from workbench.progress import check_stop

Prompt = Tokens | Prefix | str | Sequence[str]


class Model:
    """A model that runs with reads and edits at named sites.

    One instance may be shared between threads: forward passes are made one at a time, under
    `lock`. What the model was found to be able to do is kept in `verdicts`.
    """

    def __init__(
        self,
        *,
        spec: ModelSpec,
        tokenizer: Any,
        backend: Backend,
        checked_as: "Model | None" = None,
    ) -> None:
        """Join a backend with its tokenizer; users call `load_model`.

        `checked_as` computes the same and its checks hold for this one, which cannot run by itself.
        """
        self.spec = spec
        self.tokenizer = tokenizer
        self.backend = backend
        self.switch = rope_switch(backend.module)
        self.lock = threading.RLock()
        self.verdicts: dict[str, Verdict] = {}
        self.is_checked = False
        self.checked_as = checked_as
        self.identity = ""

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""
        return next(self.backend.module.parameters()).device

    def tokenize(
        self,
        texts: str | Sequence[str],
        *,
        side: Literal["left", "right"] = "right",
        limit: int | None = None,
    ) -> Tokens:
        """Turn texts into one batch, each cut to `limit` tokens (default: what the model holds)."""
        texts = [texts] if isinstance(texts, str) else texts
        found = tokenize(self.tokenizer, texts, side=side, limit=limit or self.spec.max_positions)
        return self._known(found).to(self.device)

    def run(
        self,
        tokens: Tokens | str | Sequence[str],
        *,
        read: Sequence[Site | str] = (),
        edits: Sequence[Edit] = (),
        logits: Wanted = "none",
        embeds: Float[Tensor, "batch pos d_model"] | None = None,
        layout: Layout | None = None,
    ) -> Trace:
        """Run once over a batch and record the sites asked for.

        `embeds` replaces the token embeddings (same layout as `tokens`), `layout` the causal mask
        and the positions.

        Raises:
            BadSite, BadOption: a site does not exist in this model, or a row does not fit it.
            Unsupported: the backend cannot read or edit that kind of site, or honour a layout.
        """
        if not isinstance(tokens, Tokens):
            tokens = self.tokenize(tokens)
        batch = (tokens if embeds is not None else self._known(tokens)).to(self.device)
        embeds = None if embeds is None else embeds.to(self.device)
        sites = self.sites(read)
        layout = fitting(self, layout, batch)
        if layout is not None or runs_together(self, batch):
            inputs = Inputs(
                ids=None if embeds is not None else batch.ids,
                embeds=embeds,
                mask=batch.mask,
                position_ids=batch.position_ids if layout is None else layout.position_ids,
                host_mask=batch.near.mask,
                needs_mask=batch.is_padded,
                visible=None if layout is None else layout.visible,
            )
            outputs = self.forward(inputs, read=sites, edits=edits, logits=logits)
        else:
            self._check_selections([_resolved(e, self.spec) for e in edits], len(batch.ids))
            outputs = run_apart(self, batch, read=sites, edits=edits, logits=logits, embeds=embeds)
        return Trace(
            spec=self.spec,
            tokens=batch,
            activations=outputs.captured,
            logits=outputs.logits,
            layout="causal" if layout is None else layout.name,
        )

    def generate(
        self,
        prompt: Prompt,
        *,
        policy: AnyPolicy = GREEDY,
        limit: int = 128,
        read: Sequence[Site | str] = (),
        edits: Sequence[Edit] = (),
        options: GenerationOptions = DEFAULTS,
    ) -> Trace:
        """Generate at most `limit` tokens per row, with reads and edits at every step.

        `prompt` is text, a batch with any padding, or a Prefix, which is continued without
        running the prompt again and brings its own reads. A row's tokens depend on its prompt
        and its seed; the rows beside it change only the rounding of the forward pass. In float32
        that moves logits by about 1e-6 of their size. In bfloat16 it moved those of the embedded
        model by up to 8e-2, and 4 of 20 prompts got other tokens within 10 steps than alone; in
        float16 by 5e-3, and none did. In half formats generate prompts one by one where every
        token must be reproduced. Edits act at step 0, the prompt, or t, the t-th generated token.

        Raises:
            BadOption: a prompt does not fit, or a setting is out of bounds.
            BadSite: a site does not exist in this model or in every prompt.
            Unsupported: the backend cannot read or edit that kind of site.
        """
        if isinstance(prompt, Prefix):
            if read or options.embeds is not None or options.layout is not None:
                raise BadOption(
                    "a Prefix has been run already; reads, embeds and layout cannot be added",
                    hint="give them to model.prefill",
                )
            prefix = prompt
        else:
            own: dict[str, Any] = {"embeds": options.embeds, "layout": options.layout}
            prefix = self.prefill(prompt, read=read, policy=policy, edits=edits, **own)
        edits = [_resolved(edit, self.spec) for edit in edits]
        self._check((), edits)
        self._check_selections(edits, len(prefix.tokens.ids))
        if options.stop_ids is None:
            options = replace(options, stop_ids=self.stop_ids)
        return continue_prefix(
            self, prefix, policy=policy, limit=limit, edits=edits, options=options
        )

    def prefill(
        self,
        prompt: Tokens | str | Sequence[str],
        *,
        read: Sequence[Site | str] = (),
        policy: AnyPolicy = GREEDY,
        edits: Sequence[Edit] = (),
        embeds: Float[Tensor, "batch pos d_model"] | None = None,
        layout: Layout | None = None,
    ) -> Prefix:
        """Run a prompt once, to be continued any number of times.

        Sites that `policy` needs are kept as well. Edits act as at step 0.

        Raises:
            BadOption: a prompt leaves no room for a token, `embeds` or `layout` does not fit.
            BadSite: a site does not exist in this model or in every prompt.
        """
        if not isinstance(prompt, Tokens):
            # One more than the model holds, so that a long text is refused and not cut.
            prompt = self.tokenize(prompt, side="left", limit=self.spec.max_positions + 1)
        prompt = (prompt if embeds is not None else self._known(prompt)).to(self.device)
        return prefill(
            self,
            prompt,
            read=self.sites(read),
            also=policy.sites(self.spec),
            edits=[_resolved(edit, self.spec) for edit in edits],
            embeds=embeds,
            layout=honoured(self, layout, prompt),
        )

    def row_plan(self, tokens: Tokens, *, more: int = 0) -> RowPlan:
        """Say how left-padded rows run, during `more` generated tokens as well.

        Whether padding and a cache change what the model gives is measured on first use.
        """
        return row_plan(self, tokens, more=more)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The token ids that end a text: the tokenizer's and the model's own settings together."""
        module = self.backend.module
        places = (self.tokenizer, getattr(module, "generation_config", None), module.config)
        found: set[int] = set()
        for place in places:
            ids = getattr(place, "eos_token_id", None)
            found.update(ids if isinstance(ids, list | tuple) else () if ids is None else (ids,))
        return tuple(sorted(found))

    def forward(
        self,
        inputs: Inputs,
        *,
        read: Sequence[Site] = (),
        edits: Sequence[Edit] = (),
        logits: Wanted = "last",
        step: int = 0,
    ) -> Outputs:
        """Make one forward pass, with or without a cache: the step all generation is built of."""
        check_stop()
        resolved = [_resolved(edit, self.spec) for edit in active(edits, step)]
        self._check(read, resolved)
        if inputs.embeds is not None:
            require(self, "input vectors")
        self._check_selections(resolved, inputs.mask.shape[0])
        with self.lock, torch.no_grad():
            if self.switch is not None:
                self.switch.forget()
            outputs = self.backend.forward(inputs, read=read, edits=resolved, logits=logits)
        watch = current_watch()
        if watch is not None and not (self.checked_as or self).is_checked:
            flags = pass_flags(outputs.captured, outputs.logits, inputs.mask)
            watch.see(flags, model=self.spec.name, dtype=self.spec.dtype)
        return outputs

    def sites(self, read: Sequence[Site | str]) -> tuple[Site, ...]:
        """Resolve addresses and patterns such as `resid_post.*` on this model, each site once.

        Raises:
            BadSite: a site does not exist in this model.
        """
        return expand(read, self.spec)

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool = False
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits, through the final norm unless `normed`.

        Raises:
            Unsupported: the final state does not map to the logits in this way.
        """
        require(self, "unembed")
        with torch.no_grad():
            logits = self.backend.unembed(h, normed=normed)
        watch = current_watch()
        if watch is not None:
            watch.see(head_flags(h, logits), model=self.spec.name, dtype=self.spec.dtype)
        return logits

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""
        with torch.no_grad():
            return self.backend.embed(ids)

    def decode(self, ids: Sequence[int] | Int[Tensor, " pos"]) -> str:
        """Turn token ids back into text, special tokens included."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def _repr_html_(self) -> str:
        return card(f"Model {self.spec.name}", vars(self.spec))

    def _known(self, tokens: Tokens) -> Tokens:
        return check_ids(tokens, self.spec.d_vocab, self.tokenizer)

    def _check(self, read: Sequence[Site], edits: Sequence[Edit]) -> None:
        check_sites(self, [*((site, False) for site in read), *((e.site, True) for e in edits)])

    def _check_selections(self, edits: Sequence[Edit], n: int) -> None:
        problems = selection_problems(edits, self.spec, n)
        if problems:
            raise BadEdit("; ".join(problems), hint="rows and heads are counted from 0")


def _resolved(edit: Edit, spec: ModelSpec) -> Edit:
    return replace(edit, site=edit.site.resolve(spec))
