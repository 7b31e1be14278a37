"""Small models trained from nothing: a tokenizer of words or characters, and a random Llama."""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from workbench.errors import BadOption
from workbench.model.model import Model
from workbench.model.quiet import no_bars
from workbench.model.wrap import wrap_model

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "\n")
Pieces = Literal["words", "characters"]
# A word carries the blank before it, so that joined tokens are the text again.
_PATTERNS: dict[Pieces, str] = {"words": r" ?\w+| ?[^\w\s]+|\n", "characters": r"[\s\S]"}
# A question is asked as it was trained: bare, with a line break after it.
_CHAT = "{% for message in messages %}{{ message['content'] }}{{ '\n' }}{% endfor %}"


@dataclass(frozen=True, kw_only=True)
class ScratchShape:
    """The size of a small Llama; `positions` is the longest text in tokens.

    `inner` is the width of the feed-forward blocks; 0: eight thirds of the width. Matrices are
    drawn with a standard deviation of `init_std`.
    """

    layers: int = 4
    width: int = 128
    heads: int = 4
    positions: int = 512
    inner: int = 0
    init_std: float = 0.02

    def __post_init__(self) -> None:
        """Refuse a width that the heads do not divide evenly."""
        if self.width % (2 * self.heads):
            raise BadOption(f"width {self.width} is not an even multiple of {self.heads} heads")


def scratch_model(
    texts: Iterable[str], shape: ScratchShape, *, seed: int, name: str, pieces: Pieces = "words"
) -> Model:
    """Build a random model whose vocabulary is the words, or characters, of the texts.

    The weights depend on the seed alone; the global random state is left as it was.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = scratch_tokenizer(texts, pieces)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner or _multiple(8 * shape.width // 3, 8),
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        module: Any = LlamaForCausalLM(config)
    return wrap_model(_drawn(module, seed, shape.init_std), tokenizer, name=name)


def scratch_masked(tokenizer: Any, shape: ScratchShape, *, seed: int) -> Any:
    """Build a random BERT for a tokenizer with a mask, to be trained without dropout.

    Positions are learned: hidden tokens look alike, and tell their places by nothing else.
    """
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner or 4 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.positions,
        pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        module: Any = BertForMaskedLM(config)
    return _drawn(module, seed, shape.init_std)


def _drawn(module: Any, seed: int, init_std: float) -> Any:
    """Draw the matrices of a new module from a seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.copy_(init_std * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def scratch_tokenizer(texts: Iterable[str], pieces: Pieces = "words") -> Any:
    """Return a tokenizer of the pieces in the texts; joining its tokens gives the text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pattern = _PATTERNS[pieces]
    found = {piece for text in texts for piece in re.findall(pattern, text)} - set(SPECIAL)
    vocabulary = {piece: i for i, piece in enumerate((*SPECIAL, *sorted(found)))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=_CHAT if pieces == "words" else None,
        clean_up_tokenization_spaces=False,
    )


def save_model(module: Any, tokenizer: Any, folder: Path, *, dtype: torch.dtype) -> None:
    """Write a transformers model and its tokenizer as a folder that `load_model` reads."""
    copied: Any = copy.deepcopy(module).to(dtype)
    with no_bars():
        copied.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _multiple(n: int, of: int) -> int:
    return -(-n // of) * of
