"""Thinking, then answering: each row's phase, told from the text it has written."""

from collections.abc import Callable, Sequence

from workbench.errors import BadOption


class PhaseMachine:
    """Watches every row for a delimiter; the token that completes it begins the answer.

    Each step looks at the newest token and a tail shorter than the delimiter, so its cost does
    not grow with the text. Tokens that hold the delimiter and more, or only a part of it, are
    understood. Without a delimiter rows think to the end.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], n_rows: int, delimiter: str) -> None:
        """Begin with every row thinking.

        Raises:
            BadOption: the delimiter is only blanks.
        """
        if delimiter and not delimiter.strip():
            raise BadOption(f"delimiter {delimiter!r} is blank; expected visible characters")
        self.thinking = [True] * n_rows
        self._tails = [""] * n_rows
        self._delimiter = delimiter
        self._decode = decode
        self._texts: dict[int, str] = {}

    def see(self, tokens: Sequence[int], live: Sequence[bool]) -> None:
        """Add one token to every live row."""
        if not self._delimiter:
            return
        keep = len(self._delimiter) - 1
        for i, token in enumerate(tokens):
            if not live[i] or not self.thinking[i]:
                continue
            text = self._tails[i] + self._text(token)
            self.thinking[i] = self._delimiter not in text
            self._tails[i] = text[-keep:] if keep else ""

    def _text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self._decode([token])
        return self._texts[token]
