# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does the model hold at a full stop?
#
# The state after the last token of a sentence has read the whole sentence. A linear readout, trained
# on texts that are not shown here, gives every word of its vocabulary a probability from that one
# state. If the word stands in the sentence, the state held it.

# %%
import workbench as wb

text = (
    "A bird flew into the tree. The children watched it from the kitchen window. "
    "Nobody spoke for a long time."
)
found = wb.grid(text, probes=["sentence-words"])
found.draw_map("sentence-words confidence", words="sentence-words said")

# %% [markdown]
# A row is a layer, a column a token; only the ends of sentences say something. A cell names the words
# that are more likely than not to stand in the sentence, or nothing. The colour is the calibrated
# probability of the first one.
#
# Which words of the sentence does its end tell? The gain is log p(word | state) − log p(word).

# %%
found.draw_strip("sentence-words gain")

# %% [markdown]
# ## How many nats does the state save?
#
# A decoder, the model itself with an adapter, was trained to write sentences from such states and
# from none. What a state saves of a word is how much likelier the word becomes when the decoder is
# given the state: −log p(word | no state) + log p(word | state). Below zero the state misleads.

# %%
found.draw_map("sentence-words word_saved", words="sentence-words written")

# %% [markdown]
# The cell at the full stop holds the sentence that the decoder writes. It is fluent whatever the state
# holds, and stands behind `unsure:` where the readout of words does not agree with it.
#
# ## Is that true?
#
# One text proves nothing. Sixty-four shipped prompts and their controls: the state of another
# sentence, and the most frequent word, which needs no state.

# %%
prompts = wb.DataRef(path="shipped:prompts.jsonl")
words = {"information": "none"}  # nats of so many sentences take a minute
run = wb.execute(wb.RunSpec(name="sentence-words", data=prompts, options=words))
run.result.summary

# %%
for estimate in run.result.estimates:
    print(estimate)

# %%
wb.draw(run.result)

# %% [markdown]
# ## And in German?
#
# The lens was trained on English. What it says of other texts must be believed only as far as its
# verdict goes.

# %%
german = wb.DataRef(
    texts=(
        "Der Hund schläft im Garten. Die Kinder gehen heute nicht zur Schule.",
        "Ich habe gestern einen Brief geschrieben. Er liegt noch auf dem Tisch.",
        "Wann fährt der nächste Zug? Wir müssen vor acht Uhr zu Hause sein.",  # codespell:ignore
        "Das Wetter ist schlecht. Es regnet seit Montag ohne Pause.",  # codespell:ignore
        "Sie kauft Brot und Käse. Danach trinkt sie einen Kaffee am Fluss.",  # codespell:ignore
        "Mein Bruder arbeitet in einer Fabrik. Er kommt erst spät am Abend zurück.",
    )
)
other = wb.execute(wb.RunSpec(name="sentence-words", data=german))
print(other.result.summary)
for note in other.result.notes:
    print("-", note.text)
