"""What one patch sets: a site at one token, one head, or a group of sites at every token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.errors import BadEdit, BadOption
from workbench.model.edits import selection_problems
from workbench.model.site_patterns import expand
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.runs.typed_edits import parse_edits

Cells = Literal["place", "head", "whole"]
_SENDERS = (Kind.Z, Kind.ATTN_OUT, Kind.MLP_OUT)
STAGES = {
    Kind.RESID_PRE: 0, Kind.Q: 1, Kind.K: 1, Kind.V: 1, Kind.Z: 1, Kind.ATTN_OUT: 1,
    Kind.RESID_MID: 2, Kind.MLP_OUT: 3, Kind.RESID_POST: 4,
}  # fmt: skip
_FORM = "sites joined by +, heads after @, as in z.9@3+mlp_out.10:14"


@dataclass(frozen=True)
class Part:
    """A site, or some of its heads."""

    site: Site
    heads: tuple[int, ...] | None = None

    @property
    def layer(self) -> int:
        """Layer of the site."""
        return self.site.layer or 0


@dataclass(frozen=True)
class Target:
    """A row of the map: the parts that are set together, and what its cells are.

    A cell is an aligned place, one head at every place, or the whole: every place.
    """

    label: int | str
    parts: tuple[Part, ...]
    cells: Cells

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of the parts, each once."""
        return tuple(dict.fromkeys(part.site for part in self.parts))

    @property
    def layer(self) -> int:
        """The lowest layer of a part."""
        return min(part.layer for part in self.parts)


def parts_of(text: str, spec: ModelSpec) -> tuple[Part, ...]:
    """Read a group of sites, such as `z.9@3+mlp_out.10:14`.

    Raises:
        BadOption: the text names no sites, positions, heads that there are not, or no layer.
        BadSite: the model lacks a layer.
    """
    try:
        edits = [e for one in text.split("+") for e in parse_edits(f"ablate:{one.strip()}", spec)]
    except BadEdit as error:
        raise BadOption(f"{text!r} is no group of sites", hint=_FORM) from error
    problems = selection_problems(edits, spec, 1)
    wrong = [e.site for e in edits if e.site.kind not in STAGES or e.site.positions is not None]
    if wrong or problems:
        told = [*problems, *(f"{site} is not patched as a whole" for site in wrong)]
        raise BadOption(f"group {text!r}: {'; '.join(told)}", hint=_FORM)
    return tuple(Part(e.site, e.heads) for e in edits)


def targets_of(
    at: str, layers: str, window: int, groups: Sequence[str], spec: ModelSpec
) -> tuple[Target, ...]:
    """Return the rows of the map: groups where there are any, else a window around each layer.

    Raises:
        BadOption: a group is none.
        BadSite: the model lacks a layer.
    """
    if groups:
        return tuple(Target(text, parts_of(text, spec), "whole") for text in groups)
    kind, found = Kind(at), []
    for site in expand([f"{at}.{layers}"], spec):
        first = (site.layer or 0) - (window - 1) // 2
        near = range(max(first, 0), min(first + window, spec.n_layers))
        parts = tuple(Part(Site(kind, layer)) for layer in near)
        found.append(Target(site.layer or 0, parts, "head" if kind.has_heads else "place"))
    return tuple(found)


def sender_of(text: str, spec: ModelSpec) -> Part:
    """Read the sender of a path: heads of one layer, or what one block writes.

    Raises:
        BadOption: the text names another kind of site, or several.
    """
    parts = parts_of(text, spec)
    if len(parts) != 1 or parts[0].site.kind not in _SENDERS:
        raise BadOption(
            f"the sender is {text!r}; expected one site that writes to the stream",
            hint="z.9@3, attn_out.9 or mlp_out.9",
        )
    return parts[0]


def receivers(targets: Sequence[Target], sender: Part, *, parallel: bool) -> tuple[Target, ...]:
    """Return the rows whose parts all read what the sender writes.

    In a block with `parallel` attention its feed-forward part reads what stood before both.

    Raises:
        BadOption: there is none.
    """
    found = tuple(t for t in targets if all(_reads(p, sender, parallel) for p in t.parts))
    if not found:
        raise BadOption(
            f"nothing that is patched reads what {sender.site} writes",
            hint=f"--layers {sender.layer + 1}:, or groups of sites above",
        )
    return found


def _reads(part: Part, sender: Part, parallel: bool) -> bool:
    if part.layer != sender.layer:
        return part.layer > sender.layer
    own, its = STAGES[part.site.kind], STAGES[sender.site.kind]
    return own > its and not (parallel and part.site.kind is Kind.MLP_OUT)
