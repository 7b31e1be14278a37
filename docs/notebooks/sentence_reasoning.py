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
# # Thinking in sentences
#
# `blocksworld-sentences` ships with the package: a network of four layers that plans moves of four
# blocks, and a latent model that predicts each sentence of a plan as one vector
# (arXiv:2505.22202). Its answer is the number of moves.

# %%
import workbench as wb

model = wb.load_model("blocksworld-sentences")
task = "blocksworld?blocks=4&brief=yes&part=test"


def solve(reasoner, limit=100, **options):
    spec = wb.RunSpec(
        kind="reasoner", name=reasoner, options=options, data=wb.DataRef(task=task, limit=limit)
    )
    return wb.execute(spec, model=model).result


written, latent = solve("cot"), solve("sentence-continuous")
print(written.summary)
print(latent.summary)

# %% [markdown]
# ## A chain
#
# `text` is what the decoder writes from each vector. In a continuous chain it is only shown: the
# next step is fed the vector. `stop` is the probability that the chain ends here.

# %%
steps = latent.tables["steps"].frame
first = steps[steps["problem"] == steps["problem"].iloc[0]]
first[["step", "text", "logprob", "stop", "fed"]]

# %% [markdown]
# ## What is in a vector
#
# The lens reads every block at every step. Each cell comes with a random vector of the same length
# and with the state of another step; where those say as much, a fluent sentence says nothing.

# %%
import numpy as np

from workbench.sampling.task import open_task

generator = np.random.default_rng(0)
questions = tuple(p.question for p in open_task(task).problems(32, generator))
lens = wb.execute(
    wb.RunSpec(
        name="sentence-lens", options={"every": 1, "step": 2}, data=wb.DataRef(texts=questions)
    ),
    model=model,
)
lens

# %%
layers = lens.result.tables["layers"].frame
layers[["way", "layer", "exact", "exact_random", "exact_swapped", "faithfulness"]].round(2)

# %% [markdown]
# ## One step changed
#
# The vector of step 2 is moved until the decoder writes the sentence of another chain, and, as the
# control, as far in a random direction. A chain that only passed on the sentence would follow the
# first every time.

# %%
for estimate in lens.result.estimates:
    if estimate.name.startswith("answer"):
        print(estimate)

# %%
changed = lens.result.tables["interventions"].frame
forced = changed[(changed["intervention"] == "another sentence") & (changed["problem"] == 0)]
forced[["step", "before", "after", "cosine"]]

# %%
lens.result.tables["propagation"].frame.round(2)

# %% [markdown]
# ## Ordinary text
#
# The same lens on a model that was never taught to think in sentences: SmolLM2-135M-Instruct over
# solutions of GSM8K, through the codec that ships for it. States mean little to its decoder as they
# are; after a map fitted on the other texts they say part of their sentence, more than the state
# of another sentence does.

# %%
plain = wb.execute(
    wb.RunSpec(
        name="sentence-lens",
        options={
            "of": "written", "sentences": 6, "every": 15, "limit": 24, "controls": 2,
            "normed": False,
        },
        data=wb.DataRef(path="shipped:gsm8k_sample.jsonl", field="answer"),
    )
)
plain

# %%
layers = plain.result.tables["layers"].frame
layers[["way", "layer", "overlap", "overlap_random", "overlap_swapped", "faithfulness"]].round(2)
