"""What the decoder of a sentence lens begins from: the words that its readout says."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probes.sentence_states.decoder import INSIDE
from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.readout import CURRENT
from probes.sentence_states.vocabulary import OTHER
from workbench.model.model import Model
from workbench.sampling.rendering import text_ids

_RIDGE = 0.02
_BESIDE = 0.5
_LEAST = 0.05


def read_layers_of(n_layers: int, n: int, best: int) -> tuple[int, ...]:
    """Return about n layers at equal distances, the best one among them."""
    step = max(1, round(n_layers / n))
    return tuple(range(best % step, n_layers, step))


def fresh_weights(
    model: Model,
    lens: TrainedLens,
    layers: Sequence[int],
    first_block: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return maps of states that say their words before anything is trained.

    Codes begin as those of the readout. The shift of the logits begins as the directions in
    which the unembedding of words follows the readout's weights of the same words, fitted by
    ridge regression, and so does what stands at position 1, at the size of the states there;
    position 2 begins at random, both around the mean state.
    """
    readout = lens.readout
    said = _word_directions(model, lens)
    rank, d_model = said.shape
    codes = {f"down.{layer}": readout.maps[CURRENT][layer] for layer in layers}
    size = float(torch.stack(list(codes.values())).square().sum(dim=1).mean().sqrt())
    at = max(0, first_block - 1)
    reach = float(readout.scale[at].mean()) / (max(size, _LEAST) * rank**0.5)
    noise = torch.randn(rank, (INSIDE - 1) * d_model, generator=generator)
    trained = {
        **codes,
        "up": reach * torch.cat([said / said.square().mean().sqrt(), noise], dim=1),
        "bias": readout.mean[at].repeat(INSIDE),
        "beside": _BESIDE * said,
        "gate": torch.zeros(d_model + 1),
    }
    places = list(layers)
    return {
        "mean": readout.mean[places].to(model.device),
        "scale": readout.scale[places].to(model.device),
        **{n: nn.Parameter(x.float().clone().to(model.device)) for n, x in trained.items()},
    }


def _word_directions(model: Model, lens: TrainedLens) -> Float[Tensor, "rank d_model"]:
    """Return the map from codes to shifts of a state whose logits are those of the readout."""
    words = lens.vocabulary.words
    first = [next(iter(text_ids(model.tokenizer, f" {word}")), 0) for word in words]
    module: Any = model.backend.module
    rows: Tensor = module.get_output_embeddings().weight.detach().float().cpu()[first]
    x, y = (t - t.mean(dim=0) for t in (rows[OTHER + 1 :], lens.readout.up.T[OTHER + 1 :]))
    gram = x.T @ x + _RIDGE * x.square().sum() / x.shape[1] * torch.eye(x.shape[1])
    found: Tensor = torch.linalg.solve(gram, x.T @ y).T
    return found
