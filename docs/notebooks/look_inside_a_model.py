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
# # Look inside a model
#
# The embedded model is SmolLM2-135M-Instruct. It loads in about two seconds once converted.

# %%
import workbench as wb

model = wb.load_model("default")
model

# %% [markdown]
# ## Read
#
# A site is an address. Reading never changes a number: the logits are those of a run without it.

# %%
trace = model.run(
    "The capital of France is", read=["resid_post.-1[-1]", "attn_pattern.10"], logits="last"
)
trace["resid_post.-1[-1]"].shape, trace["attn_pattern.10"].shape

# %%
top = trace.logits[0, -1].softmax(-1).topk(5)
[(model.decode([int(i)]), round(float(p), 3)) for p, i in zip(top.values, top.indices, strict=True)]

# %% [markdown]
# ## Change
#
# An edit is data: where, what, and which rows, heads and steps. Switched off, it leaves every
# bit as it was.

# %%
silence = wb.Edit(site=wb.Site.parse("mlp_out.5"), op=wb.Op.ABLATE)
changed = model.run("The capital of France is", edits=[silence], logits="last")
top = changed.logits[0, -1].softmax(-1).topk(5)
[(model.decode([int(i)]), round(float(p), 3)) for p, i in zip(top.values, top.indices, strict=True)]

# %% [markdown]
# ## Generate

# %%
answer = model.generate("Water boils at", limit=12)
model.decode(answer.generated[0])

# %% [markdown]
# ## Ask
#
# A probe is asked through a spec; the run that comes back holds numbers with intervals and
# controls, and draws itself.

# %%
texts = (
    "Natalia sold clips to 48 of her friends in April, and then half as many in May.",
    "The river rose through the night and by morning the lower field was under water.",
    "To make bread you need flour, water, salt and time, in that order of patience.",
    "She asked the librarian for a map of the old harbour and was given three.",
)
run = wb.execute(wb.RunSpec(name="logit-lens", data=wb.DataRef(texts=texts)), model=model)
print(run.result.summary)

# %%
run

# %%
run.result.tables["layers"].frame.head()

# %%
run = wb.execute(wb.RunSpec(name="isotropy", data=wb.DataRef(texts=texts)), model=model)
print(run.result.summary)
for note in run.result.notes:
    print("-", note.text)

# %%
run
