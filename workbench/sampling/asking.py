"""How a model is asked the problems of a task: prompt ids, and where a response ends."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from workbench.model.model import Model
from workbench.sampling.rendering import has_chat_template, message_ids, text_ids
from workbench.sampling.task import Problem, Task


def prompt_ids(model: Model, task: Task, problem: Problem) -> tuple[int, ...]:
    """Return the question as the model is asked it, in its chat template if it has one.

    Raises:
        Unsupported: the template fails.
    """
    text = task.prompt(problem)
    if task.is_chat and has_chat_template(model.tokenizer):
        return tuple(message_ids(model.tokenizer, text, name=model.spec.name))
    return tuple(text_ids(model.tokenizer, text)[: model.spec.max_positions])


def unknown_words(model: Model, prompts: Sequence[Sequence[int]]) -> float:
    """Return the share of prompt tokens that stand for words outside the vocabulary."""
    unknown: Any = getattr(model.tokenizer, "unk_token_id", None)
    ids = [i for prompt in prompts for i in prompt]
    return ids.count(unknown) / max(1, len(ids))


def stop_ids(model: Model, task: Task) -> tuple[int, ...]:
    """Return the ids that end a response: the model's own, and line breaks in plain text."""
    if task.is_chat:
        return tuple(model.stop_ids)
    return (*model.stop_ids, *newline_ids(model.tokenizer))


@lru_cache(maxsize=4)
def newline_ids(tokenizer: Any) -> tuple[int, ...]:
    """Return every token id whose text holds a line break."""
    ids = range(len(tokenizer))
    texts = tokenizer.batch_decode([[i] for i in ids])
    return tuple(i for i, text in zip(ids, texts, strict=True) if "\n" in text)
