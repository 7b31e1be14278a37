"""A word-level tokenizer of 64 words, built in memory."""

from functools import cache
from typing import Any

_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
_DIGITS = tuple("0123456789")
_MARKS = tuple(".,?!:=+-*/()")
_WORDS = (
    *("system", "user", "assistant"),
    *("the", "a", "of", "is", "in", "and", "to", "not", "if", "then", "so", "every", "some"),
    *("no", "yes", "he", "she", "it", "cat", "dog", "bird", "king", "queen", "man", "woman"),
    *("sat", "ran", "saw", "red", "blue", "big", "small", "france", "paris", "answer"),
)
VOCABULARY = (*_SPECIAL, *_DIGITS, *_MARKS, *_WORDS)

_CHAT = (
    "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }} </s> "
    "{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}"
)


@cache
def _backend() -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = {word: i for i, word in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(),
        ]
    )
    return str(backend.to_str())


def tiny_tokenizer() -> Any:
    """Return a new tokenizer: lower-cased words, single digits and marks, with offsets.

    Words outside the vocabulary become `<unk>`. No token is added to a text that is not in it.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend()),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=_CHAT,
        clean_up_tokenization_spaces=False,
    )
