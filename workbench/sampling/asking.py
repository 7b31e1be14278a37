"""How a model is asked the problems of a task: prompt ids, and where a response ends."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from workbench.model.model import Model
from workbench.sampling.task import Problem, Task


def prompt_ids(model: Model, task: Task, problem: Problem) -> tuple[int, ...]:
    """Return the question as the model is asked it, in its chat template if it has one."""
    text = task.prompt(problem)
    tokenizer: Any = model.tokenizer
    if task.is_chat and getattr(tokenizer, "chat_template", None):
        messages = [{"role": "user", "content": text}]
        encoded = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return tuple(encoded["input_ids"])
    return tuple(model.tokenize(text).row(0))


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
