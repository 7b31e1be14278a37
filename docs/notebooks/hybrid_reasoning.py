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
# # Inside a chain of mixtures
#
# `hybrid-sums` ships with the package: a network of 0.86 million weights that writes sums digit by
# digit, and the gate it was trained with. While it thinks, each token is fed back with a share of
# what else might have been said; after `####` tokens are fed as they are.

# %%
import workbench as wb

model = wb.load_model("hybrid-sums")
run = wb.execute(
    wb.RunSpec(name="hybrid-trace", options={"tokens": 40}, data=wb.DataRef(texts=("25+5+18=",))),
    model=model,
)
print(run.result.summary)

# %%
run

# %% [markdown]
# ## Each token
#
# `p` is the token's probability, `disagreement` what is left, `mean_ratio` how open the gate is,
# `norm_share` how much of the length fed is not the token. `kl` compares the distribution with
# that of the same tokens fed as tokens; `kl_control` does so for random directions as far away.

# %%
steps = run.result.tables["steps"].frame
steps[["token", "latent", "p", "entropy", "mean_ratio", "norm_share", "kl", "kl_control"]]

# %% [markdown]
# The network is in doubt about one digit, and there the mixture carries another one.

# %%
mixtures = run.result.tables["mixtures"].frame
doubt = int(steps["disagreement"].idxmax())
mixtures[mixtures["step"] == doubt]

# %% [markdown]
# ## One thing changed
#
# Every row is the chain written again from the prompt. `closed` shuts the gate, which is the same
# network writing in tokens only.

# %%
changes = run.result.tables["interventions"].frame
changes[["intervention", "differs", "first_change", "response"]]

# %% [markdown]
# ## A right answer is no evidence
#
# One chain that changes is not a gate that helps. The gate's manifest keeps what was measured:
# 256 problems, three seeds, and the arms it has to beat.

# %%
import json

from workbench.latent.trained import open_hybrid

scores = open_hybrid(model).manifest.scores
print(json.dumps(scores["hrpo - grpo"], indent=1))
print(scores["verdict"])

# %%
arms = ("grpo", "hrpo", "hrpo-no-decay", "decay-only")
{arm: scores[arm]["accuracy by seed"] for arm in arms}

# %% [markdown]
# ## Without training
#
# Soft thinking needs no gate: it feeds the weighted mean of the likeliest tokens. This network was
# not trained for it.

# %%
spec = wb.RunSpec(
    name="hybrid-trace",
    options={"method": "soft-thinking", "tokens": 40, "interventions": "tokens,answer-now"},
    data=wb.DataRef(texts=("25+5+18=", "30+28+19=", "17+4+29=")),
)
run = wb.execute(spec, model=model)
print(run.result.summary)
run.result.tables["chains"].frame

# %%
run.result.tables["interventions"].frame[["text", "intervention", "differs", "response"]]
