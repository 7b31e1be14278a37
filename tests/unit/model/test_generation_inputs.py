"""What generation is given: vectors, latent steps, prefixes, and what is refused."""

from dataclasses import dataclass, replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from tests.unit.model.generating import FINAL, FREE, PROMPTS
from workbench.errors import BadEdit, BadOption, BadSite
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions, row_generators
from workbench.model.model import Model
from workbench.model.policy import Choice, Host, Step
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, pad


class _Vectors:
    """Feeds each chosen token's own embedding as a vector, in some rows."""

    def __init__(self, rows: tuple[bool, ...] | None) -> None:
        self.rows = rows

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return ()

    def begin(self, prompt: Tokens, model: Host) -> "_Vectors":
        self.model = model
        return self

    def choose(self, step: Step) -> Choice:
        tokens = step.logits.argmax(dim=-1)
        embeds = self.model.embed(tokens[:, None])[:, 0]
        if self.rows is None:
            return Choice(tokens=tokens, embeds=embeds)
        fed = torch.tensor(self.rows)
        return Choice(tokens=tokens, embeds=embeds.masked_fill(~fed[:, None], 99.0), fed=fed)


@pytest.mark.parametrize("rows", [None, (True, False, True, False)])
def test_fed_vectors_equal_fed_tokens(tiny: Model, rows: tuple[bool, ...] | None) -> None:
    fed = tiny.generate(pad(PROMPTS), limit=4, policy=_Vectors(rows), options=FREE)
    plain = tiny.generate(pad(PROMPTS), limit=4, options=FREE)
    assert fed.generated == plain.generated
    assert plain.latent is None
    assert fed.latent is not None
    marked = fed.latent[:, -3:]
    assert torch.equal(marked, torch.tensor(rows or (True,) * 4)[:, None].expand(4, 3))
    assert not fed.latent[:, :-3].any()


@dataclass(frozen=True)
class _Latent:
    """Three silent steps that feed the final state back, then greedy; row 1 stops at step 4."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return (replace(FINAL, positions=(-1,)),)

    def begin(self, prompt: Tokens, model: Host) -> "_Latent":
        return self

    def choose(self, step: Step) -> Choice:
        tokens = step.logits.argmax(dim=-1)
        stop = torch.tensor([step.index == 4 and i == 1 for i in range(len(tokens))])
        if step.index >= 3:
            return Choice(tokens=tokens, stop=stop)
        (h,) = step.captured.values()
        return Choice(
            tokens=torch.zeros_like(tokens),
            embeds=h[:, -1],
            silent=torch.ones_like(tokens, dtype=torch.bool),
            record=step.index,
        )


def test_latent_loop_equals_plain_forward_passes(tiny: Model) -> None:
    trace = tiny.generate(pad(PROMPTS), limit=6, policy=_Latent(), read=["embed"], options=FREE)
    assert trace.records == (0, 1, 2)
    assert trace.ended == ("limit", "policy", "limit", "limit")
    assert [len(row) for row in trace.generated] == [3, 2, 3, 3]
    for i, prompt in enumerate(PROMPTS):
        vectors = tiny.embed(torch.tensor([prompt]))
        for _ in range(3):
            h = _final(tiny, vectors)
            vectors = torch.cat([vectors, h[:, None]], dim=1)
        logits = tiny.unembed(_final(tiny, vectors), normed=True)
        assert int(logits.argmax()) == trace.generated[i][0]
        torch.testing.assert_close(
            trace.row(i, "embed")[: vectors.shape[1]], vectors[0], rtol=1e-4, atol=1e-4
        )


def _final(model: Model, vectors: Float[Tensor, "1 pos d_model"]) -> Float[Tensor, "1 d_model"]:
    ids = torch.zeros(vectors.shape[:2], dtype=torch.long)
    tokens = Tokens(ids=ids, mask=torch.ones_like(ids, dtype=torch.bool))
    return model.run(tokens, embeds=vectors, read=[FINAL])[FINAL][:, -1]


def test_prompt_vectors_replace_prompt_tokens(tiny: Model) -> None:
    batch = pad(PROMPTS)
    options = replace(FREE, embeds=tiny.embed(batch.ids))
    other = Tokens(ids=torch.ones_like(batch.ids), mask=batch.mask)
    plain = tiny.generate(batch, limit=5, options=FREE)
    assert tiny.generate(other, limit=5, options=options).generated == plain.generated


def test_a_prefix_serves_many_generations(tiny: Model) -> None:
    prefix = tiny.prefill(pad(PROMPTS), read=["resid_post.0"])
    plain = tiny.generate(pad(PROMPTS), limit=6, read=["resid_post.0"], options=FREE)
    for _ in range(2):
        trace = tiny.generate(prefix, limit=6, options=FREE)
        assert trace.generated == plain.generated
        assert torch.equal(trace["resid_post.0"], plain["resid_post.0"])
    many = tiny.generate(prefix.take((2, 0, 2)), limit=6, options=FREE)
    assert many.generated == tuple(plain.generated[i] for i in (2, 0, 2))


def test_a_full_context_ends_the_row(tiny_llama: Model) -> None:
    room = tiny_llama.spec.max_positions
    long, short = [5] * (room - 3), [6, 7]
    trace = tiny_llama.generate(pad([long, short]), limit=6, options=FREE)
    assert trace.ended == ("context", "limit")
    assert [len(row) for row in trace.generated] == [3, 6]
    with pytest.raises(BadOption, match="leaves no room"):
        tiny_llama.generate(pad([[5] * room, short]), limit=1)


def test_what_does_not_fit_is_refused_before_anything_runs(tiny_llama: Model) -> None:
    batch = pad(PROMPTS)
    with pytest.raises(BadOption, match="limit is 0"):
        tiny_llama.generate(batch, limit=0)
    with pytest.raises(BadOption, match="2 seeds for 4 rows"):
        tiny_llama.generate(batch, options=GenerationOptions(seeds=(1, 2)))
    with pytest.raises(BadOption, match="1 generators for 4 rows"):
        tiny_llama.generate(batch, options=GenerationOptions(generators=[torch.Generator()]))
    with pytest.raises(BadSite, match="prompt of 1 tokens"):
        tiny_llama.generate(batch, read=["resid_post.0[1]"])
    with pytest.raises(BadOption, match="embeds cover"):
        tiny_llama.generate(batch, options=replace(FREE, embeds=torch.zeros(4, 2, 32)))
    values = torch.zeros(4, batch.ids.shape[1], 32)
    edit = Edit(site=Site(Kind.RESID_POST, 0), op=Op.ADD, value=values, steps=(0,))
    with pytest.raises(BadEdit, match="one value per position"):
        tiny_llama.generate(batch, edits=[edit])
    with pytest.raises(BadOption, match="a Prefix has been run"):
        tiny_llama.generate(tiny_llama.prefill(batch), read=["embed"])
    with pytest.raises(BadSite, match="has not recorded"):
        tiny_llama.generate(tiny_llama.prefill(batch), policy=_Latent())
    with pytest.raises(BadOption, match="not negative"):
        row_generators(-1, 2)


def test_text_prompts_and_progress(tiny_llama: Model) -> None:
    seen: list[tuple[int, int]] = []
    options = GenerationOptions(progress=lambda done, total, _: seen.append((done, total)))
    text = tiny_llama.decode(PROMPTS[0])
    trace = tiny_llama.generate(text, limit=3, options=replace(options, stop_ids=()))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert trace.tokens.texts == (text,)
