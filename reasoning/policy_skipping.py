"""Generation that leaves layers or feed-forward blocks out, by the schedules of the probes."""

from dataclasses import dataclass, field

from workbench.errors import BadOption
from workbench.model.fewer_layers import with_layers
from workbench.model.policy import GREEDY, Chooser, Host, Policy
from workbench.model.sites import Site
from workbench.model.skipping import FeedForwardSkips, SteppedHost, with_skips
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens


class ChoosesAsBase:
    """A policy that chooses as its base does, on a model that runs in another way."""

    base: Policy

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return self.base.sites(spec)

    def begin(self, prompt: Tokens, model: Host) -> Chooser:
        return self.base.begin(prompt, model)


@dataclass(frozen=True, kw_only=True)
class FeedForwardSkipping(ChoosesAsBase):
    """Leave feed-forward blocks out above a saturated one, token by token; attention always runs.

    The prompt and the first `first` new tokens run in full. A threshold above 1 skips nothing.

    Source: Jaiswal et al. 2024, FFN-SkipLLM, arXiv:2404.03865, section 3. We differ: `cold` is
    an option and not taken from a calibration set; the prompt always runs in full.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    threshold: float = 0.95
    span: int = 1
    cold: int = 4
    first: int = 5
    base: Policy = field(default=GREEDY)

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if self.span < 1 or self.cold < 0 or self.first < 0 or self.threshold < -1:
            raise BadOption(
                f"threshold {self.threshold}, span {self.span}, cold {self.cold}, first "
                f"{self.first}; expected at least -1, 1, 0 and 0"
            )

    def host(self, model: Host) -> Host:
        if self.threshold > 1:
            return model
        skips = FeedForwardSkips(
            n_layers=model.spec.n_layers, threshold=self.threshold, span=self.span, cold=self.cold
        )
        skipping = with_skips(model, skips)
        return SteppedHost(model, lambda step: skipping if step > self.first else model)


@dataclass(frozen=True, kw_only=True)
class SkipDecode(ChoosesAsBase):
    """Run ever fewer layers: the first `warm_up` and the top ones, as many as n(t) says.

    n(t) = round(n_max − (n_max − n_min)·min(t, T−1)/(T−1)) at the t-th new token, the same for all
    rows; it never rises, so that no key is missing. `least` and `most` are shares of all layers.

    Source: Del Corro et al. 2023, SkipDecode, arXiv:2307.02628, section 3. We differ: nothing is
    tuned, and T is an option.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    least: float = 0.5
    most: float = 1.0
    warm_up: int = 1
    horizon: int = 64
    base: Policy = field(default=GREEDY)

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if not 0 <= self.least <= self.most <= 1 or self.warm_up < 1 or self.horizon < 2:
            raise BadOption(
                f"least {self.least}, most {self.most}, warm_up {self.warm_up}, horizon "
                f"{self.horizon}; expected 0 ≤ least ≤ most ≤ 1, at least 1 and at least 2"
            )

    def host(self, model: Host) -> Host:
        if self.least == 1:
            return model
        n = model.spec.n_layers
        return SteppedHost(model, lambda step: with_layers(model, self.layers(step, n)))

    def layers(self, step: int, n_layers: int) -> list[int]:
        """Return the layers that are run at a step; step 0 is the prompt, which runs in full."""
        if step == 0:
            return list(range(n_layers))
        most, least = round(self.most * n_layers), round(self.least * n_layers)
        t = min(step - 1, self.horizon - 1)
        n = round(most - (most - least) * t / (self.horizon - 1))
        first = min(self.warm_up, n_layers)
        top = max(n - first, 0)
        return [i for i in range(n_layers) if i < first or i >= n_layers - top]
