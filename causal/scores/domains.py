"""Which base model a leaderboard row was made from, and on what evidence."""

import math
from typing import Literal, NamedTuple, TypeAlias

from causal.scores.families import (
    ACCEPTED,
    ARCHITECTURE_SIZES,
    BARE_NAMES,
    GEMMA_2_SIZES,
    QWEN_25_ONLY,
    QWEN_SIZES,
    SIZE_IN_NAME,
    SIZE_RANGES,
    SIZED_NAMES,
)

Evidence: TypeAlias = Literal[
    "name", "declared", "declared-family", "name-family", "architecture", "none"
]

# From strongest to weakest.
EVIDENCE: tuple[Evidence, ...] = (
    "name",
    "declared",
    "declared-family",
    "name-family",
    "architecture",
    "none",
)

# The repository of the base model itself, in lower case, for the domains large enough to fit.
BASE_REPOSITORIES = {
    "llama-3-8b": "meta-llama/meta-llama-3-8b",
    "llama-3.1-8b": "meta-llama/llama-3.1-8b",
    "qwen2-7b": "qwen/qwen2-7b",
    "qwen2.5-7b": "qwen/qwen2.5-7b",
    "qwen2.5-14b": "qwen/qwen2.5-14b",
    "qwen2.5-0.5b": "qwen/qwen2.5-0.5b",
    "mistral-7b": "mistralai/mistral-7b-v0.1",
    "gemma-2-9b": "google/gemma-2-9b",
}

Sizes: TypeAlias = tuple[tuple[float, float, str], ...]


class Label(NamedTuple):
    """A base model ("" when unknown) and the stage of the cascade that supplied it."""

    base_model: str
    evidence: Evidence


def base_model(name: str, declared: str, architecture: str, parameters: float) -> Label:
    """Label one row by the first success of the published cascade.

    1. family and size in the repository name;
    2. the same in the declared base model, then a family alone there;
    3. a family alone in the repository name;
    4. architecture and parameter count, in billions.

    The last stage guesses: a Llama architecture of 7.8 to 8.3 billion parameters becomes
    `llama-3-8b` whatever it was trained from, and Qwen2 cannot be told from Qwen2.5 at 7B.

    Source: the rule behind arXiv:2506.10378, rewritten; quirks are kept so that labels agree.
    """
    name, declared = name.lower(), declared.lower()
    if label := _sized(name):
        return Label(label, "name")
    if declared:
        if label := _sized(declared):
            return Label(label, "declared")
        if label := _by_family(declared, parameters):
            return Label(label, "declared-family")
    if label := _by_family(name, parameters):
        return Label(label, "name-family")
    if label := _by_architecture(architecture.lower(), parameters, name):
        return Label(label, "architecture")
    return Label("", "none")


def _first_sized(text: str) -> tuple[str, str] | None:
    for row in SIZED_NAMES:
        if match := row.pattern.search(text):
            size = match.group(1) if match.re.groups else ""
            return row.family, row.label.format(size)
    return None


def _sized(text: str) -> str:
    found = _first_sized(text)
    return found[1] if found and found[0] in ACCEPTED else ""


def _by_family(text: str, parameters: float) -> str:
    # A sized name decides alone even here: dropped families do not fall through to bare ones.
    if found := _first_sized(text):
        family, label = found
        is_known_gemma = any(label == known for _, _, known in GEMMA_2_SIZES)
        return label if family in ACCEPTED or is_known_gemma else ""
    family = next((name for pattern, name in BARE_NAMES if pattern.search(text)), "")
    if family == "gemma-2":
        family = _in_range(parameters, GEMMA_2_SIZES)
    if not family:
        return ""
    if family[-1] == "b" and family[-2].isdigit():
        return family
    return _with_size(family, text, parameters)


def _with_size(family: str, text: str, parameters: float) -> str:
    for pattern in SIZE_IN_NAME:
        if match := pattern.search(text):
            return f"{family}-{match.group(1)}b"
    if not parameters or math.isnan(parameters):
        return family
    ranged = _in_range(parameters, SIZE_RANGES)
    # An unknown count is stored as −1 and yields names like "phi-3--1b", as published.
    return ranged if ranged.startswith(family) else f"{family}-{int(parameters)}b"


def _by_architecture(architecture: str, parameters: float, name: str) -> str:
    if not architecture or math.isnan(parameters):
        return ""
    ranged = _in_range(parameters, SIZE_RANGES)
    if "llama" in architecture:
        return ranged if ranged.startswith(("llama-2", "llama-3")) else ""
    if "qwen2" in architecture:
        return _qwen(parameters, name, ranged)
    if "phi" in architecture:
        return _phi(parameters, name, ranged)
    if "mistral" in architecture and "mixtral" not in architecture and 7.0 <= parameters <= 7.5:
        return "mistral-7b"
    is_mixture = "mixtral" in architecture or ("mistral" in architecture and "moe" in name)
    if is_mixture and 45.0 <= parameters <= 48.0:
        return "mixtral-8x7b"
    for word, sizes in ARCHITECTURE_SIZES:
        if word in architecture:
            return _in_range(parameters, sizes)
    return ""


def _qwen(parameters: float, name: str, ranged: str) -> str:
    is_25 = "qwen2.5" in name or any(low <= parameters <= high for low, high in QWEN_25_ONLY)
    if not is_25 and ranged.startswith("qwen2"):
        return ranged
    size = _in_range(parameters, QWEN_SIZES)
    return f"{'qwen2.5' if is_25 else 'qwen2'}-{size}" if size else ""


def _phi(parameters: float, name: str, ranged: str) -> str:
    named = next((f for f in ("phi-3", "phi-2", "phi-1.5", "phi-1") if f in name), "")
    by_size = ((10.0, "phi-3"), (2.0, "phi-2"), (1.0, "phi-1.5"), (-math.inf, "phi-1"))
    family = named or next(f for least, f in by_size if parameters > least)
    return ranged if ranged.startswith(family) else f"{family}-{int(parameters)}b"


def _in_range(parameters: float, sizes: Sizes) -> str:
    return next((label for low, high, label in sizes if low <= parameters <= high), "")
