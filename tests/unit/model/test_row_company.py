"""A row gives what it gives alone, whatever runs beside it: other lengths, sides and states."""

import pytest
import torch

from tests.unit.model.rare_models import SWITCH, TEXT, alone, greedy, rare_model
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.policy import Choice
from workbench.model.sites import Site
from workbench.model.tokens import pad

ROWS = (TEXT[:3], TEXT[:9], TEXT[:14], TEXT)
OPTIONS = GenerationOptions(stop_ids=(), keep_logits=True)
NEAR = {"rtol": 1e-4, "atol": 1e-4}
LIMIT = 5

FAST = ("phi3", "minimax", "jamba")
SLOW = ("recurrent_gemma", "qwen3_next", "lfm2", "gpt_neo", "deepseek_v3", "gpt_oss")
KINDS = [*FAST, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_rows(kind: str, side: str) -> None:
    model = rare_model(kind)
    trace = model.run(pad(ROWS, side=side), read=["resid_post.0"], logits="all")
    for i, row in enumerate(ROWS):
        wanted = model.run(pad([row]), read=["resid_post.0"], logits="all")
        torch.testing.assert_close(trace.logits[i][trace.tokens.mask[i]], alone(model, row), **NEAR)
        torch.testing.assert_close(
            trace.row(i, "resid_post.0"), wanted.row(0, "resid_post.0"), **NEAR
        )


@pytest.mark.parametrize("kind", [*KINDS, pytest.param("mistral", marks=pytest.mark.slow)])
def test_generation_equals_whole_passes(kind: str) -> None:
    model = rare_model(kind)
    trace = model.generate(pad(ROWS), limit=LIMIT, options=OPTIONS)
    for i, row in enumerate(ROWS):
        tokens, logits = greedy(model, row, LIMIT)
        assert trace.generated[i] == tokens
        torch.testing.assert_close(trace.logits[i], logits, **NEAR)


@pytest.mark.parametrize("kind", ["phi3", "jamba"])
def test_a_prefix_is_continued_any_number_of_times(kind: str) -> None:
    model = rare_model(kind)
    prefix = model.prefill(pad(ROWS, side="left"))
    wanted = [greedy(model, row, LIMIT)[0] for row in ROWS]
    for rows in ((0, 1, 2, 3), (3, 0, 3, 3), (2,)):
        found = model.generate(prefix.take(rows), limit=LIMIT, options=OPTIONS)
        assert list(found.generated) == [wanted[i] for i in rows]


class _SecondBest:
    """Look at the three likeliest tokens, and take the second with its forward pass."""

    def sites(self, spec):
        return (Site.parse("final_norm[-1]"),)

    def begin(self, prompt, model):
        return self

    def choose(self, step):
        candidates = step.logits.topk(3, dim=-1).indices
        pick = torch.ones(len(candidates), dtype=torch.long)
        return Choice(tokens=candidates[:, 1], lookahead=step.look(candidates), pick=pick)


def _second_best(model, ids, n):
    out = []
    for _ in range(n):
        out.append(int(alone(model, [*ids, *out])[-1].topk(2).indices[1]))
    return tuple(out)


@pytest.mark.parametrize("kind", ["phi3", "jamba"])
def test_looking_ahead_leaves_no_trace(kind: str) -> None:
    model = rare_model(kind)
    found = model.generate(pad(ROWS), policy=_SecondBest(), limit=4, options=OPTIONS)
    assert list(found.generated) == [_second_best(model, row, 4) for row in ROWS]


def test_edits_of_single_steps_survive_a_change_of_frequencies() -> None:
    """One row crosses the switch at its second token; what was edited before stays edited."""
    model = rare_model("phi3")
    vector = torch.linspace(-1, 1, model.spec.d_model)
    site = Site.parse("resid_post.0")
    edits = [
        Edit(site=site, op=Op.ADD, value=vector, steps=(0,)),
        Edit(site=site, op=Op.SCALE, value=0.5, steps=(1, 3)),
    ]
    row = TEXT[: SWITCH - 1]
    found = model.generate(pad([row]), limit=LIMIT, edits=edits, options=OPTIONS)
    out: list[int] = []
    for _ in range(LIMIT):
        whole = [*row, *out]
        prompt = tuple(range(len(row)))
        later = tuple(len(row) + t - 1 for t in (1, 3) if t <= len(out))
        replayed = [
            Edit(site=Site(site.kind, 0, prompt), op=Op.ADD, value=vector),
            Edit(site=Site(site.kind, 0, later), op=Op.SCALE, value=0.5, enabled=bool(later)),
        ]
        logits = model.run(pad([whole]), edits=replayed, logits="last").logits
        out.append(int(logits[0, -1].argmax()))
        torch.testing.assert_close(found.logits[0, len(out) - 1], logits[0, -1], **NEAR)
    assert found.generated[0] == tuple(out)


def test_values_per_position_follow_their_rows_into_groups() -> None:
    model = rare_model("minimax")
    batch = pad(ROWS, side="left")
    value = torch.randn(
        len(ROWS), batch.ids.shape[1], model.spec.d_model, generator=torch.Generator()
    )
    site = Site.parse("resid_post.0")
    found = model.run(batch, edits=[Edit(site=site, op=Op.ADD, value=value)], logits="last")
    for i, row in enumerate(ROWS):
        own = Edit(site=site, op=Op.ADD, value=value[i, -len(row) :])
        wanted = model.run(pad([row]), edits=[own], logits="last")
        torch.testing.assert_close(found.logits[i], wanted.logits[0], **NEAR)


def test_an_earlier_long_text_does_not_change_a_short_one() -> None:
    """Dynamic NTK keeps the frequencies of the longest text; a run must not depend on history."""
    model = rare_model("llama")
    assert model.spec.max_positions < len(TEXT)
    before = model.run(pad([TEXT[: SWITCH + 1]]), logits="all").logits
    model.run(pad([(*TEXT, *TEXT)]), logits="last")
    after = model.run(pad([TEXT[: SWITCH + 1]]), logits="all").logits
    assert torch.equal(before, after)
    mixed = model.run(pad([TEXT[:4], TEXT]), logits="last").logits
    torch.testing.assert_close(mixed[0, 0], alone(model, TEXT[:4])[-1], **NEAR)
    torch.testing.assert_close(mixed[1, 0], alone(model, TEXT)[-1], **NEAR)


def test_patterns_of_groups_come_back_in_the_layout_of_the_batch() -> None:
    model = rare_model("phi3")
    trace = model.run(pad(ROWS, side="left"), read=["attn_pattern.1"])
    for i, row in enumerate(ROWS):
        wanted = model.run(pad([row]), read=["attn_pattern.1"])
        torch.testing.assert_close(
            trace.row(i, "attn_pattern.1"), wanted.row(0, "attn_pattern.1"), **NEAR
        )
