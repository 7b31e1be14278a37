"""What a model offers at each kind of site, as its checks found it."""

from dataclasses import dataclass

from workbench.model.capabilities import verdict
from workbench.model.site_checks import capability_of
from workbench.model.site_probe import shared_probes
from workbench.model.sites import Kind
from workbench.model.subject import Subject
from workbench.model.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class SiteOffer:
    """Whether one kind of site can be read and edited, and in which layers."""

    kind: Kind
    layers: tuple[int, ...]
    n_layers: int
    read: Verdict
    edit: Verdict

    @property
    def where(self) -> str:
        """The layers that have such a site, in words; empty for the model's two ends."""
        if not self.kind.has_layer or not self.layers:
            return ""
        if len(self.layers) == self.n_layers:
            return "all"
        return ", ".join(map(str, self.layers))

    @property
    def reason(self) -> str:
        """Why it cannot be read or edited; empty where both work."""
        return self.read.reason or self.edit.reason


def site_offers(model: Subject) -> list[SiteOffer]:
    """Return every kind of site with what the model was found to do there; checks run now."""
    with shared_probes():
        return [
            SiteOffer(
                kind=kind,
                layers=model.backend.layers_with(kind) if kind.has_layer else (),
                n_layers=model.spec.n_layers,
                read=verdict(model, capability_of(kind, edit=False)),
                edit=verdict(model, capability_of(kind, edit=True)),
            )
            for kind in Kind
        ]
