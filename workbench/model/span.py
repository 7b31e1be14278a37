"""Span-denoising models as scorers: how likely a word is in the gap where it stood."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelNotFound, Unsupported
from workbench.model.masked import MaskedModel
from workbench.model.text_scorer import TextScorer, own_tokens

_GAP = "<extra_id_0>"


class SpanModel(TextScorer):
    """An encoder with a decoder that was trained to fill in gaps of a text (T5 and its kin).

    A word is scored as a whole, its pieces from left to right.
    """

    def __init__(self, module: Any, tokenizer: Any) -> None:
        """Join a model with its tokenizer.

        Raises:
            Unsupported: the tokenizer has no gap, or does not tell words and offsets.
        """
        gap = tokenizer.convert_tokens_to_ids(_GAP)
        if gap in (None, tokenizer.unk_token_id) or not tokenizer.is_fast:
            raise Unsupported(
                f"the tokenizer has no {_GAP}, or does not tell words",
                hint="take a span model such as T5, with a fast tokenizer",
            )
        self.module, self.tokenizer, self._gap = module.eval(), tokenizer, int(gap)

    def _scores(self, prompt: str, choice: str, *, sees_rest: bool) -> Float[Tensor, " token"]:
        ids, own, words = own_tokens(self.tokenizer, prompt, choice)
        found = [torch.zeros(0, dtype=torch.double)]
        for word in dict.fromkeys(words[i] for i in own):
            columns = [i for i in own if words[i] == word]
            behind = (columns[-1] if sees_rest else own[-1]) + 1
            text = [*ids[: columns[0]], self._gap, *ids[behind:]]
            found.append(self._word(text, [ids[i] for i in columns]))
        return torch.cat(found)

    def _word(self, text: Sequence[int], word: Sequence[int]) -> Float[Tensor, " token"]:
        """Return log p of each piece of a word that fills the gap."""
        before = [self.module.config.decoder_start_token_id, self._gap, *word[:-1]]
        rows = [torch.tensor([x], device=self.module.device) for x in (text, before)]
        with torch.no_grad():
            logits = self.module(input_ids=rows[0], decoder_input_ids=rows[1]).logits
        logp = logits[0, 1:].double().log_softmax(dim=-1).cpu()
        found: Tensor = logp[range(len(word)), list(word)]
        return found


def load_scorer(name: str) -> TextScorer:
    """Load a masked or a span model from a folder or by its id; only safetensors are read.

    Raises:
        ModelNotFound: there is none of that name.
        Unsupported: its tokenizer has neither mask nor gap.
    """
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        if not AutoConfig.from_pretrained(name).is_encoder_decoder:
            return MaskedModel.load(name)
        module = AutoModelForSeq2SeqLM.from_pretrained(name, use_safetensors=True)
        return SpanModel(module, AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError, KeyError) as error:
        said = str(error).splitlines()[0][:200]
        raise ModelNotFound(
            f"no masked or span language model {name!r}: {said}",
            hint="a folder or an id of the hub",
        ) from error
