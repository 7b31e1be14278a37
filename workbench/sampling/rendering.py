"""A text or a message as the ids that a model continues: one way for every door."""

from typing import Any

from workbench.errors import InputError, Unsupported
from workbench.model.tokens import token_ids


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Return a text as ids, with what the tokenizer puts before it and nothing after it.

    Some tokenizers end every text with a token that ends texts; a model has nothing to say after
    that, so it is left out.
    """
    ids = token_ids(tokenizer, text)
    bare = token_ids(tokenizer, text, special_tokens=False)
    end = tokenizer.eos_token_id
    added = end is not None and ids[-1:] == [end] and bare[-1:] != [end]
    return ids[:-1] if added else ids


def has_chat_template(tokenizer: Any) -> bool:
    """Whether a tokenizer has a template for messages."""
    return bool(getattr(tokenizer, "chat_template", None))


def message_ids(tokenizer: Any, text: str, *, name: str) -> list[int]:
    """Return one message of a user as ids, in the chat template and ready for the reply.

    The template alone puts the tokens that open a text: the tokenizer adds none of its own.
    `name` is the model's, for the message of an error.

    Raises:
        InputError: there is no template.
        Unsupported: the template fails on such a message, or makes nothing of it.
    """
    if not has_chat_template(tokenizer):
        raise InputError(f"{name} has no chat template", hint="leave out --chat")
    messages = [{"role": "user", "content": text}]
    try:
        encoded = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        ids = [int(i) for i in encoded["input_ids"]]
    # A template is a program that came with the model: whatever it raises is its failure.
    except Exception as error:
        raise Unsupported(
            f"the chat template of {name} fails on a message of a user: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200] or 'no reason given'}",
            hint="ask in plain text, mend chat_template.jinja or tokenizer_config.json, or take "
            "another model",
        ) from error
    if not ids:
        raise Unsupported(
            f"the chat template of {name} makes no tokens of a message",
            hint="ask in plain text, or take another model",
        )
    return ids
