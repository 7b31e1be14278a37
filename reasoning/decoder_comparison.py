"""Decoders side by side: repetition, diversity and seconds per token."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reasoning._decoder_report import (
    BASELINE,
    COLUMNS,
    PLOTS,
    SHUFFLED,
    candidate_plot,
    measured,
)
from reasoning._decoder_runs import Plan, Written, write_all
from reasoning._decoder_tables import candidate_rows, text_rows, token_rows
from reasoning.drafts import parse_draft
from reasoning.policy_beam import BeamSearch
from reasoning.policy_contrastive import ContrastiveSearch
from reasoning.policy_hidden_states import HiddenStateOptimisation
from reasoning.policy_momentum import GPT2_XL, MomentumDecoding
from reasoning.policy_reward import RewardGuided
from reasoning.policy_skipping import FeedForwardSkipping, SkipDecode
from reasoning.policy_speculative import Speculative
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.methods.study_report import study_report
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.own_loop import AnyPolicy
from workbench.model.policy import GREEDY, Sampling
from workbench.options import option
from workbench.result.along import estimates_along, ratios_along
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result

Decoder = Literal[
    "greedy",
    "sampling",
    "contrastive",
    "momentum",
    "speculative",
    "reward",
    "ffn-skip",
    "skipdecode",
    "beam",
    "hidden-states",
]


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
    draft: str = option("tree", help="Speculative drafts: tree, layers:N or a second model.")
    draft_length: int = option(4, help="Tokens drafted per call.", low=0, high=64, unit="tokens")
    rewards: tuple[str, ...] = option(
        (), help="Reward models of reward-guided decoding; none: the model itself."
    )
    reward_weights: tuple[float, ...] = option((1.0,), help="Weight α of each reward model.")
    saturation: float = option(
        0.95, help="Saturation from which ffn-skip leaves out the next block.", low=-1.0
    )
    least: float = option(0.5, help="Share of layers skipdecode ends with.", low=0.0, high=1.0)
    horizon: int = option(64, help="Tokens over which skipdecode falls.", low=2, unit="tokens")
    beams: int = option(4, help="Beginnings that beam search keeps.", low=1)
    rate: float = option(0.003, help="Step of hidden-states for cached states.", low=0.0)
    shown: int = option(0, help="Number of the prompt shown step by step, from 0.", low=0)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        room = model.spec.max_positions
        lengths = model.tokenize([e.text for e in examples]).lengths if examples else []
        prompts = [e for e, n in zip(examples, lengths, strict=True) if n < room]
        if not prompts:
            raise TooLittleData(
                f"none of {len(examples)} prompts is shorter than the model's {room} tokens",
                hint="give prompts that leave room for what is written after them",
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

    def policies(self) -> dict[str, AnyPolicy]:
        """Return the policy of every decoder asked for, in that order."""
        known: dict[str, Callable[[], AnyPolicy]] = {
            "greedy": lambda: GREEDY,
            "sampling": lambda: Sampling(temperature=self.temperature, top_p=self.top_p),
            "contrastive": lambda: ContrastiveSearch(
                k=self.contrastive_k, alpha=self.contrastive_alpha, skip_first=self.skip_first
            ),
            "momentum": lambda: MomentumDecoding(
                k=self.momentum_k, alpha=self.momentum_alpha, resistance=self.resistance
            ),
            "speculative": lambda: Speculative(
                draft=parse_draft(self.draft), length=self.draft_length
            ),
            "ffn-skip": lambda: FeedForwardSkipping(threshold=self.saturation),
            "skipdecode": lambda: SkipDecode(least=self.least, horizon=self.horizon),
            "beam": lambda: BeamSearch(width=self.beams),
            "hidden-states": lambda: HiddenStateOptimisation(rate=self.rate),
            "reward": lambda: RewardGuided(
                rewards=tuple(map(load_model, self.rewards)), weights=self.reward_weights
            ),
        }
        return {name: known[name]() for name in self.decoders}

    def _report(
        self,
        model: Model,
        prompts: Sequence[Example],
        plan: Plan,
        written: Mapping[str, Written],
        context: Context,
    ) -> Result:
        texts, batches = measured(written, context)
        shown = min(plan.shown, texts.n - 1)
        prompt = model.tokenize(prompts[shown].text).row(0)
        candidates = {
            f"candidates_{name}": candidate_rows(found, model.decode)
            for name, found in written.items()
            if found.candidates
        }
        diversity = estimates_along(texts, "diversity", SHUFFLED)
        ratios = ratios_along(texts, "diversity", BASELINE)
        return study_report(
            (texts, batches),
            summary=_summary(diversity, ratios),
            estimates=(
                *diversity,
                *estimates_along(batches, "seconds_per_token"),
                *ratios,
                *ratios_along(batches, "seconds_per_token", BASELINE),
                *estimates_along(texts, "tokens_per_call"),
                *estimates_along(texts, "kl"),
            ),
            averages={"decoders": ("decoder",)},
            rows={
                "texts": text_rows(prompts[: texts.n], written, model.decode),
                "tokens": token_rows(prompt, written, shown, model.decode),
                **candidates,
            },
            columns=COLUMNS,
            plots=(*PLOTS, *map(candidate_plot, candidates)),
            notes=_notes(model, texts.n, self),
        )


def _summary(diversity: Sequence[Estimate], ratios: Sequence[Estimate]) -> str:
    """Name the decoder that is furthest above greedy search, where one is shown to be."""
    known = {one.name.partition(".")[2]: one for one in diversity if one.value is not None}
    if not known:
        return "The texts are too short to count repeated 4-grams."
    above = [one for one in ratios if one.low is not None and one.low > 1]
    best = max(above or ratios, key=lambda one: one.value or 0.0, default=None)
    if best is None:
        return f"Nothing is compared: {'; '.join(map(str, known.values()))}."
    name = best.name.partition(".")[2]
    words = f"{name} repeats itself less than {BASELINE}"
    if not above:
        words = f"No decoder is shown to repeat itself less than {BASELINE}"
    told = [best, *(known[one] for one in (name, BASELINE) if one in known)]
    return f"{words}: {'; '.join(map(str, told))}."


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
