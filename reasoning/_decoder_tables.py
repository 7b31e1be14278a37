"""The texts of a decoder comparison, and one prompt step by step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from reasoning._decoder_runs import Continuation, Written
from reasoning.repetition import diversity, repeated_lengths
from workbench.methods.contracts import Example
from workbench.result.tables import Rows

Decode = Callable[..., str]


def text_rows(prompts: Sequence[Example], written: Mapping[str, Written], decode: Decode) -> Rows:
    """Return one row per prompt and decoder; diversity is that of the text alone."""
    return [
        {
            "prompt": i,
            "source": example.source,
            "decoder": name,
            "text": example.text,
            "continuation": decode(found.texts[i].ids),
            **_measures(found.texts[i]),
        }
        for i, example in enumerate(prompts)
        for name, found in written.items()
    ]


def _measures(text: Continuation) -> dict[str, Any]:
    different, every = np.array(text.counts, dtype=np.float64)
    found = float(diversity(different, every))
    return {
        "n_tokens": len(text.ids),
        "diversity": found if np.isfinite(found) else None,
        "logprob": text.logprob,
        "ended": text.ended,
    }


def token_rows(
    prompt: Sequence[int], written: Mapping[str, Written], shown: int, decode: Decode
) -> Rows:
    """Return the tokens of one prompt's continuations with the length of what they repeat."""
    rows = []
    for name, found in written.items():
        ids = found.texts[shown].ids
        lengths = repeated_lengths(ids, after=prompt)
        for step, (token, length) in enumerate(zip(ids, lengths, strict=True)):
            rows.append(
                {
                    "decoder": name,
                    "step": step,
                    "token_id": token,
                    "token": decode([token]),
                    "repeated": length,
                    "back": _distance([*prompt, *ids[: step + 1]], length),
                }
            )
    return rows


def _distance(tokens: list[int], length: int) -> int | None:
    """Return how far back the last `length` tokens occurred before."""
    if length == 0:
        return None
    ending = tokens[-length:]
    for start in range(len(tokens) - length - 1, -1, -1):
        if tokens[start : start + length] == ending:
            return len(tokens) - length - start
    return None


def candidate_rows(written: Written, decode: Decode) -> Rows:
    """Return the candidates of one prompt, one row per step and candidate."""
    return [
        {"step": step, "rank": rank + 1, "token": decode([candidate["token_id"]]), **candidate}
        for step, candidates in enumerate(written.candidates)
        for rank, candidate in enumerate(candidates)
    ]
