"""A random model that costs next to nothing: what remains is what the host does around it."""

from collections.abc import Sequence
from typing import Any

import torch

from workbench.model.model import Model
from workbench.model.tiny import fill_randomly
from workbench.model.wrap import wrap_model

_HEADS, _KEY_VALUE_HEADS, _POSITIONS, _PAD, _END = 4, 2, 2048, 0, 1


def cheap_model(
    texts: Sequence[str], *, layers: int = 30, width: int = 32, vocabulary: int = 1000
) -> Model:
    """Build a llama of that many layers with a tokenizer trained on the texts.

    The weights are the same at every call; the vocabulary may come out smaller for few texts.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(texts, vocabulary)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=_HEADS,
        num_key_value_heads=_KEY_VALUE_HEADS,
        max_position_embeddings=_POSITIONS,
        pad_token_id=_PAD,
        eos_token_id=_END,
    )
    with torch.random.fork_rng(devices=[]):
        module = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            fill_randomly(parameter, generator)
    return wrap_model(module, tokenizer, name=f"cheap-{layers}x{width}")


def _tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", bos_token="</s>"
    )
