"""What a lens has seen, whether of a text or of a chain, and how it becomes a result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from probes.boundary.grid import Cell
from probes.boundary.report import grid_table, layer_estimates, layer_table, path_table, views
from probes.boundary.scores import Goal
from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Table
from workbench.result.views import View

_FLUENT = Note(
    "the decoder writes a fluent sentence from any vector: believe one only where it has more in "
    "common with its sentence than both controls",
    code="fluent",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """The cells of a grid, with what its columns stand for and the states behind them.

    `best` names the layer at which each way is judged; `estimates`, `tables`, `notes` and `views`
    are what a text or a chain adds of its own. `n_unit` says what is counted.
    """

    cells: Sequence[Cell]
    goals: Sequence[Goal]
    states: Float[Tensor, "n layer d_model"]
    layers: Sequence[int]
    best: Mapping[str, int]
    n_unit: str
    estimates: Sequence[Estimate] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    views: Sequence[View] = ()

    def result(self, context: Context) -> Result:
        """Describe what was seen, with its controls."""
        own = layer_estimates(self.cells, self.goals, self.best, context, self.n_unit)
        estimates = (*self.estimates, *own)
        return Result(
            summary="; ".join(map(str, estimates[:3])) + ".",
            estimates=estimates,
            tables={
                "grid": grid_table(self.cells, self.goals),
                "layers": layer_table(self.cells, self.goals, context),
                "path": path_table(self.states, self.layers, self.goals),
                **self.tables,
            },
            notes=(_FLUENT, *self.notes),
            views=(*views(len(self.layers)), *self.views),
        )
