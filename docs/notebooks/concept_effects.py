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
# # Erase a concept, then change it
#
# Sentences of slots, in which the word for the food is copied from that for the staff seven times
# in ten. Whatever the model makes of them, the effect of the food is known: run both sentences.

# %%
import json
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import workbench as wb
from causal.concepts.rows import lexical_rows

rows = list(lexical_rows(60, np.random.default_rng(0)))
path = Path(mkdtemp()) / "sentences.jsonl"
path.write_text("\n".join(map(json.dumps, rows)))
rows[0]["text"], rows[1]["text"]

# %% [markdown]
# ## The true effect, and what explains it
#
# Skill is 1 − L2/L2 of the explainer that says nothing changes. Erasing has no direction: of two
# values it goes half-way, whatever was asked for. A shift goes the whole way, and its size is
# fitted to thirty sentences here.

# %%
from workbench.runs.spec import DataRef, ModelRef, RunSpec

spec = RunSpec(
    name="concept-effect",
    model=ModelRef(name="default"),
    data=DataRef(path=str(path), group="group"),
    options={
        "concept": "food", "controls": ["service"], "layers": "14:30:15",
        "fit": 30, "pairs": 10, "draws": 4,
    },
)
run = wb.execute(spec)
print(run.result.summary)

# %%
errors = run.result.tables["errors"].frame
errors[["explainer", "layer", "skill", "skill_low", "skill_high", "l2"]].round(3)

# %% [markdown]
# ## Erased, does a probe still find it?

# %%
erasure = RunSpec(
    name="concept-erasure",
    model=ModelRef(name="default"),
    data=DataRef(path=str(path), label="food", group="group"),
    options={"controls": ["service"], "layers": "14:30:15", "draws": 2, "shuffles": 4},
)
found = wb.execute(erasure).result
for estimate in found.estimates:
    print(estimate)
