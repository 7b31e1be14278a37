"""Reasoning in sentence vectors, step by step, for a batch of problems."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reasoning.sentences.grounding import Grounding
from reasoning.sentences.prediction_objective import disturbed
from reasoning.sentences.row import Row
from workbench.errors import Unsupported
from workbench.latent.replaced import in_place_of
from workbench.model.policy import Sampling
from workbench.result.chain import Chain, Ended
from workbench.sampling.flops import flat_cost, matrix_operations
from workbench.training.sentence_model import SentenceModel
from workbench.training.writing import Drawing

FedVector = Literal["own", "zero", "noise", "other", "shuffled"]
_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Unrolling:
    """How far, and what is fed on.

    Every `ground_every`-th vector is decoded and what was written is encoded again (0: never,
    1: always); the others are fed back as they are. `decode` says which sentences are written:
    the answer, the others as well to be looked at (not counted, not part of the response), or
    all as part of the response. `noise` is a noise-to-signal ratio of what is fed on. `fed`
    replaces vectors that are fed back as they are; `shuffled` feeds the next of the vectors
    `given`, row by row, which are those of a chain before.
    """

    limit: int = 24
    stop: Literal["head", "oracle", "limit"] = "head"
    threshold: float = 0.5
    ground_every: int = 0
    decode: Literal["answer", "shown", "all"] = "shown"
    noise: float = 0.0
    tokens: int = 50
    temperature: float = 0.0
    fed: FedVector = "own"
    given: Sequence[Float[np.ndarray, "step d_model"]] = ()


class Unroller:
    """Drives the latent model of one checkpoint over a batch, with caches throughout."""

    def __init__(self, trained: SentenceModel, how: Unrolling) -> None:
        """Check that the checkpoint can do what is asked.

        Raises:
            Unsupported: the oracle is asked for, and answers begin like other sentences.
        """
        self._trained, self._how = trained, how
        self._others: dict[int, Float[Tensor, " d_model"]] = {}
        if how.stop == "oracle" and not trained.answer_ids:
            raise Unsupported(
                "answers of this checkpoint begin like other sentences, so no oracle sees them",
                hint="stop=head",
            )
        heads = trained.latent.heads
        self._p_in, self._p_out, self._stop = (
            flat_cost(matrix_operations(part)) for part in (heads.p_in, heads.p_out, heads.stop)
        )

    @torch.no_grad()
    def __call__(self, questions: Sequence[str], seeds: Sequence[int]) -> list[Chain]:
        """Return one chain per question."""
        latent, lines = self._trained.latent, self._trained.codec.lines
        rows = [
            Row(question=lines.question(question), seed=seed)
            for question, seed in zip(questions, seeds, strict=True)
        ]
        run, found = latent.start([row.question for row in rows])
        grounding = Grounding(self._trained.codec, self._trained.codec_size)
        for row in rows:
            row.count("prefill", self._trained.latent_size.run(len(row.question)))
        live, places = rows, list(range(len(rows)))
        for number in range(1, self._how.limit + 1):
            kept = self._judge(live, found)
            if not kept or number == self._how.limit:
                break
            others = self._replaced(found, places, number)[kept]
            live, found = [live[i] for i in kept], found[kept]
            places = [places[i] for i in kept]
            run.keep(kept)
            grounding.keep(kept)
            fed = self._next(live, others, grounding, number)
            for row in live:
                before = len(row.question) + number - 1
                row.count("reasoning", self._trained.latent_size.run(1, before=before))
            found = run.append(fed[:, None])
        for row in rows:
            row.is_asked_length = self._how.stop == "limit"
        self._write_rest(rows)
        return [row.chain() for row in rows]

    def _judge(self, live: Sequence[Row], found: Float[Tensor, "batch d_model"]) -> list[int]:
        """Record the new vectors, end the rows that are to stop, and return the others."""
        stops = self._trained.latent.heads.stop_logit(found).sigmoid().tolist()
        for row, vector, stop in zip(live, found, stops, strict=True):
            row.add(vector, stop)
        word: Ended = "oracle" if self._how.stop == "oracle" else "head"
        if self._how.stop == "head":
            ended = [stop >= self._how.threshold for stop in stops]
        elif self._how.stop == "oracle":
            ended = self._answers(found)
        else:
            ended = [False] * len(live)
        for row, is_last in zip(live, ended, strict=True):
            self._count_stopping(row)
            if is_last:
                row.ended = word
        return [i for i, is_last in enumerate(ended) if not is_last]

    def _answers(self, found: Float[Tensor, "batch d_model"]) -> list[bool]:
        first = self._trained.codec.decode(self._trained.latent.heads.p_out(found), limit=1)
        return [one.ids[0] in self._trained.answer_ids for one in first]

    def _count_stopping(self, row: Row) -> None:
        if self._how.stop == "head":
            row.count("stopping", self._stop)
        elif self._how.stop == "oracle":
            row.count("stopping", self._p_out + self._trained.codec_size.run(1, heads=1))

    def _next(
        self,
        live: Sequence[Row],
        found: Float[Tensor, "batch d_model"],
        grounding: Grounding,
        number: int,
    ) -> Float[Tensor, "batch d_model"]:
        """Return what the latent model is fed after step `number`."""
        heads = self._trained.latent.heads
        every = self._how.ground_every
        if every and number % every == 0:
            self._write(live, counted=True)
            encoded = self._noisy(live, grounding.encode(live), number)
            for row in live:
                row.feed("text")
                row.count("reasoning", self._p_in)
            return heads.shared(heads.p_in(encoded.to(found.dtype)))
        for row in live:
            row.feed("vector")
        return heads.shared(self._noisy(live, found, number))

    def _replaced(
        self, found: Float[Tensor, "batch d_model"], places: Sequence[int], number: int
    ) -> Float[Tensor, "batch d_model"]:
        """Return the vectors of a step, replaced where that is asked for."""
        how = self._how
        if how.fed == "other" and len(found) == 1 and number > 1:
            # The only row that is left goes on with the last vector it had of another.
            return self._others[places[0]][None]
        if how.fed != "shuffled":
            replaced = in_place_of(found, how.fed, number)
            self._others = dict(zip(places, replaced, strict=True))
            return replaced
        shuffled = found.clone()
        for i, place in enumerate(places):
            # The last vector is the answer's, which is never fed.
            own = how.given[place][:-1]
            if number <= len(own):
                shuffled[i] = torch.from_numpy(own[number % len(own)]).to(found)
        return shuffled

    def _noisy(
        self, live: Sequence[Row], vectors: Float[Tensor, "batch d_model"], number: int
    ) -> Float[Tensor, "batch d_model"]:
        if self._how.noise == 0:
            return vectors
        each = [
            disturbed(vector[None], self._how.noise, row.generator(number, "noise"))
            for row, vector in zip(live, vectors, strict=True)
        ]
        return torch.cat(each)

    def _write_rest(self, rows: Sequence[Row]) -> None:
        if self._how.decode == "all":
            self._write(rows, counted=True)
        self._write(rows, counted=True, last_only=True)
        if self._how.decode == "shown":
            self._write(rows, counted=False)

    def _write(self, rows: Sequence[Row], *, counted: bool, last_only: bool = False) -> None:
        """Decode the vectors of those rows that have not been decoded yet."""
        todo = [(row, at) for row in rows for at in row.silent(last_only=last_only)]
        codec, p_out = self._trained.codec, self._trained.latent.heads.p_out
        for start in range(0, len(todo), _AT_ONCE):
            some = todo[start : start + _AT_ONCE]
            vectors = torch.stack([row.vectors[at] for row, at in some])
            drawing = Drawing(
                policy=Sampling(temperature=self._how.temperature),
                generators=[row.generator(at, "words") for row, at in some],
            )
            found = codec.decode(p_out(vectors), limit=self._how.tokens, drawing=drawing)
            for (row, at), decoded in zip(some, found, strict=True):
                row.say(at, decoded, counted=counted)
                if counted:
                    size, n = self._trained.codec_size, len(decoded.ids)
                    cost = self._p_out + size.run(1, heads=1) + size.write(n - 1, before=1)
                    row.count("decoding", cost, step=at)
