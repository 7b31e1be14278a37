"""What the core makes of numbers per text: planted values, batches, shards, order and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from workbench.errors import NotFinite, PluginError, TooLittleData
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import other_positions, random_like, shuffled_tokens
from workbench.methods.per_unit import Measured, PerUnit
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.model import Model
from workbench.model.sites import Kind, Site, every_layer
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens, pad
from workbench.model.trace import Trace
from workbench.result.grid import grids_of
from workbench.result.metric import Control, Metric, Plot
from workbench.result.result import Result
from workbench.result.samples import Samples
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec

TEXTS = ("the cat sat .", "a king saw the blue bird", "the red dog ran to paris", "cat")


@dataclass(frozen=True, kw_only=True)
class Lengths(PerUnit):
    """Norms at every token, beside those of random vectors as long.

    Units: activation units.
    """

    metrics: ClassVar = {
        "norm": Metric(unit="activation units", help="Length.", axes=("layer", "position")),
        "index": Metric(unit="tokens", help="Position.", axes=("position",), bounds=(0.0, 99.0)),
    }
    controls_of: ClassVar = {"random": Control("random vectors")}
    plots: ClassVar = (Plot(title="Lengths", metrics=("norm",)),)
    factor: float = 1.0
    wrong: str = ""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return every_layer(Kind.RESID_POST, spec)

    def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
        norms = trace.stack(Kind.RESID_POST).norm(dim=-1).transpose(0, 1) * self.factor
        noise = torch.stack(
            [random_like(trace.activations[s], trace.tokens, context, str(s)).norm(dim=-1)
             for s in self.sites(trace.spec)], dim=1)  # fmt: skip
        found = {"norm": norms, "index": trace.tokens.position_ids.float()}
        if self.wrong == "name":
            found["other"] = norms
        if self.wrong == "shape":
            found["norm"] = norms[:, :, 1:]
        return Measured(values=found, controls={"random": {"norm": noise}})

    def summary(self, found: Samples) -> str:
        return str(found.estimate("norm", "random"))


def rows(texts: Sequence[str]) -> list[Example]:
    return [Example(text=text, number=i, source=f"row {i}") for i, text in enumerate(texts)]


def run(
    model: Model, texts: Sequence[str] = TEXTS, *, batch_tokens: int = 2048, **options: object
) -> Result:
    probe = Lengths(**options)  # type: ignore[arg-type]
    spec = RunSpec(name="lengths", batch_tokens=batch_tokens)
    return count_texts(probe, spec, rows(texts), model, Context.of(model)).result


def test_means_are_over_tokens_then_over_texts(tiny_llama: Model) -> None:
    result = run(tiny_llama)
    per_text = []
    for text in TEXTS:
        trace = tiny_llama.run(text, read=every_layer(Kind.RESID_POST, tiny_llama.spec))
        per_text.append(trace.stack(Kind.RESID_POST)[:, 0].norm(dim=-1).mean(dim=-1).numpy())
    layers = result.table("layers").frame
    assert layers["norm"].to_numpy() == pytest.approx(np.mean(per_text, axis=0), rel=1e-6)
    assert layers["norm_random"].to_numpy() == pytest.approx(layers["norm"].to_numpy(), rel=1e-5)
    found = result.estimate("norm")
    assert found.value == pytest.approx(np.mean(per_text), rel=1e-6)
    assert found.n == 4
    assert found.control_name == "random vectors"
    lengths = [tiny_llama.tokenize(text).ids.shape[1] for text in TEXTS]
    assert result.estimate("index").value == pytest.approx(np.mean([(n - 1) / 2 for n in lengths]))


def test_neither_batches_nor_order_nor_shards_move_a_number(tiny_llama: Model) -> None:
    whole = run(tiny_llama).table("layers").frame
    small = run(tiny_llama, batch_tokens=7).table("layers").frame
    turned = run(tiny_llama, TEXTS[::-1]).table("layers").frame
    numbers = whole.select_dtypes("number").columns
    assert small[numbers].to_numpy() == pytest.approx(whole[numbers].to_numpy(), rel=2e-5)
    assert turned[numbers].to_numpy() == pytest.approx(whole[numbers].to_numpy(), rel=2e-5)


def test_merged_states_are_the_whole(tiny_llama: Model) -> None:
    context, probe = Context.of(tiny_llama), Lengths()
    whole, joined = PerUnitAccumulator(probe, context), PerUnitAccumulator(probe, context)
    for text, example in zip(TEXTS, rows(TEXTS), strict=True):
        trace = tiny_llama.run(text, read=probe.sites(tiny_llama.spec))
        whole.add(trace, [example])
        part = PerUnitAccumulator(probe, context)
        part.add(trace, [example])
        joined.merge(part.state())
    assert joined.result(context).equals(whole.result(context))


def test_the_grid_holds_every_token_of_the_shown_texts(tiny_llama: Model) -> None:
    result = run(tiny_llama)
    grids = grids_of(result)
    assert [grid.text for grid in grids] == [0, 1, 2, 3]
    for grid, text in zip(grids, TEXTS, strict=True):
        trace = tiny_llama.run(text, read=every_layer(Kind.RESID_POST, tiny_llama.spec))
        expected = trace.stack(Kind.RESID_POST)[:, 0].norm(dim=-1).numpy()
        assert grid.map("norm") == pytest.approx(expected, rel=1e-5)
        assert grid.token_strip("index").tolist() == list(range(len(grid.tokens)))
        assert list(grid.layers) == list(range(tiny_llama.spec.n_layers))


def test_what_was_not_declared_or_has_another_shape_is_refused(tiny_llama: Model) -> None:
    with pytest.raises(PluginError, match="no declared metric"):
        run(tiny_llama, wrong="name")
    with pytest.raises(PluginError, match=r"expected 4 texts by \(layer, position\)"):
        run(tiny_llama, wrong="shape")
    with pytest.raises(NotFinite, match="norm is infinite for 1 texts"):
        run(tiny_llama, TEXTS[:1], factor=float("inf"))
    with pytest.raises(TooLittleData, match="long enough"):
        _undefined(tiny_llama)


def _undefined(model: Model) -> None:
    class Nothing(Lengths):
        def measure(self, trace: Trace, examples: Sequence[Example], context: Context) -> Measured:
            return Measured(values={"index": torch.full(trace.tokens.ids.shape, torch.nan)})

    count_texts(Nothing(), RunSpec(name="n"), rows(TEXTS), model, Context.of(model))


def _tokens() -> Tokens:
    return pad([[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11], [12]])


def test_controls_depend_on_seed_and_text_alone() -> None:
    tokens, context = _tokens(), Context(seed=3)
    h = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
    noise = random_like(h, tokens, context, "noise")
    assert noise[tokens.mask].norm(dim=-1).tolist() == pytest.approx(
        h[tokens.mask].norm(dim=-1).tolist(), rel=1e-5
    )
    alone = random_like(h[1:2, :3], tokens.take([1]), context, "noise")
    assert torch.equal(noise[1, :3], alone[0, :3])
    assert not torch.equal(noise, random_like(h, tokens, Context(seed=4), "noise"))
    turned = shuffled_tokens(tokens.take([2, 1, 0]), context, "order")
    mixed = shuffled_tokens(tokens, context, "order")
    assert mixed.row(0) == turned.row(2)
    assert mixed.row(0)[0] == 1
    assert sorted(mixed.row(0)) == list(range(1, 9))
    other = other_positions(tokens, context, "other")
    assert all(int(other[0, i]) != i and 0 <= int(other[0, i]) < 8 for i in range(8))
    assert int(other[2, 0]) == 0
