"""From a generation by a thinking policy to chains, with what each token was fed as."""

from collections.abc import Sequence
from typing import Literal

from workbench.latent.gate import Gate
from workbench.latent.inputs import GatedMixture, LatentInput, MixtureOfInputs, SoftTokens
from workbench.latent.interventions import Intervened
from workbench.latent.mixture import EmbeddingTable
from workbench.latent.replaced import Replaced
from workbench.latent.thinking import LatentThinking, StepRecord
from workbench.methods.contracts import Prompt
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.trace import Trace
from workbench.result.chain import Chain, Step
from workbench.sampling.flops import Size, flat_cost, generation_cost
from workbench.sampling.prompting import generate_batch


def think(
    model: Model,
    prompts: Sequence[Prompt],
    policy: LatentThinking,
    *,
    limit: int,
    seeds: Sequence[int],
    silent: int = 0,
) -> list[Chain]:
    """Let a model think in latent inputs and answer; one step of a chain per token.

    The first `silent` steps write nothing: their tokens are no part of the response.

    Raises:
        BadOption: prompts that end in different ways share a batch.
    """
    options = GenerationOptions(seeds=list(seeds))
    trace = generate_batch(model, prompts, policy=policy, limit=limit, options=options)
    size = Size.of(model.backend.module, model.spec)
    table = EmbeddingTable(model)
    return [
        _chain(model, prompt, trace, row, (policy, table, size, silent))
        for row, prompt in enumerate(prompts)
    ]


def _chain(
    model: Model,
    prompt: Prompt,
    trace: Trace,
    row: int,
    rest: tuple[LatentThinking, EmbeddingTable, Size, int],
) -> Chain:
    policy, table, size, silent = rest
    ids = trace.generated[row]
    stopped = trace.ended[row] == "stop"
    records: Sequence[StepRecord] = trace.records[: len(ids)]
    costs = generation_cost(size, len(prompt.ids), len(ids))
    latent = sum(bool(record.latent[row]) for record in records[: len(ids) - 1])
    extra = latent * latent_operations(policy.inputs, table)
    costs["reasoning"] = costs["reasoning"] + flat_cost(extra)
    gate = policy.inputs.gate if isinstance(policy.inputs, GatedMixture) else None
    return Chain(
        steps=tuple(_step(model, record, row, gate, table) for record in records),
        response=model.decode((ids[:-1] if stopped else ids)[silent:]),
        ended="end" if stopped else "limit",
        costs=costs,
    )


def _step(
    model: Model, record: StepRecord, row: int, gate: Gate | None, table: EmbeddingTable
) -> Step:
    token = int(record.tokens[row])
    is_latent = bool(record.latent[row])
    facts = {"entropy": float(record.entropy[row])}
    if record.mixture is not None and is_latent:
        facts["heaviest"] = float(record.mixture.weights[row].max())
    if gate is not None and is_latent:
        s = gate.opening(table.of(record.tokens[row : row + 1])).s.detach()
        facts["mean_ratio"] = float(s.mean())
    vector = record.vector
    return Step(
        kind="latent" if is_latent else "token",
        text=model.decode([token]),
        vector=vector[row].float().cpu().numpy() if vector is not None and is_latent else None,
        logprob=float(record.logprob[row]),
        fed=_fed(record, is_latent),
        facts=facts,
    )


def _fed(record: StepRecord, is_latent: bool) -> Literal["text", "vector", "mixture"]:
    if not is_latent:
        return "text"
    return "vector" if record.mixture is None else "mixture"


def latent_operations(inputs: LatentInput, table: EmbeddingTable) -> float:
    """Return the operations of one latent input beyond the model's own step."""
    d_vocab, d_model = table.weight.shape
    if isinstance(inputs, Intervened | Replaced):
        return latent_operations(inputs.inner, table)
    if isinstance(inputs, GatedMixture):
        mixed = inputs.width or d_vocab
        return 2.0 * (mixed * d_model + 2 * d_model**2)
    if isinstance(inputs, MixtureOfInputs):
        return 2.0 * d_vocab * d_model
    return 2.0 * inputs.n * d_model if isinstance(inputs, SoftTokens) else 0.0
