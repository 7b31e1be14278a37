"""The sentences a codec is trained and judged on, by family."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.sampling.address import TaskAddress
from workbench.sampling.sentence_spans import sentences_of, without_formulas
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.split import Part, in_part
from workbench.sampling.task import open_task
from workbench.training.lora_codec import SentenceIds

TEXTS, FORMULAS = "texts", "formulas"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Different sentences by family; `texts` are those of the data, others come from tasks.

    Every sentence belongs to one part for good, by its own hash: what judges was never seen.
    `left_out` counts sentences that are too long.
    """

    families: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def part(self, part: Part) -> dict[str, list[str]]:
        """Return the sentences of one part, by family."""
        return {
            name: [s for s in sentences if in_part(s, part)]
            for name, sentences in self.families.items()
        }

    def sentences(self, part: Part) -> list[str]:
        """Return the sentences of one part, family after family."""
        return [s for sentences in self.part(part).values() for s in sentences]

    def validated(self, n: int, context: Context) -> list[str]:
        """Return some sentences to choose the weights by."""
        valid = self.sentences("valid")
        order = context.stream("validated sentences").permutation(len(valid))[:n]
        return [valid[i] for i in order]

    def told(self) -> str:
        """Return how many sentences of each family train, for a manifest."""
        counts = {name: len(sentences) for name, sentences in self.part("train").items()}
        return "sentences of " + ", ".join(f"{name} {n}" for name, n in counts.items())


def collect(
    examples: Sequence[Example], tasks: Sequence[str], drawn: int, also: Sequence[str]
) -> dict[str, list[str]]:
    """Return the different sentences of texts and of problems drawn from tasks, by family.

    Calculator annotations are taken out of the texts; each is a sentence of its own. `also`
    names further fields of a row that hold text.
    """
    found: dict[str, dict[str, None]] = {TEXTS: {}, FORMULAS: {}}
    for example in examples:
        for text in (example.text, *_more(example.fields, also)):
            plain, formulas = without_formulas(text)
            found[TEXTS].update(dict.fromkeys(sentences_of(plain)))
            found[FORMULAS].update(dict.fromkeys(formulas))
    for address in tasks:
        name = TaskAddress.parse(address).name
        found.setdefault(name, {}).update(dict.fromkeys(_task_sentences(address, drawn)))
    seen: set[str] = set()
    kept: dict[str, list[str]] = {}
    for name, sentences in found.items():
        kept[name] = [s for s in sentences if s not in seen]
        seen.update(sentences)
    return {name: sentences for name, sentences in kept.items() if sentences}


def cut(families: Mapping[str, Sequence[str]], lengths: Mapping[str, int], longest: int) -> Corpus:
    """Leave out sentences of more than `longest` tokens.

    Raises:
        TooLittleData: too few are left to train, to choose and to judge.
    """
    kept = {
        name: tuple(s for s in sentences if lengths[s] <= longest)
        for name, sentences in families.items()
    }
    corpus = Corpus(
        families={name: sentences for name, sentences in kept.items() if sentences},
        left_out={name: len(families[name]) - len(kept[name]) for name in families},
    )
    sizes = {part: len(corpus.sentences(part)) for part in ("train", "valid", "test")}
    if min(sizes.values()) < 1:
        told = ", ".join(f"{part} {n}" for part, n in sizes.items())
        raise TooLittleData(
            f"different sentences of at most {longest} tokens: {told}; expected some of each",
            hint="give more texts with --data, or more problems with --drawn",
        )
    return corpus


def cut_by_tokens(families: Mapping[str, Sequence[str]], tokenizer: Any, longest: int) -> Corpus:
    """Leave out sentences of more than `longest` tokens of a tokenizer, their end not counted."""
    every = [s for sentences in families.values() for s in sentences]
    rows = SentenceIds(tokenizer).of(every)
    lengths = {s: len(row) - 1 for s, row in zip(every, rows, strict=True)}
    return cut(families, lengths, longest)


def _more(fields: Mapping[str, Any], also: Sequence[str]) -> Iterable[str]:
    return (text for name in also if isinstance(text := fields.get(name), str))


def _task_sentences(address: str, drawn: int) -> Iterable[str]:
    task = open_task(address)
    # A stream of its own: the sentences of a task do not shift with the seed of the training.
    problems = task.problems(drawn, Context().stream(f"codec {address}"))
    for problem in problems:
        yield from chain_sentences(task, problem)
        if len(problem.question) <= 400:
            yield from sentences_of(problem.question)
