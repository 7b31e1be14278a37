"""The thinking policy inside transformers' own `generate`, through its `custom_generate` door."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.errors import Unsupported
from workbench.latent.thinking import NORM, LatentThinking
from workbench.model.caches import new_cache
from workbench.model.generation import row_generators
from workbench.model.model import Model
from workbench.model.policy import Choice, Lookahead, Step
from workbench.model.tokens import Tokens


class LatentGenerate:
    """A callable for `module.generate(..., custom_generate=LatentGenerate(model, policy))`.

    `model` is the transformers model wrapped with its tokenizer (`wrap_model`), `policy` how it
    thinks. Mask, cache, logits processors and stopping criteria are those that `generate`
    prepared; how tokens are drawn is the policy's own business, so leave `do_sample` off. Row i
    draws from its own generator, as in `Model.generate`. After a call `records` holds what the
    policy recorded.
    """

    def __init__(self, model: Model, policy: LatentThinking, *, seed: int = 0) -> None:
        """Keep what a call needs."""
        self.model, self.policy, self.seed = model, policy, seed
        self.records: list[Any] = []

    @torch.no_grad()
    def __call__(
        self,
        module: Any,
        input_ids: Int[Tensor, "batch pos"],
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **prepared: Any,
    ) -> Int[Tensor, "batch seen"]:
        """Generate and return the prompt with what follows, as `generate` does."""
        mask = prepared.get("attention_mask")
        mask = torch.ones_like(input_ids) if mask is None else mask.long()
        thinker = self.policy.begin(Tokens(ids=input_ids, mask=mask.bool()), self.model)
        feed = _Feed(module, prepared.get("past_key_values"), mask, self.policy)
        logits, captured = feed(input_ids, None)
        generators = row_generators(self.seed, len(input_ids), input_ids.device)
        live, index = [True] * len(input_ids), 0
        self.records = []
        while any(live):
            step = Step(
                index=index,
                logits=logits_processor(input_ids, logits.float()),
                captured=captured,
                history=(),  # no latent input looks at it
                live=tuple(live),
                generators=generators,
                look=_no_lookahead,
            )
            choice = thinker.choose(step)
            self.records.append(choice.record)
            tokens = _padded(choice.tokens, live, generation_config)
            input_ids = torch.cat([input_ids, tokens[:, None]], dim=1)
            done = stopping_criteria(input_ids, None).tolist()
            live = [was and not ends for was, ends in zip(live, done, strict=True)]
            if any(live):
                logits, captured = feed(tokens[:, None], choice)
            index += 1
        return input_ids


class _Feed:
    """Runs the module with the mask and positions of every row."""

    def __init__(self, module: Any, cache: Any, mask: Tensor, policy: LatentThinking) -> None:
        self._module, self._policy = module, policy
        self._cache = new_cache(module) if cache is None else cache
        self._mask = mask

    def __call__(self, ids: Tensor, choice: Choice | None) -> tuple[Tensor, dict[Any, Tensor]]:
        embed = self._module.get_input_embeddings()
        vectors = embed(ids)
        if choice is not None:
            self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=1)
            if choice.embeds is not None:
                fed = torch.ones_like(ids, dtype=torch.bool)[:, 0]
                fed = fed if choice.fed is None else choice.fed
                latent = choice.embeds.to(vectors)[:, None]
                vectors = torch.where(fed[:, None, None], latent, vectors)
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = self._module(
            inputs_embeds=vectors,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            output_hidden_states=self._policy.inputs.needs_hidden,
        )
        captured = {}
        if self._policy.inputs.needs_hidden:
            # The last entry of transformers' hidden states is taken after the final norm.
            captured[NORM] = out.hidden_states[-1][:, -1:]
        return out.logits[:, -1], captured


def _padded(tokens: Tensor, live: list[bool], generation_config: Any) -> Tensor:
    pad: Any = getattr(generation_config, "_pad_token_tensor", None)
    pad = 0 if pad is None else int(pad)
    return tokens.masked_fill(~torch.tensor(live, device=tokens.device), pad)


def _no_lookahead(candidates: Int[Tensor, "batch k"]) -> Lookahead:
    raise Unsupported("latent inputs look at no candidates", hint="use Model.generate")
