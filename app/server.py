"""The dashboard's process: probes and torch are imported before the first page asks for them."""

import runpy

from app.panels.model_loading import LOADER

if __name__ == "__main__":
    LOADER.plugins()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
