"""What the recipes of a sentence lens let their user set about the texts they learn from."""

from dataclasses import dataclass

from workbench.options import option


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How many texts are written, read and judged; a recipe says what its presets are."""

    preset: str = "cpu"
    own: int | None = option(None, help="Texts the model writes.", low=0, high=10_000_000)
    written: int | None = option(
        None, help="Longest text it writes.", low=4, high=100_000, unit="tokens"
    )
    texts: int | None = option(
        None, help="Most texts of a kind learned from.", low=1, high=100_000_000
    )
    judged: int | None = option(None, help="Most texts judged of a kind.", low=1, high=10**6)
    longest: int = option(
        128, help="Cut each text to so many tokens.", low=2, high=10**6, unit="tokens"
    )
    half: bool = option(True, help="Store the weights in 16 bits.")
