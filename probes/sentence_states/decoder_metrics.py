"""What `sentence-words` tells in addition where a decoder is known."""

from workbench.result.metric import Metric, Plot, number, share
from workbench.result.tables import Column

_AT, _BOTH = ("position",), ("layer", "position")


def at_ends(metric: Metric) -> Metric:
    """Return a metric over the positions of a text with an estimate of its own."""
    return Metric(unit=metric.unit, help=metric.help, axes=_AT, bounds=metric.bounds)


METRICS = {
    "information_saved": at_ends(number("nats", "Saved of a sentence, at the best layer.")),
    "content_words_saved": at_ends(share("Content words with nats saved, at the best layer.")),
    "bare_nats": at_ends(number("nats", "The sentence without a state, −log p.")),
    "written_f1": at_ends(share("Words that a written sentence has in common with it.", unit="F1")),
    "trusted": at_ends(share("Written sentences that the readout of words agrees with.")),
    "wrong_trusted": at_ends(share("Sentences trusted though their F1 is below one half.")),
    "saved": number("nats", "Saved of a sentence by its state.", *_BOTH),
    "next_saved": number(
        "nats", "Told of the next sentence beyond an earlier state, over a later sentence.", *_BOTH
    ),
    "content_saved": share("Content words with nats saved.", *_BOTH),
    "word_saved": number("nats", "Saved of this word by the state at the end.", *_BOTH),
}
WORDS = {
    "written": Column(help="Likeliest sentence given the state; `unsure` where not trusted."),
}
PLOTS = (
    Plot(title="Nats of a sentence that its end saves", metrics=("saved",)),
    Plot(title="Nats of words that the end saves", metrics=("word_saved",), axes=_BOTH),
)
