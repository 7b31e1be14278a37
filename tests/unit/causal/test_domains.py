"""The cascade of base-model labels: one case per stage and per quirk."""

import math

import pytest

from causal.scores.domains import EVIDENCE, base_model
from causal.scores.leaderboard import ScoreTable

CASES = [
    # name, declared, architecture, parameters, label, evidence
    ("org/My-Llama-3.1-8B-it", "", "", math.nan, "llama-3.1-8b", "name"),
    ("org/llama3-8b", "", "", math.nan, "llama-3-8b", "name"),
    ("org/Llama_3.2_1B", "", "", math.nan, "llama-3.2-1b", "name"),
    ("org/llama-3-8B-qwen2.5-7b", "", "", math.nan, "llama-3-8b", "name"),
    ("org/Qwen2.5-14B-x", "", "", 14.8, "qwen2.5-14b", "name"),
    ("org/qwen2-7b", "", "", 7.6, "qwen2-7b", "name"),
    ("org/Qwen-7B", "", "", 7.7, "qwen1-7b", "name"),
    ("org/Qwen1.5-7B", "", "", 7.7, "qwen1-7b", "name-family"),
    ("org/x", "Qwen/Qwen2.5-7B (Merge)", "", 7.6, "qwen2.5-7b", "declared"),
    ("org/x", "org/gemma-2-9b-it", "", 9.2, "gemma-2-9b", "declared-family"),
    ("org/x", "org/gemma-2-it", "", 9.2, "gemma-2-9b", "declared-family"),
    ("org/x", "org/llama-3-chat", "", 8.03, "llama-3-8b", "declared-family"),
    ("org/x", "org/llama-3-chat", "", -1.0, "llama-3--1b", "declared-family"),
    ("org/x", "org/llama-3-chat", "", math.nan, "llama-3", "declared-family"),
    ("org/x", "org/deepseek-llm-7b-chat", "", 6.9, "deepseek-7b", "declared-family"),
    ("org/phi-3-mini", "Removed", "", 3.82, "phi-3-4b", "name-family"),
    ("org/x", "Removed", "LlamaForCausalLM", 8.03, "llama-3-8b", "architecture"),
    ("org/x", "Removed", "LlamaForCausalLM", 6.74, "llama-2-7b", "architecture"),
    ("org/x", "Removed", "LlamaForCausalLM", 1.1, "", "none"),
    ("org/x", "Removed", "Qwen2ForCausalLM", 7.62, "qwen2-7b", "architecture"),
    ("org/x", "Removed", "Qwen2ForCausalLM", 14.77, "qwen2.5-14b", "architecture"),
    ("org/x", "Removed", "Qwen2ForCausalLM", 32.8, "", "none"),
    ("org/x", "Removed", "Gemma2ForCausalLM", 9.24, "gemma-2-9b", "architecture"),
    ("org/x", "Removed", "GemmaForCausalLM", 8.54, "gemma-1-7b", "architecture"),
    ("org/x", "Removed", "PhiForCausalLM", 2.78, "phi-2-2b", "architecture"),
    ("org/x", "Removed", "Phi3ForCausalLM", 13.96, "phi-3-14b", "architecture"),
    ("org/x", "Removed", "FalconForCausalLM", 7.2, "falcon-7b", "architecture"),
    ("org/x", "Removed", "MixtralForCausalLM", 46.7, "mixtral-8x7b", "architecture"),
    ("org/x", "", "", math.nan, "", "none"),
    # The published quirk: an explicit mistral-7b passes no name stage.
    (
        "org/Mistral-7B-v0.3",
        "org/mistral-7b",
        "MistralForCausalLM",
        7.25,
        "mistral-7b",
        "architecture",
    ),
    ("org/Mistral-7B-v0.3", "org/mistral-7b", "", math.nan, "", "none"),
]


@pytest.mark.parametrize(("name", "declared", "architecture", "size", "label", "stage"), CASES)
def test_cascade(
    name: str, declared: str, architecture: str, size: float, label: str, stage: str
) -> None:
    found = base_model(name, declared, architecture, size)
    assert (found.base_model, found.evidence) == (label, stage)


def test_shipped_labels_follow_from_the_names(shipped: ScoreTable) -> None:
    frame = shipped.frame
    for name, label, stage in zip(frame["model"], frame["domain"], frame["evidence"], strict=True):
        found = base_model(name, "", "", math.nan)
        if stage == "name":
            assert found == (label, "name"), name
        else:
            assert found.evidence != "name", name


def test_shipped_stages_and_counts(shipped: ScoreTable) -> None:
    stages = shipped.frame["evidence"].value_counts()
    assert set(stages.index) == set(EVIDENCE)
    assert stages["architecture"] == 1305
    assert stages["none"] == 1033
    counts = shipped.domain_counts()
    assert [counts[d] for d in ("llama-3-8b", "qwen2.5-14b", "llama-3.1-8b")] == [716, 243, 199]
    assert sum(n >= 100 for n in counts.values()) == 8
