"""Where the recipes of a sentence lens have their texts and states from."""

from collections.abc import Sequence

from probes.sentence_states.corpus import Corpus, CorpusPart, divide
from probes.sentence_states.features import Features, extract
from probes.sentence_states.own_texts import OwnTexts
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model

OWN, GIVEN = "own texts", "given texts"
_VALIDATED = 500


def drawn_corpus(
    model: Model, examples: Sequence[Example], own: int, written: int, context: Context
) -> Corpus:
    """Return given texts and `own` texts that the model writes, of `written` tokens at most."""
    writer = OwnTexts(folder=context.folder, texts=own, limit=written)
    drawn = writer.draw(model, context) if own else []
    return divide({GIVEN: [example.text for example in examples], OWN: drawn}, context)


def learned_states(
    model: Model, corpus: Corpus, most: int, longest: int, context: Context
) -> tuple[Features, Features]:
    """Return the states to learn from, of `most` texts of a kind, and those to choose by.

    Raises:
        TooLittleData: one of the parts has no text.
    """
    parts: tuple[CorpusPart, ...] = ("train", "valid")
    missing = [part for part in parts if not corpus.texts[part]]
    if missing:
        told = ", ".join(f"{part} {len(texts)}" for part, texts in corpus.texts.items())
        raise TooLittleData(
            f"no texts for the part {', '.join(missing)}; {told} in all",
            hint="give more texts with --data, or let the model write more with --own",
        )
    sizes: dict[CorpusPart, int] = {"train": most, "valid": _VALIDATED}
    train, valid = (
        Features.joined(
            {
                origin: extract(model, texts[:n], context.folder, longest, context)
                for origin, texts in corpus.part(part).items()
            }
        )
        for part, n in sizes.items()
    )
    return train, valid
