"""Texts that a model writes itself, drawn batch by batch into a file."""

import json
from dataclasses import dataclass
from pathlib import Path

from probes.sentence_states.prompts import requests
from workbench.methods.contracts import Context
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.tokens import pad
from workbench.sampling.rendering import has_chat_template, message_ids, text_ids
from workbench.training.checkpoint import write_whole

_TEMPERATURES = (0.6, 0.8, 1.0)
_ROWS = 96


@dataclass(frozen=True, kw_only=True)
class OwnTexts:
    """How many texts a model writes, of how many tokens at most, into which folder."""

    folder: Path
    texts: int
    limit: int

    def draw(self, model: Model, context: Context) -> list[str]:
        """Return the texts; batches that lie in the folder are not drawn again.

        Prompts are written in the model's chat template, or as the beginning of a plain text.
        What a prompt says is no part of a text. Every batch depends on the seed and its own
        number only.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        n_batches = -(-self.texts // _ROWS)
        found: list[str] = []
        for i in range(n_batches):
            context.progress(i, n_batches, "batches of own texts")
            path = self.folder / f"own-{i:05}.json"
            if not path.is_file():
                texts = self._batch(model, i, context)
                write_whole(path, json.dumps(texts, ensure_ascii=False).encode())
            found += json.loads(path.read_text("utf-8"))
        context.progress(n_batches, n_batches, "batches of own texts")
        return [text for text in found[: self.texts] if text]

    def _batch(self, model: Model, number: int, context: Context) -> list[str]:
        draw = context.stream(f"own texts {number}")
        is_chat = has_chat_template(model.tokenizer)
        prompts = [_ids(model, *one) for one in requests(_ROWS, draw, is_chat=is_chat)]
        trace = model.generate(
            pad(prompts, side="left").to(model.device),
            policy=Sampling(temperature=_TEMPERATURES[number % len(_TEMPERATURES)]),
            limit=self.limit,
            options=GenerationOptions(seeds=int(draw.integers(2**31))),
        )
        longest = max(map(len, prompts))
        stops = set(model.stop_ids)
        written = (trace.tokens.ids[i, longest:].tolist() for i in range(_ROWS))
        rows = [[t for t in ids if t not in stops] for ids in written]
        texts = model.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [text.strip() for text in texts]


def _ids(model: Model, text: str, is_chat: bool) -> list[int]:
    if is_chat:
        return list(message_ids(model.tokenizer, text, name=model.spec.name))
    ids = list(text_ids(model.tokenizer, text)) if text else []
    start = model.tokenizer.bos_token_id
    return ids or [start if start is not None else model.stop_ids[0]]
