"""Reasoning in words: a chain of thought, or the answer at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import reasoner
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import token_ids
from workbench.model.trace import Trace
from workbench.options import option
from workbench.result.chain import Chain, Step
from workbench.sampling.flops import Size, generation_cost
from workbench.sampling.prompting import generate_batch, newline_ids
from workbench.sampling.sentences import answer_lead
from workbench.training.sentence_model import open_sentences

_CHECKPOINT = "Folder of a sentence pipeline: its writer is asked, as it was trained."


@reasoner("cot", source="Wei et al. 2022, arXiv:2201.11903")
@dataclass(frozen=True, kw_only=True)
class ChainOfThought:
    """Write the reasoning out in words, then the answer.

    Each line of the response is one step. The model is asked as the task asks it.

    Cost: one pass over the prompt, then one cached pass per token written.

    Units: accuracy is a proportion of problems; cost is in floating-point operations.

    Source: Wei et al. 2022; here without worked examples unless the task shows some.
    """

    tokens: int = option(256, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    temperature: float = option(0.0, help="0 takes the likeliest token.", low=0.0, high=10.0)
    checkpoint: str = option("", help=_CHECKPOINT)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        policy = Sampling(temperature=self.temperature)
        if self.checkpoint:
            model, prompts, _ = as_trained(model, prompts, self.checkpoint)
        return written_chains(model, prompts, policy=policy, limit=self.tokens, seeds=seeds)


@reasoner("no-cot", source="Wei et al. 2022, arXiv:2201.11903")
@dataclass(frozen=True, kw_only=True)
class AnswerAtOnce:
    """Give the answer at once, without a chain: the baseline of every other reasoner.

    The words that introduce an answer in this task are put into the model's mouth, and what it
    writes up to the end of that line is its answer.

    Cost: one pass over the prompt, then one cached pass per token of the answer.

    Units: accuracy is a proportion of problems; cost is in floating-point operations.

    Source: standard-prompting baseline of Wei et al. 2022, zero-shot and with a forced start.
    """

    tokens: int = option(32, help="Most tokens written.", low=1, high=100_000, unit="tokens")
    temperature: float = option(0.0, help="0 takes the likeliest token.", low=0.0, high=10.0)
    lead: str = option("", help="Words that introduce the answer; default: the task's own.")
    checkpoint: str = option("", help=_CHECKPOINT)

    def solve(
        self, model: Model, prompts: Sequence[Prompt], *, seeds: Sequence[int], context: Context
    ) -> Sequence[Chain]:
        lead = self.lead or answer_lead(context.task)
        if self.checkpoint:
            model, prompts, lead = as_trained(model, prompts, self.checkpoint)
        ids = tuple(token_ids(model.tokenizer, lead, special_tokens=False))
        stops = newline_ids(model.tokenizer)
        asked = [
            replace(p, ids=(*p.ids, *ids), stop_ids=tuple(dict.fromkeys((*p.stop_ids, *stops))))
            for p in prompts
        ]
        policy = Sampling(temperature=self.temperature)
        chains = written_chains(model, asked, policy=policy, limit=self.tokens, seeds=seeds)
        return [replace(chain, response=f"{lead}{chain.response}") for chain in chains]


def as_trained(
    model: Model, prompts: Sequence[Prompt], folder: str
) -> tuple[Model, list[Prompt], str]:
    """Return the writer of a sentence pipeline, bare questions, and what asks for an answer.

    Raises:
        ModelNotFound: the folder holds none.
        ModelError: it belongs to another model.
    """
    trained = open_sentences(model, folder)
    lines = trained.codec.lines
    asked = [
        replace(p, ids=tuple(lines.question(p.question)), stop_ids=(lines.end,)) for p in prompts
    ]
    return trained.writer, asked, trained.lead


def written_chains(
    model: Model,
    prompts: Sequence[Prompt],
    *,
    policy: Sampling,
    limit: int,
    seeds: Sequence[int],
) -> list[Chain]:
    """Let a model answer each prompt in words and count what it took.

    Raises:
        BadOption: prompts that end in different ways share a batch.
    """
    options = GenerationOptions(seeds=list(seeds), keep_logprobs=True)
    trace = generate_batch(model, prompts, policy=policy, limit=limit, options=options)
    size = Size.of(model.backend.module, model.spec)
    return [_chain(model, prompt, trace, i, size) for i, prompt in enumerate(prompts)]


def _chain(model: Model, prompt: Prompt, trace: Trace, row: int, size: Size) -> Chain:
    ids = trace.generated[row]
    stopped = trace.ended[row] == "stop"
    text = model.decode(ids[:-1] if stopped else ids)
    lines = [line for line in text.split("\n") if line.strip()]
    logprob = sum(trace.logprobs[row]) / max(1, len(ids))
    return Chain(
        steps=tuple(Step(kind="token", text=line, logprob=logprob) for line in lines),
        response=text,
        ended="end" if stopped else "limit",
        costs=generation_cost(size, len(prompt.ids), len(ids)),
    )
