"""What a generator wrote is checked: each check refuses what it is there for, and is counted."""

import numpy as np
import pytest

from causal import concept_effect
from causal.concept_effect import ConceptEffect
from causal.concepts import generated_pairs
from causal.concepts.generated import (
    CONTROL,
    NOT_READ,
    TOO_FAR,
    UNCHANGED,
    Asking,
    changed_share,
    checker_of,
    first_paragraph,
)
from causal.concepts.rows import lexical_rows
from workbench.errors import BadOption, BadRows
from workbench.methods.contracts import Context, Example, Unfitted
from workbench.model.tiny import tiny_model

SOURCE = "We waited five minutes. The food was awful and the staff were rude."
GOOD = SOURCE.replace("awful", "delicious")


def _examples(n=60):
    rows = lexical_rows(n, np.random.default_rng(0), copied=0.5)
    return [
        Example(text=r["text"], group=r["group"], fields=r, number=i) for i, r in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def check():
    fit = [e for e in _examples(200) if e.fields["split"] == "fit"]
    return checker_of(fit, "food", ["service"], 0.5)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (GOOD, ""),
        (SOURCE, UNCHANGED),
        (SOURCE.upper(), UNCHANGED),
        (SOURCE.replace("five", "ten"), NOT_READ),
        (GOOD.replace("rude", "friendly"), CONTROL),
        ("The food was delicious.", TOO_FAR),
        ("", TOO_FAR),
    ],
)
def test_each_check_refuses_what_it_is_there_for(check, written, reason) -> None:
    assert check.refused(SOURCE, written, "positive") == reason


def test_the_probes_read_what_the_words_say_and_nothing_reads_noise(check) -> None:
    assert check.concept.accuracy("food").value == 1
    rng = np.random.default_rng(1)
    rows = [
        Example(text=e.text, group=e.group, fields={"food": str(rng.choice(["a", "b"]))})
        for e in _examples()
    ]
    with pytest.raises(BadRows, match="no probe of words tells 'food'"):
        checker_of(rows, "food", [], 0.5)


def test_edit_distance_is_a_share_of_the_longer_text() -> None:
    assert changed_share("a b c d", "a b c d") == 0
    assert changed_share("a b c d", "a x c d") == 1 / 4
    assert changed_share("a b c d", "b c d") == 1 / 4
    assert changed_share("a b", "c d e f") == 1
    assert changed_share("", "") == 0


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ('"It was good."', "It was good."),
        ("Here is the text:\n\nIt was good.\n\nI changed it.", "It was good."),
        ("\n\n", ""),
        ("Sure:", ""),
    ],
)
def test_the_text_is_taken_out_of_a_response(given, found) -> None:
    assert first_paragraph(given) == found


def test_an_instruction_needs_its_places() -> None:
    asking = Asking(instruction="{concept}: {text}", tries=1, most_changed=0.5)
    with pytest.raises(BadOption, match="has no place for the value"):
        asking.prompt("x", "food", "good")


def _written(monkeypatch, answer):
    """Let a rule write in place of a model: what is asked is what a model would read."""
    asked = []

    def write(model, prompts, seeds):
        asked.extend(prompts)
        return [answer(p, s) for p, s in zip(prompts, seeds, strict=True)]

    monkeypatch.setattr("causal.concepts.generated._written", write)
    monkeypatch.setattr(concept_effect, "load_model", lambda *_, **__: tiny_model("llama"))
    return asked


def _flip(prompt, seed):
    text = prompt.rsplit("\n", 1)[1]
    wanted = "delicious" if "food is positive" in prompt else "awful"
    other = {"delicious": "awful", "awful": "delicious"}[wanted]
    return text if seed % 2 else text.replace(other, wanted)


def _study(model, **options):
    probe = ConceptEffect(
        concept="food", controls=("service",), generator="default", layers="-1", draws=2,
        answers=("king", "queen"), fit=30, pairs=12, **options,
    )  # fmt: skip
    return probe.study(model, _examples(), Context.of(model, seed=1))


def test_pairs_are_the_accepted_texts_and_every_attempt_is_kept(tiny_llama, monkeypatch) -> None:
    asked = _written(monkeypatch, _flip)
    result = _study(tiny_llama)
    table = result.table("generated").frame
    assert len(asked) == len(table)
    accepted = table[table["refused"] == ""]
    assert 0 < len(accepted) < len(table)
    assert set(table["refused"]) == {"", UNCHANGED}
    known = {e.name: e for e in result.estimates}
    assert known["generated.accepted"].value == pytest.approx(len(accepted) / 12)
    assert known["check.food"].control < known["check.food"].low
    pairs = result.table("pairs").frame
    assert len(pairs) == min(12, 2 * len(accepted))
    assert {*pairs["target"], *pairs["source"]} <= {*accepted["source"], *accepted["written"]}
    # Its tokenizer knows neither word, so that nothing changes for the model.
    assert "moves the answers by 0 " in result.summary
    assert known["skill.erase.2"].value is None
    assert any("× unchanged" in note.text for note in result.notes)


def test_where_nothing_is_accepted_every_attempt_is_in_the_failure(tiny_llama, monkeypatch) -> None:
    _written(monkeypatch, lambda prompt, seed: prompt.rsplit("\n", 1)[1])
    with pytest.raises(Unfitted, match="none of 24 texts") as failure:
        _study(tiny_llama, tries=2)
    assert len(failure.value.result.table(generated_pairs.TABLE)) == 24


def test_a_real_model_writes_what_is_checked(tiny_llama) -> None:
    """A random network writes noise, and none of it is taken for a pair."""
    fit = [e for e in _examples() if e.fields["split"] == "fit"]
    rest = [e for e in _examples() if e.fields["split"] == "pairs" and not e.fields["edited"]]
    asking = Asking(instruction="{wanted} {text}", tries=1, most_changed=0.5)
    with pytest.raises(Unfitted, match="none of 3 texts that tiny:llama wrote"):
        generated_pairs.generated_pairs(
            tiny_llama, fit + rest, "food", (), asking=asking, n=3, context=Context(seed=0)
        )
