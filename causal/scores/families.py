"""The published naming rules of model families, as data.

Names are compared in lower case. `_` in a pattern below stands for an optional separator, `#`
for a size in billions. The first pattern that matches decides, so the order of the rows matters.
"""

import re
from dataclasses import dataclass

SIZE = r"(\d+\.?\d*)b"


def _compile(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern.replace("_", r"[-_]?").replace("#", SIZE))


@dataclass(frozen=True)
class SizedName:
    """A family with its size spelled out; `label` is empty where the published rule drops it."""

    pattern: "re.Pattern[str]"
    family: str
    label: str

    @classmethod
    def of(cls, pattern: str, family: str, label: str | None = None) -> "SizedName":
        """Build a row; without a label it is the family and the matched size."""
        return cls(_compile(pattern), family, f"{family}-{{}}b" if label is None else label)


# Families whose sized label the rule accepts from a name alone. The others (mistral, gemma-2,
# falcon, mpt) are matched and then dropped, because the published table of families holds them
# only with their size: an explicit "mistral-7b" therefore never gets past the name stages.
ACCEPTED = frozenset(
    [
        "llama-3.2",
        "llama-3.1",
        "llama-3",
        "llama-2",
        "llama-1",
        "mixtral",
        "gemma-1",
        "qwen2.5",
        "qwen2",
        "qwen1",
        "yi-1.5",
        "yi-1",
        "phi-3",
        "phi-2",
        "phi-1.5",
        "phi-1",
    ]
)

SIZED_NAMES: tuple[SizedName, ...] = (
    SizedName.of("gemma_2_2b", "gemma-2", "gemma-2-2b"),
    SizedName.of("gemma_2_9b", "gemma-2", "gemma-2-9b"),
    SizedName.of("gemma_2_27b", "gemma-2", "gemma-2-27b"),
    SizedName.of("mixtral_8x7b", "mixtral", "mixtral-8x7b"),
    SizedName.of(r"llama_3\.2_#", "llama-3.2"),
    SizedName.of(r"llama_3\.1_#", "llama-3.1"),
    SizedName.of(r"llama_3(?!\.)_#", "llama-3"),
    SizedName.of("llama_2_#", "llama-2"),
    SizedName.of("llama_1_#", "llama-1"),
    SizedName.of("mistral_#", "mistral"),
    SizedName.of("gemma_2_#", "gemma-2"),
    SizedName.of("gemma(?!_2)_#", "gemma-1"),
    SizedName.of(r"qwen_2\.5_#", "qwen2.5"),
    SizedName.of(r"qwen_2(?!\.5)_#", "qwen2"),
    SizedName.of("qwen(?!_2)_#", "qwen1"),
    SizedName.of(r"yi_1\.5_#", "yi-1.5"),
    SizedName.of(r"yi(?!_1\.5)_1_#", "yi-1"),
    SizedName.of("phi_3_#", "phi-3"),
    SizedName.of("phi_2_#", "phi-2"),
    SizedName.of(r"phi_1\.5_#", "phi-1.5"),
    SizedName.of(r"phi_1(?!\.5)_#", "phi-1"),
    SizedName.of("falcon_#", "falcon"),
    SizedName.of("mpt_#", "mpt"),
    SizedName.of("mixtral.*8x7b|8x7b.*mixtral", "mixtral", "mixtral-8x7b"),
)


def _family(pattern: str, name: str) -> tuple["re.Pattern[str]", str]:
    # `~` stands for an optional separator that may also be a slash.
    return re.compile(pattern.replace("_", r"[-_]?").replace("~", r"[-_/\\]?")), name


