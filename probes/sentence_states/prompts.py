"""What a model is asked in order to write texts of its own, by kind and topic."""

from collections.abc import Iterator

import numpy as np

_ASKED = (
    "Write five short everyday sentences about {topic}.",
    "Tell a very short story about {name} and {topic}.",
    "Write a short dialogue between {name} and {other} about {topic}.",
    "Write a short news report about {topic}.",
    "Write a paragraph of an encyclopedia about {topic}.",
    "Make up a word problem with numbers about {topic} and solve it step by step.",
    "Ask six different short questions about {topic}.",
    "Explain {topic} to a child in simple words.",
    "Write a short letter from {name} about {topic}.",
    "Write a diary entry of {name} about {topic}.",
    "Give some short advice on {topic}.",
    "Describe what {name} and {other} do with {topic}.",
    "Write some sentences about {topic} that begin with I, you, he, she, we and they.",
    "Write down a few facts about the history of {topic}.",
)
_OPENINGS = (
    "Here is a short story about {topic}.\n\n",
    "{name} asked {other} about {topic}.",
    "The news today is about {topic}.",
    "An article on {topic}:\n\n",
    "I want to tell you about {topic}.",
    "Question: what do we know about {topic}?\nAnswer:",
    "",
)
_TOPICS = tuple("""
the weather; breakfast; a dog; a cat; a birthday party; school; homework; a doctor; a journey;
a bicycle; football; the kitchen; cooking soup; apples; money; shopping; a job interview; offices;
a lost key; a phone call; the police; a river; the sea; mountains; a forest; birds; horses; fish;
flowers; a garden; snow; rain; the moon; the sun; stars; a ship; an airplane; a car accident;
a hospital; sleeping; dreams; music; a piano; singing; a film; television; books; a library;
newspapers; painting; a museum; a church; a wedding; children; a baby; parents; grandparents;
brothers and sisters; friendship; love; anger; fear; a secret; a lie; a promise; a mistake; luck;
time; a clock; the year 1900; a war; soldiers; a king; a queen; an election; the government; taxes;
laws; a court; prison; a thief; fire; an earthquake; a storm; electricity; computers; the internet;
a robot; a machine; science; chemistry; the human heart; blood; teeth; hair; hands; eyes; a cold;
medicine; sports; swimming; running; chess; cards; toys; a doll; clothes; shoes; a hat; a window;
a door; a table; a chair; a house; a bridge; a road; a city; a village; a farm; cows; sheep; wheat;
bread; cheese; coffee; tea; wine; water; ice; salt; sugar; chocolate; oil; gold; stone; wood; paper;
a pencil; a letter; languages; grammar; mathematics; counting; a bank; a hotel; a restaurant;
a beach; holidays; camping; winter; spring; summer; autumn; morning; night; neighbours; a stranger;
a teacher; students; a scientist; an actor; a farmer; a driver; a cook; a writer; the president;
Japan; France; Germany; India; Africa; America; London; Paris; New York; Boston; history; art;
religion; health; food; work; travel; games; a company; an old tree; the wind; colours; noise;
smoking; drinking; diets; patience; freedom; truth; death; growing old; moving house; cleaning;
a broken machine; repairs; a bus stop; a ticket; a map; a camera; a photograph; a joke; the future
""".replace("\n", " ").split(";"))  # fmt: skip
_WRITTEN_NAMES = """
Anna Ben Clara David Emma Felix Grace Henry Ivy Jack Kate Leo Maria Noah Olivia Paul Rosa Sam Tina
Victor Wendy Ahmed Bella Carlos Diana Elena Frank Gloria Hugo Irene James Karen Lucas Mia Nina
Oscar Peter Rachel Simon Tom Mary John Alice Bob Ken Yuki Mark Laura Robert Susan Michael Sarah
"""
_NAMES = tuple(_WRITTEN_NAMES.split())


def requests(n: int, draw: np.random.Generator, *, is_chat: bool) -> Iterator[tuple[str, bool]]:
    """Yield what to ask, and whether it is asked in a chat rather than to be continued."""
    for _ in range(n):
        in_chat = is_chat and draw.random() < 0.8
        kinds = _ASKED if in_chat else _OPENINGS
        name, other = draw.choice(_NAMES, size=2, replace=False)
        kind = kinds[int(draw.integers(len(kinds)))]
        topic = _TOPICS[int(draw.integers(len(_TOPICS)))].strip()
        yield kind.format(topic=topic, name=name, other=other), in_chat
