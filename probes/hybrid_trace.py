"""Look inside every latent input of a hybrid chain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from probes.hybrid.changes import Trial, rewritten_rows, try_changes
from probes.hybrid.report import report
from probes.hybrid.sentences import FED, NOISE, TOKENS, ChainLens
from probes.hybrid.steps import atlas_rows, layer_rows, mixture_rows, step_rows
from probes.hybrid.thoughts import Limits, Thought, run_again, think_once
from workbench.errors import TooLittleData
from workbench.latent.gate import Gate, GateShape
from workbench.latent.inputs import (
    GATE_WIDTH,
    GatedMixture,
    HiddenFeedback,
    LatentInput,
    MixtureOfInputs,
    SoftTokens,
)
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.named_changes import named_changes
from workbench.latent.thinking import LatentThinking
from workbench.latent.trained import open_hybrid
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import token_ids
from workbench.options import option
from workbench.result.result import Note, Result

_TABLES = ("chains", "steps", "mixtures", "grid", "interventions", "rewritten", "atlas",
           "sentences")  # fmt: skip
_CHANGES = "closed,top-1,mean,noise,without-drawn,answer-now,tokens-after,tokens"
_MARK = "####"
Rows = dict[str, list[dict[str, Any]]]
_UNTRAINED: dict[str, LatentInput] = {
    "soft-thinking": SoftTokens(),
    "moi": MixtureOfInputs(),
    "hidden-feedback": HiddenFeedback(),
}


@probe("hybrid-trace", source="Yue et al. 2025, arXiv:2505.18454; counterfactuals are ours")
@dataclass(frozen=True, kw_only=True)
class HybridTrace:
    """Show what every latent input was made of and what it changed, beside a control.

    Each text is continued by the method. The tokens it wrote are then run again in one pass with
    the vectors that were fed, with token embeddings only (the counterfactual), and with vectors
    as far from the embeddings in random directions (the control). KL(hybrid‖token-only) of the
    next token, flips of the likeliest one and ‖Δ‖/‖·‖ of the residual stream compare them; gate,
    mixture and attention onto latent positions are read at every step. Interventions write the
    chain again with one thing changed. Where a lens of ordinary text is known for the model, the
    state at the end of every sentence of the response is read as `sentence-words` reads it: words,
    nearest sentence, nats saved and the written sentence, of this sentence and the next, with the
    vectors fed, with tokens instead, and with the control.

    Units: entropy and KL in nats, weights and shares are proportions, norms in embedding units.

    Raises:
        ModelNotFound: the method needs a trained gate and there is none for this model.
        TooLittleData: a response is a single token, so nothing was fed.

    Source: section 3 of the paper for the gate; the released code logs `ratio_of_mean` only.
    """

    method: Literal["hrpo", "soft-thinking", "moi", "hidden-feedback"] = option(
        "hrpo", help="What is fed while thinking."
    )
    checkpoint: str = option("", help="Folder of a trained gate; default: known for the model.")
    untrained: bool = option(False, help="Take a fresh gate that has learnt nothing.")
    r_min: float = option(0.98, help="Least gate of a fresh one.", low=0.01, high=0.999)
    tokens: int = option(64, help="Limit of a response.", low=2, high=8192, unit="tokens")
    temperature: float | None = option(
        None, help="Of the mixtures; default: as trained, or 0.7.", low=0.01, high=10
    )
    mark: str = option("", help="What ends the thinking; default: as trained, or ####.")
    interventions: str = option(_CHANGES, help="Comma-separated; see the documentation.")
    step: int | None = option(None, help="Where those with a step act; default: middle.", low=0)
    sentences: bool = option(
        True, help="Read the ends of sentences, where a lens is known for the model."
    )
    shown: int = option(20, help="Tokens at each end of the gate's atlas.", low=1, high=1000)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        names = named_changes(self.interventions)
        lens, note = ChainLens.find(model, context) if self.sentences else (None, None)
        model, policy, gate, ends = self._policy(model)
        limits = Limits(tokens=self.tokens, stop_ids=ends)
        trial = Trial(names=names, step=self.step, limits=limits)
        table = EmbeddingTable(model)
        rows: Rows = {name: [] for name in _TABLES}
        stopped: KeyboardInterrupt | None = None
        try:
            for i, example in enumerate(examples):
                context.progress(i, len(examples), "texts")
                thought = think_once(model, table, example.text, policy, limits)
                if len(thought.response) > 1:
                    self._collect(rows, (model, table, gate, lens), thought, context)
                    self._intervene(rows, (model, policy), thought, trial)
            context.progress(len(examples), len(examples), "texts")
        except KeyboardInterrupt as stop:
            if not rows["chains"]:
                raise
            stopped = stop
        if not rows["chains"]:
            raise TooLittleData(
                f"every one of {len(examples)} responses is a single token",
                hint="give prompts that the model continues",
            )
        if gate is not None:
            rows["atlas"] = atlas_rows(model, table, gate, shown=self.shown)
        notes = [] if note is None else [note]
        if self.untrained and self.method == "hrpo":
            notes.append(Note("the gate is fresh and has learnt nothing", "warning", "untrained"))
        result = report(rows, len(examples), notes)
        if stopped is not None:
            raise Stopped(result) from stopped
        return result

    def _collect(
        self,
        rows: Rows,
        rest: tuple[Model, EmbeddingTable, Gate | None, ChainLens | None],
        thought: Thought,
        context: Context,
    ) -> None:
        model, table, gate, lens = rest
        text = len(rows["chains"])
        seed = int(context.stream(f"directions {text}").integers(2**62))
        noise = thought.with_random_deviations(torch.Generator().manual_seed(seed))
        hybrid, plain, control = (
            run_again(model, table, thought, fed) for fed in (thought.fed, thought.token, noise)
        )
        passes = (hybrid, plain, control)
        states = {
            name: one.residual for name, one in zip((FED, TOKENS, NOISE), passes, strict=True)
        }
        chain = {
            "prompt": model.decode(list(thought.prompt)),
            "response": model.decode(list(thought.response)),
            "tokens": len(thought.response),
            "thinking": sum(thought.latent),
        }
        for name, some in (
            ("chains", [chain]),
            ("steps", step_rows(model, table, gate, thought, passes)),
            ("mixtures", mixture_rows(model, thought)),
            ("grid", layer_rows(thought, passes)),
            ("sentences", [] if lens is None else lens.rows(model, thought, states)),
        ):
            rows[name] += [{"text": text, **row} for row in some]

    def _intervene(
        self, rows: Rows, rest: tuple[Model, LatentThinking], thought: Thought, trial: Trial
    ) -> None:
        model, policy = rest
        text, before = len(rows["chains"]) - 1, thought.response
        found: list[dict[str, Any]] = []
        try:
            found.extend(try_changes(model, policy, thought, trial))
        finally:  # a stop keeps the changes that were tried
            written = {row["intervention"]: row.pop("ids") for row in found}
            rows["interventions"] += [{"text": text, **row} for row in found]
            if not text and written:
                for name, after in {**written, "unchanged": list(before)}.items():
                    rows["rewritten"] += rewritten_rows(model, name, before, after)

    def _policy(self, model: Model) -> tuple[Model, LatentThinking, Gate | None, tuple[int, ...]]:
        """Return what thinks, how, its gate, and the tokens that end a response."""
        inputs: LatentInput
        ends = tuple(model.stop_ids)
        gate, mark, temperature = None, self.mark or _MARK, self.temperature or 0.7
        if self.method == "hrpo" and not self.untrained:
            trained = open_hybrid(model, self.checkpoint)
            model, inputs, gate = trained.model, trained.inputs(), trained.gate
            mark = self.mark or trained.mark
            ends = tuple(dict.fromkeys((*ends, *trained.end_ids)))
            temperature = self.temperature or trained.temperature
        elif self.method == "hrpo":
            generator = torch.Generator().manual_seed(0)
            gate = Gate(model.spec.d_model, GateShape(r_min=self.r_min), generator=generator)
            gate = gate.to(model.device).requires_grad_(False)
            inputs = GatedMixture(gate=gate)
        else:
            inputs = _UNTRAINED[self.method]
        ids = token_ids(model.tokenizer, f" {mark}", special_tokens=False)
        policy = LatentThinking(
            inputs=inputs,
            sampling=Sampling(temperature=temperature),
            greedy=True,
            delimiter=mark,
            closing=tuple(ids),
            keep=GATE_WIDTH,
        )
        return model, replace(policy, vectors=True), gate, ends
