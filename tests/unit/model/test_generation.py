"""The generation loop against a loop without a cache, and against its own promises."""

import threading
from dataclasses import dataclass, replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GenerationMixin

from workbench.errors import BadEdit, BadOption, BadSite, NotFinite
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions, row_generators
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Choice, Host, Sampling, Step
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tiny import tiny_model, tiny_module
from workbench.model.tokens import Tokens, pad

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 21, 30], [12, 40])
FREE = GenerationOptions(stop_ids=())
FINAL = Site(Kind.FINAL_NORM)


def without_cache(
    model: Model, prompt: list[int], n: int, *, edits: tuple[Edit, ...] = ()
) -> tuple[int, ...]:
    """Greedy decoding that runs the whole text again for every token."""
    ids = list(prompt)
    for _ in range(n):
        logits = model.run(pad([ids]), edits=edits, logits="last").logits
        assert logits is not None
        ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


@pytest.mark.parametrize("side", ["left", "right"])
def test_greedy_equals_a_loop_without_cache(tiny_llama: Model, side: str) -> None:
    trace = tiny_llama.generate(pad(PROMPTS, side=side), limit=8, options=FREE)
    assert trace.generated == tuple(without_cache(tiny_llama, p, 8) for p in PROMPTS)
    assert trace.ended == ("limit",) * 4