# Families named without a size. "gemma-2" is completed from the parameter count.
BARE_NAMES: tuple[tuple["re.Pattern[str]", str], ...] = (
    _family(r"llama~3\.2", "llama-3.2"),
    _family(r"llama~3\.1", "llama-3.1"),
    _family(r"llama~3(?!\.)", "llama-3"),
    _family("llama~2", "llama-2"),
    _family("llama~1", "llama-1"),
    _family("mistral~7b", "mistral-7b"),
    _family("mixtral", "mixtral"),
    _family("gemma~2_2b", "gemma-2-2b"),
    _family("gemma~2_9b", "gemma-2-9b"),
    _family("gemma~2_27b", "gemma-2-27b"),
    _family("gemma~2", "gemma-2"),
    _family("gemma~1", "gemma-1"),
    _family(r"qwen~2\.5", "qwen2.5"),
    _family(r"qwen~2(?!\.)", "qwen2"),
    _family("qwen~1", "qwen1"),
    _family(r"yi~1\.5", "yi-1.5"),
    _family(r"yi~1(?!\.)", "yi-1"),
    _family("phi~3", "phi-3"),
    _family("phi~2", "phi-2"),
    _family(r"phi~1\.5", "phi-1.5"),
    _family(r"phi~1(?!\.)", "phi-1"),
    _family("falcon~180b", "falcon-180b"),
    _family("falcon~40b", "falcon-40b"),
    _family("falcon~7b", "falcon-7b"),
    _family("glm3", "glm3"),
    _family("glm2", "glm2"),
    _family("deepseek_llm_2|deepseek2", "deepseek2"),
    _family("deepseek", "deepseek"),
    _family("mpt~30b", "mpt-30b"),
    _family("mpt~7b", "mpt-7b"),
    _family("stablelm", "stablelm"),
    _family("bloom", "bloom"),
    _family("baichuan~3", "baichuan-3"),
    _family("baichuan~2", "baichuan-2"),
)

GEMMA_2_SIZES: tuple[tuple[float, float, str], ...] = (
    (1.8, 2.2, "gemma-2-2b"),
    (8.9, 9.5, "gemma-2-9b"),
    (26.5, 28.5, "gemma-2-27b"),
)

# Parameter counts in billions, first match wins.
SIZE_RANGES: tuple[tuple[float, float, str], ...] = (
    (6.7, 7.5, "llama-2-7b"),
    (12.5, 13.5, "llama-2-13b"),
    (64.0, 71.0, "llama-2-70b"),
    (7.8, 8.3, "llama-3-8b"),
    (69.0, 72.0, "llama-3-70b"),
    (7.0, 7.5, "mistral-7b"),
    (45.0, 48.0, "mixtral-8x7b"),
    (1.8, 2.2, "gemma-2-2b"),
    (8.9, 9.5, "gemma-2-9b"),
    (26.5, 29.0, "gemma-2-27b"),
    (0.45, 0.55, "qwen2-0.5b"),
    (1.4, 1.7, "qwen2-1.5b"),
    (7.4, 7.8, "qwen2-7b"),
    (14.0, 15.0, "qwen2-14b"),
    (72.0, 73.5, "qwen2-72b"),
    (3.7, 4.0, "phi-3-4b"),
    (6.8, 7.2, "phi-3-7b"),
    (13.0, 15.0, "phi-3-14b"),
)

QWEN_SIZES: tuple[tuple[float, float, str], ...] = (
    (0.45, 0.55, "0.5b"),
    (1.4, 1.7, "1.5b"),
    (3.0, 3.2, "3b"),
    (7.4, 7.8, "7b"),
    (14.0, 15.0, "14b"),
    (72.0, 73.5, "72b"),
)

# Sizes at which a Qwen2 architecture without "2.5" in its name still counts as 2.5.
QWEN_25_ONLY: tuple[tuple[float, float], ...] = ((3.0, 3.2), (14.0, 15.0), (32.0, 35.0))

# Architecture word, and the sizes it is accepted at.
ARCHITECTURE_SIZES: tuple[tuple[str, tuple[tuple[float, float, str], ...]], ...] = (
    ("gemma2", ((1.8, 2.2, "gemma-2-2b"), (8.9, 9.5, "gemma-2-9b"), (27.0, 29.0, "gemma-2-27b"))),
    ("gemma", ((2.0, 3.0, "gemma-1-2b"), (7.0, 9.0, "gemma-1-7b"))),
    (
        "falcon",
        ((175.0, 185.0, "falcon-180b"), (39.0, 41.0, "falcon-40b"), (6.5, 7.5, "falcon-7b")),
    ),
)

SIZE_IN_NAME: tuple["re.Pattern[str]", ...] = (
    re.compile(rf"[-_]{SIZE}(?!\w)"),
    re.compile(rf"{SIZE}[-_]"),
    re.compile(rf"/{SIZE}(?![a-z0-9])"),
)
