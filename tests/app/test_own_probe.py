"""A probe of the user's own folder on the Prompt page."""

from pathlib import Path

import pytest

from tests.plugin_folder import NAME, folder

__all__ = ["folder"]


@pytest.mark.slow
def test_a_probe_in_a_folder_is_a_layer_of_the_map(folder: Path, open_page) -> None:
    page = open_page(map=f"{NAME} agreement")
    assert folder.is_dir()
    grid = page.run(NAME).result.table("grid").frame
    cell = grid.query("layer == 1 and position == 1")["agreement"].iloc[0]
    drawn = page.figure(f"{NAME} agreement")["data"][0]
    assert drawn["z"][list(drawn["y"]).index(1)][1] == pytest.approx(cell)
