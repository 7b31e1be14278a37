"""A study's report: averages with controls, rows with known columns, charts that have numbers."""

from workbench.methods.study_report import study_report
from workbench.result.metric import Control, Metric, Plot
from workbench.result.row_samples import samples_of
from workbench.result.tables import Column
from workbench.result.views import Bars, Curve, Heatmap, TokenStrip

METRICS = {
    "kl": Metric(unit="nats", help="Distance.", axes=()),
    "gap": Metric(unit="", help="Gap.", axes=("layer",), headline=None),
    "share": Metric(unit="", help="Share.", axes=("change", "layer"), headline=None),
}
STEPS = [
    {"text": t, "token": "a", "kl": t + s, "kl_noise": 0.5, "gate": None}
    for t in range(3)
    for s in (0, 1)
]
GAPS = [
    {"text": t, "change": change, "layer": layer, "gap": layer + t, "gap_noise": 1.0, "share": 0.5}
    for t in range(3)
    for layer in (0, 4)
    for change in ("open", "shut")
    if t or change == "open"
]
STRIP = TokenStrip(
    title="", table="steps", token="token", color="kl", rows=("kl", "gate"), group="text",
    details="none",
)  # fmt: skip


def test_it_lays_out_what_was_handed_over() -> None:
    found = samples_of([*STEPS, *GAPS], METRICS, controls_of={"noise": Control("noise", "Noise")})
    result = study_report(
        found,
        summary="Said.",
        averages={"layers": ("layer",), "changes": ("change", "layer"), "none": ("head",)},
        rows={"steps": STEPS, "empty": []},
        columns={"token": Column(help="The token."), "kl": Column("bits"), "other": Column()},
        plots=(
            Plot(title="", metrics=("gap",), axes=("layer",)),
            Plot(title="", metrics=("share",), axes=("change", "layer")),
            STRIP,
            Bars(title="", table="empty", x="token", y="kl"),
            Curve(title="", table="steps", x="text", y=("gate",)),
            Heatmap(title="", table="steps", row="text", column="token", value="gate"),
        ),
    )
    assert set(result.tables) == {"layers", "changes", "steps"}
    assert [e.name for e in result.estimates] == ["kl"]
    assert result.estimate("kl").control == 0.5
    layers = result.table("layers")
    assert [row["layer"] for row in layers.rows()] == [0, 4]
    assert {"gap_low", "gap_noise", "gap_noise_low", "n_texts"} <= set(layers.frame)
    assert layers.columns["gap_noise"].control_of == "gap"
    counts = {(r["change"], r["layer"]): r["n_texts"] for r in result.table("changes").rows()}
    assert counts == {("open", 0): 3, ("open", 4): 3, ("shut", 0): 2, ("shut", 4): 2}
    steps = result.table("steps").columns
    assert (steps["token"].help, steps["kl"].unit, steps["kl_noise"].control_of) == (
        "The token.", "bits", "kl",
    )  # fmt: skip
    curve, grouped, strip = result.views
    assert (curve.table, curve.control) == ("layers", ("gap_noise",))
    assert (grouped.table, grouped.group, grouped.x) == ("changes", "change", "layer")
    assert (strip.rows, strip.details, strip.group) == (("kl",), "", "text")
    assert any(note.code == "few-texts" for note in result.notes)
