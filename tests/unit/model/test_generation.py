"""The generation loop against a loop without a cache, and against its own promises."""

import threading
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import GenerationMixin

from tests.unit.model.generating import FREE, PROMPTS
from workbench.errors import NotFinite
from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.policy import GREEDY, Sampling
from workbench.model.sites import Kind, Site
from workbench.model.tiny import tiny_model, tiny_module
from workbench.model.tokens import pad


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
