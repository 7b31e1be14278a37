"""How continuations are drawn and which wrong responses are looked for: options of two probes."""

from dataclasses import dataclass, fields
from typing import Any

from workbench.options import option


@dataclass(frozen=True, kw_only=True)
class DrawingOptions:
    """Options of a probe that draws continuations from prefixes of wrong responses."""

    draws: int = option(64, help="Continuations of a position.", low=8, high=4096)
    temperature: float = option(0.7, help="Sampling temperature.", low=0.01, high=5)
    top_p: float = option(0.95, help="Nucleus mass.", low=0.01, high=1)
    new_tokens: int = option(64, help="Limit of a response.", low=4, high=8192, unit="tokens")
    samples: int = option(16, help="Responses drawn to find a wrong one.", low=2, high=1024)
    min_success: float = option(0.0, help="Skip questions right less often.", low=0, high=1)
    max_success: float = option(1.0, help="Skip questions right more often.", low=0, high=1)
    rows: int = option(32, help="Rows of one forward pass.", low=1, high=4096)

    def drawing(self) -> dict[str, Any]:
        """Return these options alone, as another probe that draws takes them."""
        return {f.name: vars(self)[f.name] for f in fields(DrawingOptions)}
