"""The one generation loop: look at the last logits, choose, feed, until every row has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadOption, BadSite
from workbench.model.apart_stepping import ApartStepper
from workbench.model.edits import Edit
from workbench.model.masks import Layout
from workbench.model.own_loop import AnyPolicy, OwnLoop, check_rows, row_texts, write_rows
from workbench.model.policy import Choice, Chooser, Host, RunsOtherwise, Step
from workbench.model.prefix import Prefix
from workbench.model.row_states import newest
from workbench.model.sites import Site
from workbench.model.stepping import Stepper
from workbench.model.trace import Trace
from workbench.model.transcript import Transcript, check_logits
from workbench.progress import Progress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class GenerationOptions:
    """The rarer settings of a generation.

    - `seeds`: one per row, or one number from which every row gets its own.
    - `generators`: one per row, instead of seeds.
    - `stop_ids`: token ids that end a row; None is the model's own end tokens, () is none.
    - `embeds`: vectors that replace the prompt's token embeddings, in its layout.
    - `layout`: who sees whom in the prompt; what is generated sees all of it and follows its last
      position.
    - `keep_logits`: keep the logits that every generated token was chosen from.
    - `keep_logprobs`: keep each generated token's log-probability under the model, in nats.
    """

    seeds: int | Sequence[int] = 0
    generators: Sequence[torch.Generator] | None = None
    stop_ids: Sequence[int] | None = None
    embeds: Float[Tensor, "batch pos d_model"] | None = None
    layout: Layout | None = None
    keep_logits: bool = False
    keep_logprobs: bool = False
    progress: Progress = silent


DEFAULTS = GenerationOptions()


def row_generators(
    seeds: int | Sequence[int], n: int, device: str | torch.device = "cpu"
) -> tuple[torch.Generator, ...]:
    """Return one generator per row; row i depends on its own seed only.

    One number s gives row i the seed sequence (s, i), so that neither the number of rows nor
    their company changes what a row draws.

    Raises:
        BadOption: there are not as many seeds as rows, or one is negative.
    """
    given = [seeds] if isinstance(seeds, int) else list(seeds)
    if min(given, default=0) < 0:
        raise BadOption(f"seeds are {given}; expected numbers that are not negative")
    if isinstance(seeds, int):
        sequences = (np.random.SeedSequence((seeds, i)) for i in range(n))
        given = [int(sequence.generate_state(1, np.uint64)[0] >> 1) for sequence in sequences]
    if len(given) != n:
        raise BadOption(f"{len(given)} seeds for {n} rows; expected one per row, or one number")
    return tuple(torch.Generator(device=device).manual_seed(seed) for seed in given)


def continue_prefix(
    model: Host,
    prefix: Prefix,
    *,
    policy: AnyPolicy,
    limit: int,
    edits: Sequence[Edit] = (),
    options: GenerationOptions = DEFAULTS,
) -> Trace:
    """Generate at most `limit` tokens per row after a prefix, recording what it recorded.

    Edits act at the steps they name; those of step 0 belong to the prefix. A row ends with a
    stop token, when the policy says so, at the limit, or when the model's context is full.

    Raises:
        BadOption: the limit, the seeds or the generators do not fit.
        BadSite: the policy reads a site that the prefix has not recorded.
        NotFinite: the model returned NaN.
    """
    if isinstance(policy, OwnLoop):
        if policy.plain is None:
            return _row_by_row(model, prefix, policy, limit, edits, options)
        policy = policy.plain
    model = policy.host(model) if isinstance(policy, RunsOtherwise) else model
    generators = _generators(options, prefix)
    wanted = _recorded(policy.sites(model.spec), prefix)
    stepper = _stepper(model, prefix, edits, limit)
    transcript = Transcript(prefix, model.spec, stop_ids=options.stop_ids or ())
    chooser = policy.begin(prefix.tokens, model)
    for index in range(limit):
        step = Step(
            index=index,
            logits=stepper.logits,
            captured={site: _at(site, stepper.captured) for site in wanted},
            history=transcript.history,
            live=tuple(transcript.live),
            generators=generators,
            look=stepper.look,
        )
        choice = _chosen(chooser, step)
        if options.keep_logits:
            transcript.keep_logits(step.logits)
        logprobs = _logprobs(step, choice) if options.keep_logprobs else None
        transcript.take(choice, step.logits.amax(dim=-1), logprobs)
        options.progress(index + 1, limit, "tokens")
        if index + 1 == limit or not any(transcript.live):
            break
        stepper.feed(choice, transcript.live)
        transcript.fed(choice, stepper.captured)
    return transcript.trace(prefix.read)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise BadOption(f"limit is {limit}; expected at least one token")


def _row_by_row(
    model: Host,
    prefix: Prefix,
    policy: OwnLoop,
    limit: int,
    edits: Sequence[Edit],
    options: GenerationOptions,
) -> Trace:
    _check_limit(limit)
    check_rows(policy, prefix, edits)
    texts = row_texts(model, prefix, limit=limit, stop_ids=options.stop_ids or ())
    generators = _generators(options, prefix)
    return write_rows(model, prefix, policy, texts, generators, options.progress)


def stepper_after(model: Host, prefix: Prefix) -> Stepper | ApartStepper:
    """Return what feeds another model the tokens that a policy chooses, one after the other."""
    more = model.spec.max_positions - max(prefix.tokens.lengths)
    return _stepper(model, prefix, (), more)


def _stepper(
    model: Host, prefix: Prefix, edits: Sequence[Edit], limit: int
) -> Stepper | ApartStepper:
    _check_limit(limit)
    plan = model.row_plan(prefix.tokens, more=limit)
    if plan.together and plan.keeps and prefix.cache is not None:
        return Stepper(model, prefix, edits)
    return ApartStepper(model, prefix.apart(), edits, keeps=plan.keeps)


def _generators(options: GenerationOptions, prefix: Prefix) -> tuple[torch.Generator, ...]:
    n = len(prefix.tokens.ids)
    if options.generators is None:
        return row_generators(options.seeds, n, prefix.logits.device)
    if len(options.generators) != n:
        raise BadOption(f"{len(options.generators)} generators for {n} rows; expected one per row")
    return tuple(options.generators)


def _recorded(wanted: Sequence[Site], prefix: Prefix) -> Sequence[Site]:
    for site in wanted:
        if site.positions not in (None, (-1,)):
            raise BadSite(
                f"the policy reads {site}; while generating there is the whole prompt, then the "
                f"newest position: expected {site.whole()} or {site.whole()}[-1]"
            )
        if site.whole() not in prefix.captured:
            raise BadSite(
                f"the policy reads {site}, which the prefix has not recorded",
                hint="model.prefill(texts, read=policy.sites(model.spec))",
            )
    return wanted


def _at(site: Site, captured: Mapping[Site, Tensor]) -> Tensor:
    x = captured[site.whole()]
    return x if site.positions is None else newest(site, x)


def _chosen(chooser: Chooser, step: Step) -> Choice:
    """Return the choice; logits that are not finite are named before what they led to."""
    try:
        return chooser.choose(step)
    except Exception:
        check_logits(step.logits.amax(dim=-1).tolist(), step.live)
        raise


def _logprobs(step: Step, choice: Choice) -> Float[Tensor, " batch"]:
    chosen = choice.tokens.to(step.logits.device)[:, None]
    logits = step.logits.float()
    return logits.gather(1, chosen)[:, 0] - logits.logsumexp(dim=1)
