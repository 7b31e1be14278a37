"""How a task is written in one line: name, file and options."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from workbench.errors import BadOption


@dataclass(frozen=True, kw_only=True)
class TaskAddress:
    """A task's name, the file it reads and its options, as typed.

    `arithmetic?steps=1&largest=60` sets options; `gsm8k:test.jsonl` names a file; a question
    file alone is `questions` on that file. Characters such as & in a value are written %26.
    """

    name: str
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "TaskAddress":
        """Take an address apart.

        Raises:
            BadOption: what follows the question mark is not `name=value` joined by `&`.
        """
        place, mark, query = text.partition("?")
        name, _, path = place.partition(":")
        if Path(name).suffix:
            name, path = "questions", place
        return cls(name=name, path=path, options=_options(query) if mark else {})


def _options(query: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in query.split("&")]
    found = {key: unquote(value) for key, _, value in pairs}
    if len(found) < len(pairs) or not all(key and mark for key, mark, _ in pairs):
        raise BadOption(
            f"task options {query!r}; expected name=value joined by &, each name once",
            hint="arithmetic?steps=1&largest=60",
        )
    return found
