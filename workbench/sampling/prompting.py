"""How a model is prompted with the problems of a task, and where a response ends."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from workbench.errors import BadOption
from workbench.methods.contracts import Prompt
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import Policy
from workbench.model.tokens import pad
from workbench.model.trace import Trace
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


def generate_batch(
    model: Model,
    prompts: Sequence[Prompt],
    *,
    policy: Policy,
    limit: int,
    options: GenerationOptions,
) -> Trace:
    """Generate a response to each prompt of a batch, until the stop ids of the prompts.

    Raises:
        BadOption: prompts that end in different ways share a batch.
    """
    ends = {prompt.stop_ids for prompt in prompts}
    if len(ends) != 1:
        raise BadOption("the prompts of one batch end at different tokens; expected the same")
    return model.generate(
        pad([prompt.ids for prompt in prompts], side="left"),
        policy=policy,
        limit=limit,
        options=replace(options, stop_ids=ends.pop()),
    )


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
