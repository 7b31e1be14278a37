"""Critical tokens without rollouts: the contrast of a positive and a negative model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from probes.contrast.examined import Examined, examined, stored_rollouts
from probes.contrast.models import RECIPE, ContrastModels, find_models
from probes.contrast.score_report import Compared, report
from probes.contrast.scoring import score
from probes.contrast.stored import store_of
from probes.contrast.unseen import Unseen, seen_questions
from probes.critical.drawing import DrawingOptions
from probes.critical_tokens import CriticalTokens
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example, Stopped
from workbench.methods.registry import probe
from workbench.model.model import Model
from workbench.options import option
from workbench.result.result import Note, Result
from workbench.sampling.task import open_task

_UNTOLD = Note(
    "which questions trained the estimate cannot be told: some may be among these", "warning"
)


@probe(RECIPE, source="Lin et al. 2025, arXiv:2411.19943")
@dataclass(frozen=True, kw_only=True)
class ContrastiveEstimate(DrawingOptions):
    """Score every token by two contrasted models, and compare with rollouts.

    The score of a token is s = softmax((1 + β)·z_p − β·z_n), z_p and z_n being the logits of a
    model trained on right and one trained on wrong responses (recipe `contrastive-estimate`).
    It is a probability: over the vocabulary it sums to one, and low s marks a critical token.
    With β = 0 it is the positive model's probability.

    Agreement with rollouts is told over wrong responses to questions the models have not seen:
    Spearman's rank correlation of −log s with the drop of the success rate at each token, and
    hit@k, how often the critical token is among the k of lowest s. Beside both stand the
    entropy and the surprisal of the base model, which cost nothing, and a random order.

    Rollouts are drawn, or read from a stored run of `critical-tokens`.

    Cost: two passes over each response, and the rollouts it is compared with.

    Units: scores are probabilities, entropy is in nats, intervals resample trajectories.

    Source: Lin et al. 2025, section 2. The paper states the cost of both ways; how well they
    agree, the baselines and the intervals are ours.
    """

    default_task: ClassVar[str] = CriticalTokens.default_task

    estimate: str = option(
        "", help="Run or folder of a contrastive estimate; default: the one that ships."
    )
    rollouts: str = option("", help="Stored run of critical-tokens; default: draw now.")
    beta: float = option(1.0, help="Strength of the contrast in s.", low=0, high=100)
    mode: Literal["off-path", "exhaustive"] = option(
        "off-path", help="How rollouts are drawn now; both give the whole success curve."
    )
    preferred: int = option(5, help="Tokens of highest s told at each place.", low=1, high=100)

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        """Score wrong responses and compare with what rollouts say of them.

        Raises:
            ModelNotFound: no contrastive estimate of that name, or none ships for this model.
            InputError: the stored rollouts are another probe's or another model's.
            TooLittleData: no wrong response to a question that the models have not seen.
            Stopped: the user stopped after some trajectories.
        """
        models = find_models(model, self.estimate, store_of(context))
        seen = seen_questions(models.manifest)
        try:
            found, notes = self._examined(model, seen or frozenset(), context)
        except Stopped as stop:
            task = open_task(context.task or self.default_task)
            part = examined(stop.result, model, task)
            raise Stopped(self._result(model, models, part, context)) from stop
        if seen is None:
            notes = (*notes, _UNTOLD)
        result = self._result(model, models, found, context)
        return replace(result, notes=(*notes, *result.notes))

    def _examined(
        self, model: Model, seen: frozenset[str], context: Context
    ) -> tuple[list[Examined], tuple[Note, ...]]:
        """Return wrong responses with what rollouts found, seen questions left out."""
        if not self.rollouts:
            task = Unseen(task=open_task(context.task or self.default_task), seen=seen)
            return examined(self._finder.search(model, task, context), model, task), ()
        result, address = stored_rollouts(self.rollouts, store_of(context), model)
        every = examined(result, model, open_task(address))
        found = [one for one in every if one.question not in seen]
        if not found:
            raise TooLittleData(
                f"all {len(every)} questions of {self.rollouts} trained the estimate",
                hint="take rollouts of other questions: another --seed, or another file",
            )
        left_out = len(every) - len(found)
        text = f"{left_out} trajectories left out: their questions trained the estimate"
        return found[: context.limit], (Note(text),) if left_out else ()

    @property
    def _finder(self) -> CriticalTokens:
        return CriticalTokens(**self.drawing(), mode=self.mode, alternatives=False)

    def _result(
        self, model: Model, models: ContrastModels, found: Sequence[Examined], context: Context
    ) -> Result:
        scored = score(
            model,
            models,
            [one.row for one in found],
            beta=self.beta,
            top=self.preferred,
            at_once=max(1, self.rows // 4),
        )
        pairs = zip(found, scored, strict=True)
        return report([Compared(found=one, scored=said) for one, said in pairs], model)
