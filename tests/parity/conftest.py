"""What transformers writes by itself."""

import torch

from workbench.model.model import Model
from workbench.model.tokens import Tokens


def greedy_by_transformers(model: Model, batch: Tokens, limit: int = 40) -> list[list[int]]:
    """Return the tokens that `generate` of transformers writes after each row."""
    with torch.no_grad():
        whole = model.backend.module.generate(
            batch.ids,
            attention_mask=batch.mask.long(),
            do_sample=False,
            max_new_tokens=limit,
            min_new_tokens=limit,
            eos_token_id=None,
        )
    rows: list[list[int]] = whole[:, batch.ids.shape[1] :].tolist()
    return rows
