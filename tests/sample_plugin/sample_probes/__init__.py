"""Probes of an extension that lives outside the workbench."""
