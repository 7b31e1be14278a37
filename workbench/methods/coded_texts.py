"""What texts cost a model in nats, beside their lengths and the mean of their states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from workbench.methods.contracts import Context
from workbench.methods.controls import shuffled_tokens
from workbench.methods.next_token import following_tokens, next_token
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens, pad

_BATCH_TOKENS = 2048
_FINAL = Site(Kind.FINAL_NORM)


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedTexts:
    """What each text costs, how long it is, and a state of it per layer.

    `by_text` holds `nats` as it stands and `shuffled` in random order, and its length in `tokens`,
    `bytes` and `characters`.
    A state is the mean over the tokens of a text, without the start token.
    """

    by_text: Mapping[str, Float[np.ndarray, " text"]]
    states: Float[np.ndarray, "layer text d_model"]
    has_start: bool

    def take(self, rows: Int[np.ndarray, " n"]) -> "CodedTexts":
        """Return those texts."""
        by_text = {name: x[rows] for name, x in self.by_text.items()}
        return replace(self, by_text=by_text, states=self.states[:, rows])


def code_texts(
    model: Model, texts: Sequence[str], sites: Sequence[Site], context: Context
) -> CodedTexts:
    """Run every text behind a start token; where there is none the first token costs ln V."""
    start = start_token(model)
    rows = [model.tokenize(text).row(0) for text in texts]
    rows = [row if start is None or row[0] == start else [start, *row] for row in rows]
    first = 0.0 if start is not None else float(np.log(model.spec.d_vocab))
    nats, null = np.zeros(len(rows)), np.zeros(len(rows))
    states = np.zeros((len(sites), len(rows), model.spec.d_model), np.float32)
    done = 0
    for mine in _batches([len(row) for row in rows]):
        tokens = pad([rows[i] for i in mine]).to(model.device)
        trace = model.run(tokens, read=(*sites, _FINAL))
        nats[mine] = first + _cost(trace.activations[_FINAL], tokens, context)
        order = shuffled_tokens(tokens, context, "coded order")
        again = model.run(order, read=(_FINAL,))
        null[mine] = first + _cost(again.activations[_FINAL], order, context)
        kept = tokens.mask.clone()
        if start is not None:
            kept[:, 0] = kept.sum(dim=1) == 1
        for k, site in enumerate(sites):
            x = trace.activations[site].float() * kept[..., None]
            states[k, mine] = (x.sum(dim=1) / kept.sum(dim=1, keepdim=True)).cpu().numpy()
        done += len(mine)
        context.progress(done, len(rows), "texts")
    lengths = {
        "tokens": [len(row) - (start is not None) for row in rows],
        "bytes": [len(text.encode()) for text in texts],
        "characters": [len(text) for text in texts],
    }
    by_text = {name: np.array(x, np.float64) for name, x in lengths.items()}
    by_text |= {"nats": nats, "shuffled": null}
    return CodedTexts(by_text=by_text, states=states, has_start=start is not None)


def start_token(model: Model) -> int | None:
    """Return the token that texts begin after: the one for it, else the one that ends them."""
    for name in ("bos_token_id", "eos_token_id"):
        found = getattr(model.tokenizer, name, None)
        if found is not None:
            return int(found)
    return None


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return rows of similar length that hold no more than `_BATCH_TOKENS` with their padding."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if found and (len(found[-1]) + 1) * lengths[i] <= _BATCH_TOKENS:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def _cost(
    final: Float[Tensor, "batch pos d_model"], tokens: Tokens, context: Context
) -> Float[np.ndarray, " n"]:
    after = next_token(final, following_tokens(tokens.ids, tokens.mask), context, normed=True)
    return np.asarray(after.nll.double().nansum(dim=1).cpu().numpy())
