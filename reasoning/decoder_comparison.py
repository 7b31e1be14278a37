"""Decoders side by side: repetition, diversity and seconds per token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reasoning._decoder_report import BASELINE, DIVERSITY, SECONDS, Measured, decoder_table
from reasoning._decoder_runs import Plan, Written, write_all
from reasoning._decoder_tables import candidate_table, text_table, token_table
from reasoning.policy_contrastive import ContrastiveSearch
from reasoning.policy_momentum import GPT2_XL, MomentumDecoding
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Policy, Sampling
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Table
from workbench.result.views import Bars, Heatmap, TokenStrip, View

Decoder = Literal["greedy", "sampling", "contrastive", "momentum"]


@probe(
    "decoders",
    source="Su & Collier 2023, arXiv:2210.14140; Lan et al. 2022, arXiv:2212.02175",
)
@dataclass(frozen=True, kw_only=True)
class DecoderComparison:
    """Continue prompts with several decoders and compare repetition, diversity and speed.

    rep-n is the share of n-grams that had occurred in the same text before, all texts together;
    diversity is Π (1 − rep-n) for n = 2, 3, 4. Its null is the diversity of the same tokens in
    random order, which keeps repeated words and loses repeated phrases. Decoders take turns on
    each batch of prompts, so that they share the state of the machine.

    Units: diversity and rep-n are proportions of n-grams of tokens; time is in seconds, and is
    all that differs between two runs with one seed.
    """

    decoders: tuple[Decoder, ...] = option(
        ("greedy", "sampling", "contrastive", "momentum"), help="Decoders to compare."
    )
    new_tokens: int = option(64, help="Most tokens to write per text.", low=1, unit="tokens")
    stop: bool = option(True, help="End a text at the model's own end token.")
    batch: int = option(8, help="Prompts run together.", low=1, unit="prompts")
    temperature: float = option(1.0, help="Temperature of sampling.", low=0.0)
    top_p: float = option(0.95, help="Mass of the nucleus of sampling.", low=0.0, high=1.0)
    contrastive_k: int = option(5, help="Candidates of contrastive search.", low=1)
    contrastive_alpha: float = option(
        0.6, help="Weight of likeness in contrastive search.", low=0.0, high=1.0
    )
    skip_first: bool = option(
        False, help="Leave the first position out of contrastive search's likeness."
    )
    momentum_k: int = option(5, help="Candidates of momentum decoding.", low=1)
    momentum_alpha: float = option(0.2, help="Weight of resistance in momentum decoding.", low=0.0)
    resistance: tuple[float, ...] = option(
        GPT2_XL, help="Resistance to repeating 1, 2, … tokens in momentum decoding.", low=0.0
    )
    shown: int = option(0, help="Number of the prompt shown step by step, from 0.", low=0)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        room = model.spec.max_positions
        lengths = model.tokenize([e.text for e in examples]).lengths if examples else []
        prompts = [e for e, n in zip(examples, lengths, strict=True) if n < room]
        if not prompts:
            raise TooLittleData(
                f"none of {len(examples)} prompts is shorter than the model's {room} tokens"
            )
        plan = Plan(
            policies=self.policies(),
            new_tokens=self.new_tokens,
            batch=self.batch,
            stop=self.stop,
            shown=min(self.shown, len(prompts) - 1),
        )
        written, stopped = write_all(model, prompts, plan, context)
        result = self._report(model, prompts, plan, written, context)
        if len(prompts) < len(examples):
            long = [e.source or e.text[:40] for e in examples if e not in prompts]
            note = Note(f"too long for the model and left out: {', '.join(long)}", "warning")
            result = replace(result, notes=(*result.notes, note))
        if stopped:
            raise Stopped(result)
        return result

    def policies(self) -> dict[str, Policy]:
        """Return the policy of every decoder asked for, in that order."""
        known: dict[str, Policy] = {
            "greedy": GREEDY,
            "sampling": Sampling(temperature=self.temperature, top_p=self.top_p),
            "contrastive": ContrastiveSearch(
                k=self.contrastive_k, alpha=self.contrastive_alpha, skip_first=self.skip_first
            ),
            "momentum": MomentumDecoding(
                k=self.momentum_k, alpha=self.momentum_alpha, resistance=self.resistance
            ),
        }
        return {name: known[name] for name in self.decoders}

    def _report(
        self,
        model: Model,
        prompts: Sequence[Example],
        plan: Plan,
        written: Mapping[str, Written],
        context: Context,
    ) -> Result:
        measured = Measured(written, context)
        finished = prompts[: measured.n["texts"]]
        shown = min(plan.shown, len(finished) - 1)
        prompt = model.tokenize(finished[shown].text).row(0)
        candidates = {
            f"candidates_{name}": candidate_table(found, model.decode)
            for name, found in written.items()
            if found.candidates
        }
        return Result(
            summary=_summary(measured),
            estimates=_estimates(measured),
            tables={
                "decoders": decoder_table(measured),
                "texts": text_table(finished, written, model.decode),
                "tokens": token_table(prompt, written, shown, model.decode),
                **candidates,
            },
            notes=_notes(model, len(finished), self),
            views=_views(candidates),
        )


def _estimates(measured: Measured) -> tuple[Estimate, ...]:
    names = tuple(measured.sums)
    quantities = (DIVERSITY, SECONDS)
    found = [measured.estimate(quantity, name) for quantity in quantities for name in names]
    if BASELINE in names:
        others = [name for name in names if name != BASELINE]
        found += [measured.against_baseline(q, name) for q in quantities for name in others]
    return tuple(found)


def _summary(measured: Measured) -> str:
    def known(name: str) -> float:
        value = measured.estimate(DIVERSITY, name).value
        return -1.0 if value is None else value

    best = max(measured.sums, key=known)
    if known(best) < 0:
        return "The texts are too short to count repeated 4-grams."
    words = f"{best} repeats itself least: {measured.estimate(DIVERSITY, best)}"
    if BASELINE in measured.sums and best != BASELINE:
        words += f"; {BASELINE}: {measured.estimate(DIVERSITY, BASELINE)}"
    return words + "."


def _notes(model: Model, n: int, recipe: DecoderComparison) -> tuple[Note, ...]:
    return (
        Note(
            f"Times are wall-clock on {model.spec.device} in {model.spec.dtype}, "
            f"{min(recipe.batch, n)} prompts at once; they differ from run to run.",
            code="timing",
        ),
        Note(
            "Diversity falls with the length of a text, so compare it at equal new_tokens"
            + (" and look at n_tokens: texts end early here." if recipe.stop else "."),
            code="length",
        ),
    )


def _views(candidates: Mapping[str, Table]) -> tuple[View, ...]:
    return (
        Bars(
            title="Diversity of what each decoder writes",
            table="decoders",
            x="decoder",
            y="diversity",
            control="diversity_shuffled",
        ),
        Bars(title="Seconds per token", table="decoders", x="decoder", y="seconds_per_token"),
        TokenStrip(
            title="One prompt: tokens that repeat what came before",
            table="tokens",
            token="token",
            color="repeated",
            rows=("back",),
            group="decoder",
        ),
        *(
            Heatmap(
                title=f"Candidates and their scores: {name.removeprefix('candidates_')}",
                table=name,
                row="rank",
                column="step",
                value="score",
                text="token",
                diverging=True,
            )
            for name in candidates
        ),
    )
