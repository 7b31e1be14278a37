"""A small Llama from nothing that reads and writes single characters."""

from collections.abc import Iterable
from typing import Any

import torch

from reasoning.hybrid.sizes import Sizes
from workbench.model.model import Model
from workbench.model.wrap import wrap_model

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "\n")
_POSITIONS = 128


def character_model(texts: Iterable[str], sizes: Sizes, *, seed: int, name: str) -> Model:
    """Build a random model whose vocabulary is the characters of the texts.

    The weights depend on the seed alone; the global random state is left as it was.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = character_tokenizer(texts)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.d_model,
        intermediate_size=3 * sizes.d_model,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        module: Any = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    return wrap_model(module.eval(), tokenizer, name=name)


def character_tokenizer(texts: Iterable[str]) -> Any:
    """Return a tokenizer with one token per character."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    characters = {character for text in texts for character in text} - set(SPECIAL)
    vocabulary = {c: i for i, c in enumerate((*SPECIAL, *sorted(characters)))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
