"""Prompts that tests of generation continue."""

from workbench.model.generation import GenerationOptions
from workbench.model.sites import Kind, Site

PROMPTS = ([5, 9, 11], [7], [3, 4, 5, 6, 8, 21, 30], [12, 40])
FREE = GenerationOptions(stop_ids=())
FINAL = Site(Kind.FINAL_NORM)
