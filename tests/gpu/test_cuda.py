"""The same promises on an accelerator: exact reads, edits that can be switched off, rollouts."""

import pytest
import torch

from workbench.model.edits import Edit, Op
from workbench.model.generation import GenerationOptions
from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.model.policy import Sampling
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.sampling.branch import Branch
from workbench.sampling.rollout import RolloutOptions, RolloutQueue, Trajectory

pytestmark = pytest.mark.gpu

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 21, 30], [12, 40])


@pytest.fixture(scope="module")
def cuda() -> Model:
    return load_model("tiny:llama", device="cuda", dtype="float32")


def test_a_captured_forward_pass_is_bit_identical(cuda: Model) -> None:
    batch = pad(PROMPTS)
    inputs = {"input_ids": batch.ids.cuda(), "attention_mask": batch.mask.cuda().long()}
    with torch.no_grad():
        plain = cuda.backend.module(**inputs, position_ids=batch.position_ids.cuda()).logits
    trace = cuda.run(batch, read=["resid_post.0", "resid_post.-1"], logits="all")
    assert trace.logits is not None
    assert torch.equal(trace.logits.cpu()[batch.mask], plain.cpu()[batch.mask])


def test_an_edit_by_nothing_changes_nothing(cuda: Model) -> None:
    site = Site(Kind.RESID_POST, 1)
    off = Edit(site=site, op=Op.ADD, value=torch.ones(cuda.spec.d_model), enabled=False)
    nothing = Edit(site=site, op=Op.ADD, value=torch.zeros(cuda.spec.d_model))
    plain, edited, same = (
        cuda.run(pad(PROMPTS), edits=e, logits="last") for e in ((), (nothing,), (off,))
    )
    assert plain.logits is not None
    assert edited.logits is not None
    assert same.logits is not None
    assert torch.equal(plain.logits, edited.logits)
    assert torch.equal(plain.logits, same.logits)


def test_greedy_generation_equals_the_processor_s(cuda: Model) -> None:
    options = GenerationOptions(stop_ids=())
    here = cuda.generate(pad(PROMPTS), limit=12, options=options)
    there = load_model("tiny:llama", device="cpu").generate(pad(PROMPTS), limit=12, options=options)
    assert here.generated == there.generated


def test_rollouts_do_not_depend_on_their_batch(cuda: Model) -> None:
    def drawn(rows: int) -> dict[Branch, tuple[int, ...]]:
        options = RolloutOptions(policy=Sampling(temperature=1.0), limit=8, rows=rows, seed=3)
        queue = RolloutQueue(Trajectory(cuda, [3, 5, 7], [11, 4, 8, 20], options), stop_ids=[1])
        queue.add(Branch(position=i, draw=d) for i in (0, 2, 4) for d in range(6))
        return {rollout.branch: rollout.tokens for rollout in queue}

    assert drawn(1) == drawn(18)


@pytest.mark.parametrize("probe", ["isotropy", "logit-lens"])
def test_probes_agree_with_the_processor_s(probe: str) -> None:
    def layers(device: str) -> list[dict[str, object]]:
        spec = RunSpec(
            name=probe,
            model=ModelRef(name="tiny:llama", device=device, dtype="float32"),
            data=DataRef(texts=("the cat sat .", "the red dog ran to paris and saw the king .")),
            resamples=20,
        )
        run = execute(spec)
        assert run.result is not None
        return run.result.table("layers").rows()

    for here, there in zip(layers("cuda"), layers("cpu"), strict=True):
        for name, value in there.items():
            if isinstance(value, float):
                assert here[name] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), name
