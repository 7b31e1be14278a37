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
# # Patch, attribute, steer
#
# Three interventions on the embedded model. Few pairs and layers, so that this page runs in a
# minute; the how-to has all of them.

# %%
import workbench as wb
from workbench.runs.spec import DataRef
from workbench.runs.stored_edits import stored_edits

model = wb.load_model("default")

# %% [markdown]
# ## Patch
#
# "After Paul and Alice had swept the workshop, Alice handed the broom to" asks for Paul. In the
# corrupted text Paul hands it over. Which activation of the clean run, put into the corrupted one,
# brings Paul back?

# %%
pairs = DataRef(path="shipped:indirect_object.jsonl", limit=4)
patch = wb.execute(
    wb.RunSpec(name="patching", data=pairs, options={"layers": "17::4"}), model=model
).result
patch.summary

# %%
places = patch.table("places").frame
columns = ["layer", "place", "effect", "effect_low", "effect_high", "effect_unrelated"]
places[places["place"].isin(["s2", "end"])][[*columns, "effect_same"]]

# %%
wb.draw(patch)

# %% [markdown]
# A patch from the same text changes nothing, to the last bit: `effect_same` is 0.
#
# ## Attribute
#
# With the scale of the final norm held, the logit of the token that follows is a sum of parts.

# %%
text = DataRef(texts=("The capital of France is Paris, and that of Germany is Berlin.",))
direct = wb.execute(wb.RunSpec(name="direct-attribution", data=text), model=model).result
direct.summary

# %%
direct.table("tokens").frame[["token", "logit", "gap"]]

# %% [markdown]
# ## Steer
#
# A direction from unhappy to happy reviews, in two doses, beside one random direction.

# %%
reviews = DataRef(path="shipped:contrast_sentiment.jsonl", label="label", group="pair")
options = {"doses": "-2,2", "prompts": 2, "new_tokens": 8, "randoms": 1}
steer = wb.execute(wb.RunSpec(name="steering", data=reviews, options=options), model=model)
steer.result.summary

# %%
steer.result.table("doses").frame

# %% [markdown]
# The run keeps its direction as an edit.


# %%
def written(dose: float) -> str:
    """Continue one sentence under the kept edit."""
    edits = stored_edits(steer, model.spec, dose)
    return model.decode(model.generate("The dinner was", limit=12, edits=edits).generated[0])


{dose: written(dose) for dose in (-2, 2)}
