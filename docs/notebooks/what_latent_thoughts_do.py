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
# # What do latent thoughts do?
#
# Small networks from nothing learned the same tasks in nine ways of reasoning, from one writer of
# chains and with one budget. The records of every problem ship with the package; the tables below
# are made from them here. `workbench bench reasoners` makes the records from nothing, see
# [Compare ways of reasoning](../howto/compare-reasoners.md).

# %%
import pandas as pd

import workbench as wb
from workbench.runs.bench.reasoner_records import shipped_records
from workbench.runs.bench.reasoner_report import reasoner_report
from workbench.runs.bench.reasoners import ReasonerBench

bench = ReasonerBench()
found = reasoner_report(bench, shipped_records(bench))
print(f"{found['cells_filled']} of {found['cells_asked']} cells are filled")

# %% [markdown]
# ## Accuracy and operations
#
# The interval resamples problems and seeds, each by itself. `as trained` are unseen problems like
# those of the training; the other rows are deeper ones or have links that no training has seen.

# %%
accuracy = pd.DataFrame(found["accuracy"])
told = ["task", "row", "arm", "accuracy", "low", "high", "seeds", "operations", "positions"]
accuracy[told].round(3)

# %% [markdown]
# ## Differences
#
# On the same problems and seeds, against answers alone and against chains in words; `p_holm` is
# corrected for all rows of the table.

# %%
pd.DataFrame(found["paired"]).round(3)

# %% [markdown]
# ## Thoughts replaced
#
# By nought, by a random direction of the same length, by the thoughts of another problem, and in
# another order. An arm that answers as well without its thoughts does not use them; `changed` is
# the share of problems whose written answer became another one.

# %%
pd.DataFrame(found["replaced"]).round(3)

# %% [markdown]
# ## One sentence on every arm

# %%
for sentence in found["sentences"]:
    print(f"{sentence['arm']}: {sentence['shows']}\n")

# %% [markdown]
# ## One problem, step by step
#
# The networks of seed 0 on the sums ship too. `chained-sums` is where every arm began, and
# the model that the thoughts belong to; `chained-sums-chains` went on with chains in words.

# %%
task = "chained-sums?largest=9&terms=yes&least=3&most=3&part=test"


def solve(reasoner, model, **options):
    spec = wb.RunSpec(
        kind="reasoner", name=reasoner, options=options, data=wb.DataRef(task=task, limit=40)
    )
    return wb.execute(spec, model=wb.load_model(model)).result


words = solve("cot", "chained-sums-chains")
thoughts = solve("coconut", "chained-sums")
for result in (words, thoughts):
    steps = result.tables["steps"].frame
    print(steps[steps["problem"] == steps["problem"].iloc[0]][["step", "kind", "text"]], "\n")

# %% [markdown]
# The same thoughts replaced, on forty problems of three terms. A single seed: the table above
# says what holds.

# %%
for fed in ("state", "zero", "noise", "other", "shuffled"):
    print(f"{fed:9}", solve("coconut", "chained-sums", fed=fed).estimates[0])
