"""Rows of the trace: every step, its mixture, and how the gate opened."""

from typing import Any

import torch

from probes.hybrid.thoughts import Passed, Thought, distances, divergences
from workbench.latent.gate import Gate
from workbench.latent.mixture import EmbeddingTable, Mixture
from workbench.model.model import Model

SHOWN = 8


def step_rows(
    model: Model,
    table: EmbeddingTable,
    gate: Gate | None,
    thought: Thought,
    passes: tuple[Passed, Passed, Passed],
) -> list[dict[str, Any]]:
    """Return one row per token of a response.

    `passes` are the hybrid one, the token-only counterfactual and the control, all on the same
    tokens; what they say about step t is how the inputs before it changed its prediction.
    """
    hybrid, plain, control = passes
    kl, flips = divergences(hybrid, plain)
    null, null_flips = divergences(control, plain)
    rows: list[dict[str, Any]] = []
    for t, record in enumerate(thought.records):
        p = float(record.logprob[0].exp())
        mixture = thought.mixtures[t]
        rows.append(
            {
                "step": t,
                "token": model.decode([thought.response[t]]),
                "latent": thought.latent[t],
                "p": p,
                "disagreement": 1 - p,
                "entropy": float(record.entropy[0]),
                "residual_mass": None if mixture is None else float(mixture.residual[0]),
                "kl": float(kl[t]),
                "flips": float(flips[t]),
                "kl_control": float(null[t]),
                "flips_control": float(null_flips[t]),
                "badge": "flip" if flips[t] else "",
                "attention": float(hybrid.attention[t - 1]) if t else None,
                **_lengths(thought, t),
                **gate_facts(gate, table, thought, t),
            }
        )
    return rows


def _lengths(thought: Thought, t: int) -> dict[str, float]:
    fed, token = thought.fed[t], thought.token[t]
    cosine = torch.nn.functional.cosine_similarity(fed, token, dim=0)
    return {
        "norm_token": float(token.norm()),
        "norm_fed": float(fed.norm()),
        "cosine_fed": float(cosine),
    }


@torch.no_grad()
def gate_facts(
    gate: Gate | None, table: EmbeddingTable, thought: Thought, t: int
) -> dict[str, float | None]:
    """Return how the gate opened at one step: a and i, three hidden ratios, h beside ê."""
    mixture: Mixture | None = thought.mixtures[t]
    names = (
        *("a_mean", "a_q05", "a_q50", "a_q95", "i_mean", "ratio_of_mean", "mean_ratio"),
        *("norm_share", "norm_mixture", "cosine_mixture"),
    )
    if gate is None or mixture is None:
        return dict.fromkeys(names)
    token = thought.token[t]
    opening = gate.opening(token)
    h = table.spread(mixture)[0]
    latent, rest = (opening.s * opening.i * h).norm(), (opening.a * token).norm()
    quantiles = torch.quantile(opening.a, torch.tensor([0.05, 0.5, 0.95]).to(opening.a))
    mean = float(opening.a.mean())
    found = (
        *(mean, *quantiles.tolist(), float(opening.i.mean()), (1 - mean**2) ** 0.5),
        float((1 - opening.a**2).clamp(min=0).sqrt().mean()),
        *(float(latent / (latent + rest)), float(h.norm())),
        float(torch.nn.functional.cosine_similarity(h, token, dim=0)),
    )
    return dict(zip(names, found, strict=True))


def mixture_rows(model: Model, thought: Thought) -> list[dict[str, Any]]:
    """Return the heaviest tokens of every mixture."""
    rows = []
    for t, mixture in enumerate(thought.mixtures):
        if mixture is None:
            continue
        few = mixture.few(SHOWN)
        if few.ids is None:
            continue
        for rank, (token, weight) in enumerate(
            zip(few.ids[0].tolist(), few.weights[0].tolist(), strict=True), start=1
        ):
            rows.append({"step": t, "rank": rank, "token": model.decode([token]), "weight": weight})
    return rows


def layer_rows(thought: Thought, passes: tuple[Passed, Passed, Passed]) -> list[dict[str, Any]]:
    """Return how far the residual stream is from the token-only run, layer by step."""
    gaps = distances(passes[0], passes[1])
    null = distances(passes[2], passes[1])
    return [
        {"layer": layer, "step": t, "distance": float(gaps[layer, t]),
         "distance_control": float(null[layer, t])}
        for layer in range(gaps.shape[0])
        for t in range(gaps.shape[1])
    ]  # fmt: skip


@torch.no_grad()
def atlas_rows(
    model: Model, table: EmbeddingTable, gate: Gate, *, shown: int
) -> list[dict[str, Any]]:
    """Return the tokens for which the gate is most and least open, over the whole vocabulary.

    The gate reads nothing but the token's embedding, so this needs no inference.
    """
    ratios, inputs = [], []
    for block in table.weight.split(4096):
        opening = gate.opening(block)
        ratios.append((1 - opening.a**2).clamp(min=0).sqrt().mean(dim=-1))
        inputs.append(opening.i.mean(dim=-1))
    ratio, i = torch.cat(ratios), torch.cat(inputs)
    order = ratio.argsort(descending=True).tolist()
    chosen = [*order[:shown], *order[-shown:]] if len(order) > 2 * shown else order
    return [
        {
            "rank": order.index(token) + 1,
            "token": model.decode([token]),
            "mean_ratio": float(ratio[token]),
            "i_mean": float(i[token]),
            "kind": "most open" if n < shown else "least open",
        }
        for n, token in enumerate(chosen)
    ]
