"""Which tokens end a sentence."""

from collections.abc import Sequence

_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLOSERS = "\"'”’)]»"


def ends_sentence(words: Sequence[str]) -> list[bool]:
    """Mark tokens that end a sentence: a full stop, question or exclamation mark, or a line end.

    A mark counts only where blank space or the end of the text follows, so that 3.14 is whole.
    """
    marked = []
    for i, word in enumerate(words):
        bare = word.rstrip().rstrip(_CLOSERS)
        after = words[i + 1] if i + 1 < len(words) else " "
        closed = bare.endswith(_ENDS) and (word[-1:].isspace() or after[:1].isspace())
        marked.append(closed or "\n" in word)
    return marked
