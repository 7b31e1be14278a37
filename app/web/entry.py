"""The dashboard; `workbench app` serves this file.

Every page is a file in `views`, named `*_view.py`; a new one is one more line in `VIEWS`.
"""

import streamlit as st

from app.guard import name_problems

# Once for the server, and before anything that carries one of the five names is imported.
problems = st.cache_resource(show_spinner=False)(name_problems)()
if problems:
    st.error("\n\n".join(problems))
    st.stop()

from app.panels.shell import sidebar  # noqa: E402

# In the order of the data's way: file, title, icon.
VIEWS = (
    ("overview_view.py", "Prompt", ":material/chat:"),
    ("model_view.py", "Model", ":material/network_node:"),
    ("probe_view.py", "Probe", ":material/biotech:"),
    ("reason_view.py", "Reason", ":material/psychology:"),
    ("questions_view.py", "Questions", ":material/quiz:"),
    ("concepts_view.py", "Concepts", ":material/difference:"),
    ("graph_view.py", "Cause", ":material/account_tree:"),
    ("runs_view.py", "Runs", ":material/history:"),
    ("help_view.py", "Help", ":material/help:"),
)

st.set_page_config(page_title="Latent Workbench", page_icon="🔬", layout="wide")
page = st.navigation(
    [
        st.Page(
            f"views/{file}",
            title=title,
            icon=icon,
            url_path=file.removesuffix("_view.py"),
            default=i == 0,
        )
        for i, (file, title, icon) in enumerate(VIEWS)
    ]
)
sidebar()
page.run()
