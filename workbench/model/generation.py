"""The one generation loop: prompt, choose, feed, until every row has finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption, BadSite, NotFinite
from workbench.model.backend import Inputs
from workbench.model.edits import Edit, for_rows
from workbench.model.policy import Choice, Chooser, Host, Lookahead, Policy, Step
from workbench.model.prefix import Prefix, fork_cache, select_cache
from workbench.model.record import Record
from workbench.model.sites import Site
from workbench.model.trace import Trace
from workbench.progress import Progress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class GenerationOptions:
    """The rarer settings of a generation.

    - `seeds`: one per row, or one number from which every row gets its own.
    - `generators`: one per row, instead of seeds.
    - `stop_ids`: token ids that end a row; None is the model's own end tokens, () is none.
    - `embeds`: vectors that replace the prompt's token embeddings, in its layout.
    - `keep_logits`: keep the logits that every generated token was chosen from.
    - `keep_logprobs`: keep each generated token's log-probability under the model, in nats.
    """

    seeds: int | Sequence[int] = 0
    generators: Sequence[torch.Generator] | None = None
    stop_ids: Sequence[int] | None = None
    embeds: Float[Tensor, "batch pos d_model"] | None = None
    keep_logits: bool = False
    keep_logprobs: bool = False
    progress: Progress = silent


def row_generators(
    seeds: int | Sequence[int], n: int, device: str | torch.device = "cpu"
) -> tuple[torch.Generator, ...]:
    """Return one generator per row; row i depends on its own seed only.

    One number s gives row i the seed sequence (s, i), so that the number of rows never changes
    what a row draws.

    Raises:
        BadOption: there are not as many seeds as rows, or one is negative.
    """
    if isinstance(seeds, int):
        seeds = [int(np.random.SeedSequence((abs(seeds), i)).generate_state(1)[0]) for i in range(n)]
    if len(seeds) != n:
        raise BadOption(f"{len(seeds)} seeds for {n} rows; expected one per row, or one number")
    return tuple(torch.Generator(device=device).manual_seed(seed) for seed in seeds)