def test_greedy_equals_transformers_generate(tiny: Model) -> None:
    module = tiny_module(tiny.spec.name.removeprefix("tiny:"))
    batch = pad(PROMPTS, side="left")
    assert isinstance(module, GenerationMixin)
    theirs = module.generate(
        batch.ids,
        attention_mask=batch.mask.long(),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    ours = tiny.generate(batch, limit=12, options=FREE).generated
    assert [list(row) for row in ours] == theirs[:, batch.ids.shape[1] :].tolist()


@pytest.mark.parametrize("policy", [GREEDY, Sampling(temperature=1.5, top_p=0.9, top_k=20)])
def test_a_row_does_not_depend_on_its_company(tiny_llama: Model, policy: Sampling) -> None:
    # Every third token ends a row, so that rows finish early and the batch is compacted.
    stops = tuple(range(0, 64, 3))
    seeds = (11, 12, 13, 14)
    options = GenerationOptions(stop_ids=stops, seeds=seeds)
    together = tiny_llama.generate(pad(PROMPTS), limit=20, policy=policy, options=options)
    turned = tiny_llama.generate(
        pad(PROMPTS[::-1]), limit=20, policy=policy, options=replace(options, seeds=seeds[::-1])
    )
    assert turned.generated == together.generated[::-1]
    for i, prompt in enumerate(PROMPTS):
        alone = tiny_llama.generate(
            pad([prompt]), limit=20, policy=policy, options=replace(options, seeds=(seeds[i],))
        )
        assert alone.generated[0] == together.generated[i]


def test_rows_end_where_they_should(tiny_llama: Model) -> None:
    free = tiny_llama.generate(pad(PROMPTS), limit=20, options=FREE)
    stop = free.generated[0][3]
    trace = tiny_llama.generate(pad(PROMPTS), limit=20, options=GenerationOptions(stop_ids=(stop,)))
    for got, whole, ended in zip(trace.generated, free.generated, trace.ended, strict=True):
        assert got == whole[: len(got)]
        assert (ended == "stop") == (stop in whole)
        assert stop not in got[:-1]
    for i, prompt in enumerate(PROMPTS):
        assert trace.tokens.row(i) == [*prompt, *trace.generated[i][:-1]]


def test_compaction_happens_and_leaves_reads_and_edits_right(tiny_llama: Model) -> None:
    steer = torch.randn(4, 1, 32, generator=torch.Generator().manual_seed(1)) * 3
    edit = Edit(site=Site(Kind.RESID_POST, 1), op=Op.ADD, value=steer, rows=(0, 2, 3))
    free = tiny_llama.generate(pad(PROMPTS), limit=16, edits=[edit], options=FREE)
    # Three rows end after their second token; the widest batch that follows has one row.
    stops = {free.generated[i][1] for i in (0, 1, 2)}
    options = GenerationOptions(stop_ids=tuple(stops), keep_logits=True)
    sizes: list[int] = []
    model = _counting(tiny_llama, sizes)
    trace = model.generate(
        pad(PROMPTS),
        limit=16,
        edits=[edit],
        read=["resid_post.1", "attn_pattern.0"],
        options=options,
    )
    assert min(sizes) < 4
    for got, whole in zip(trace.generated, free.generated, strict=True):
        assert got == whole[: len(got)]
    again = tiny_llama.run(trace.tokens, edits=[edit], read=["resid_post.1", "attn_pattern.0"])
    for site in ("resid_post.1", "attn_pattern.0"):
        torch.testing.assert_close(trace[site], again[site], rtol=1e-4, atol=1e-5)


def _counting(model: Model, sizes: list[int]) -> Model:
    class Counting(Model):
        def forward(self, inputs, **options):  # type: ignore[no-untyped-def]
            sizes.append(inputs.mask.shape[0])
            return super().forward(inputs, **options)

    return Counting(spec=model.spec, tokenizer=model.tokenizer, backend=model.backend)


def test_the_trace_equals_one_pass_over_the_same_tokens(tiny: Model) -> None:
    read = ["embed", "resid_post.0", "final_norm", "resid_pre.1[0,-1]"]
    trace = tiny.generate(pad(PROMPTS), limit=6, read=read, options=FREE)
    again = tiny.run(trace.tokens, read=read)
    for site in read:
        assert trace[site].shape == again[site].shape
        torch.testing.assert_close(trace[site], again[site], rtol=1e-4, atol=1e-4)


def test_steering_equals_steering_without_cache(tiny: Model) -> None:
    vector = torch.randn(32, generator=torch.Generator().manual_seed(3)) * 2
    edit = Edit(site=Site(Kind.RESID_POST, 0), op=Op.ADD, value=vector)
    steered = tiny.generate(pad(PROMPTS), limit=6, edits=[edit], options=FREE)
    assert steered.generated == tuple(without_cache(tiny, p, 6, edits=(edit,)) for p in PROMPTS)
    plain = tiny.generate(pad(PROMPTS), limit=6, options=FREE)
    assert steered.generated != plain.generated
    off = replace(edit, enabled=False)
    assert (
        tiny.generate(pad(PROMPTS), limit=6, edits=[off], options=FREE).generated == plain.generated
    )


def test_edits_act_at_their_steps_and_rows_only(tiny_llama: Model) -> None:
    def read(**which: tuple[int, ...]) -> Tensor:
        edit = Edit(site=Site(Kind.RESID_POST, 2), op=Op.SET, value=7.0, **which)
        trace = tiny_llama.generate(
            pad(PROMPTS, side="left"), limit=5, edits=[edit], read=["resid_post.2"], options=FREE
        )
        return (trace["resid_post.2"] == 7.0).all(dim=-1)

    width = max(map(len, PROMPTS))
    real = pad(PROMPTS, side="left").mask
    assert torch.equal(read(steps=(0,))[:, :width], real)
    assert not read(steps=(0,))[:, width:].any()
    third = read(steps=(3,), rows=(1, 2))
    assert third[:, width + 2].tolist() == [False, True, True, False]
    assert third.sum() == 2


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


def test_seeds_give_different_rows_and_the_same_run(tiny_llama: Model) -> None:
    prefix = tiny_llama.prefill(pad([PROMPTS[0]])).take([0] * 6)
    first = tiny_llama.generate(prefix, policy=Sampling(), limit=8, options=FREE)
    assert len(set(first.generated)) > 1
    assert tiny_llama.generate(prefix, policy=Sampling(), limit=8, options=FREE).generated == (
        first.generated
    )
    fewer = tiny_llama.generate(prefix.take([0, 0]), policy=Sampling(), limit=8, options=FREE)
    assert fewer.generated == first.generated[:2]


def test_kept_logits_and_logprobs_are_those_of_the_chosen_tokens(tiny_llama: Model) -> None:
    options = replace(FREE, keep_logits=True, keep_logprobs=True)
    trace = tiny_llama.generate(pad(PROMPTS), limit=4, policy=Sampling(), options=options)
    assert trace.logits is not None
    assert trace.logits.shape == (4, 4, tiny_llama.spec.d_vocab)
    for i in range(4):
        expected = trace.logits[i].log_softmax(dim=-1)[range(4), list(trace.generated[i])]
        torch.testing.assert_close(torch.tensor(trace.logprobs[i]), expected)


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


def test_nan_is_an_error_and_not_a_token(tiny_llama: Model) -> None:
    edit = Edit(site=Site(Kind.RESID_POST, 2), op=Op.SET, value=float("nan"), steps=(2,))
    with pytest.raises(NotFinite, match=r"rows \[0, 1, 2, 3\]"):
        tiny_llama.generate(pad(PROMPTS), limit=5, edits=[edit], options=FREE)


def test_generations_in_threads_do_not_mix() -> None:
    model = tiny_model("qwen2")
    vectors = torch.randn(6, 32, generator=torch.Generator().manual_seed(5)) * 4

    def work(i: int) -> tuple[object, Tensor]:
        edit = Edit(site=Site(Kind.RESID_POST, 0), op=Op.ADD, value=vectors[i])
        options = GenerationOptions(stop_ids=(), seeds=i)
        trace = model.generate(
            pad(PROMPTS[: 1 + i % 4]),
            limit=10,
            policy=Sampling(),
            edits=[edit],
            read=["resid_post.0"],
            options=options,
        )
        return trace.generated, trace["resid_post.0"]

    expected = [work(i) for i in range(6)]
    found: dict[int, tuple[object, Tensor]] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: work(i)})) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (tokens, states) in enumerate(expected):
        assert found[i][0] == tokens
        assert torch.equal(found[i][1], states)


def test_text_prompts_and_progress(tiny_llama: Model) -> None:
    seen: list[tuple[int, int]] = []
    options = GenerationOptions(progress=lambda done, total, _: seen.append((done, total)))
    text = tiny_llama.decode(PROMPTS[0])
    trace = tiny_llama.generate(text, limit=3, options=replace(options, stop_ids=()))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert trace.tokens.texts == (text,)
