"""What a generation writes down while it runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.errors import NotFinite
from workbench.model.places import select
from workbench.model.policy import Choice
from workbench.model.prefix import Prefix
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens
from workbench.model.trace import End, Trace


class Transcript:
    """The growing record of one generation, turned into a Trace at the end."""

    def __init__(self, prefix: Prefix, spec: ModelSpec, *, stop_ids: Sequence[int]) -> None:
        """Start from what the prefix recorded."""
        prompt = prefix.tokens
        self.history = [prompt.row(i) for i in range(prompt.ids.shape[0])]
        self.live = [True] * len(self.history)
        self._prompt = prompt
        self._spec = spec
        self._layout = "causal" if prefix.layout is None else prefix.layout.name
        self._stop = frozenset(stop_ids)
        self._room = [spec.max_positions - n for n in prompt.lengths]
        self._generated: list[list[int]] = [[] for _ in self.history]
        self._logprobs: list[list[float]] = [[] for _ in self.history]
        self._ended: list[End] = ["limit"] * len(self.history)
        self._columns = [prompt.ids]
        self._masks = [prompt.mask]
        self._latent = [torch.zeros_like(prompt.mask)]
        self._captured = [prefix.captured]
        self._logits: list[Tensor] = []
        self._records: list[Any] = []

    def take(self, choice: Choice, highest: Tensor, logprobs: Tensor | None) -> None:
        """Write down what was chosen, and find out which rows have ended.

        `highest` is the largest logit of each row, fetched with the choice in one copy.

        Raises:
            NotFinite: it is not finite in a row that runs.
        """
        if choice.record is not None:
            self._records.append(choice.record)
        asked = {"top": highest, "token": choice.tokens, "logprob": logprobs}
        asked |= {"quiet": choice.silent, "stop": choice.stop}
        found = _fetched({name: x for name, x in asked.items() if x is not None})
        check_logits(found["top"], self.live)
        nothing = [0.0] * len(self.live)
        quiet, stops = found.get("quiet", nothing), found.get("stop", nothing)
        for i, token in enumerate(map(int, found["token"])):
            if not self.live[i]:
                continue
            self._room[i] -= 1
            if not quiet[i]:
                self.history[i].append(token)
                self._generated[i].append(token)
                if logprobs is not None:
                    self._logprobs[i].append(found["logprob"][i])
            is_stop = token in self._stop and not quiet[i]
            self._end(i, stopped=is_stop, by_policy=bool(stops[i]))

    def _end(self, i: int, *, stopped: bool, by_policy: bool) -> None:
        if stopped or by_policy or self._room[i] < 1:
            self.live[i] = False
            self._ended[i] = "stop" if stopped else "policy" if by_policy else "context"

    def fed(self, choice: Choice, captured: Mapping[Site, Tensor]) -> None:
        """Add the position that was fed, and what was read there."""
        mask = self._prompt.mask
        live = torch.tensor(self.live, dtype=torch.bool, device=mask.device)
        latent = torch.zeros_like(live)
        if choice.embeds is not None:
            latent = live if choice.fed is None else live & choice.fed.to(live.device)
        self._columns.append(choice.tokens.to(mask.device).masked_fill(~live, 0)[:, None])
        self._masks.append(live[:, None])
        self._latent.append(latent[:, None])
        self._captured.append(captured)

    def keep_logits(self, logits: Tensor) -> None:
        """Keep the logits a token is chosen from."""
        self._logits.append(logits)

    def trace(self, read: Sequence[Site]) -> Trace:
        """Return everything as a Trace."""
        tokens = Tokens(
            ids=torch.cat(self._columns, dim=1),
            mask=torch.cat(self._masks, dim=1),
            texts=self._prompt.texts,
            offsets=self._prompt.offsets,
        )
        latent = torch.cat(self._latent, dim=1)
        return Trace(
            spec=self._spec,
            tokens=tokens,
            activations={site: self._joined(site, tokens) for site in read},
            logits=torch.stack(self._logits, dim=1) if self._logits else None,
            generated=tuple(map(tuple, self._generated)),
            logprobs=tuple(map(tuple, self._logprobs)),
            ended=tuple(self._ended),
            latent=latent if bool(latent.any()) else None,
            records=tuple(self._records),
            layout=self._layout,
        )

    def _joined(self, site: Site, tokens: Tokens) -> Tensor:
        parts = [captured[site.whole()] for captured in self._captured]
        if site.kind is not Kind.ATTN_PATTERN:
            return select(torch.cat(parts, dim=1), tokens.mask, site)
        keys = parts[-1].shape[-1]
        padded = [torch.nn.functional.pad(x, (0, keys - x.shape[-1])) for x in parts]
        return select(torch.cat(padded, dim=2), tokens.mask, site)


def check_logits(highest: Sequence[float], live: Sequence[bool]) -> None:
    """Refuse a largest logit that is not finite in a row that runs.

    Raises:
        NotFinite: there is one.
    """
    rows = [
        i
        for i, (top, running) in enumerate(zip(highest, live, strict=True))
        if running and not math.isfinite(top)
    ]
    if rows:
        raise NotFinite(
            f"the logits of rows {rows} hold NaN or infinity",
            hint="float16 overflows in some models: try bfloat16 or float32; check the edits",
        )


def _fetched(asked: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Return one number per row of each; ids and logits are exact in float64."""
    device = next(iter(asked.values())).device
    together = torch.stack([x.to(device).double() for x in asked.values()]).tolist()
    return dict(zip(asked, together, strict=True))
