"""What is drawn can be read: measured on the drawn picture itself."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from loracast.studies._drawing import log_axis, new_figure


@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("high", [1e-8, 1.0, 1e3])
def test_labels_of_a_logarithmic_axis_do_not_touch(which: str, columns: int, high: float) -> None:
    figure = new_figure(2.6)
    axes = [figure.add_subplot(1, columns, k + 1) for k in range(columns)]
    for one in axes:
        getattr(one, f"set_{which}lim")(1e-10, high)
        log_axis(one, which)
    FigureCanvasAgg(figure).draw()
    for one in axes:
        axis = getattr(one, f"{which}axis")
        low, top = getattr(one, f"get_{which}lim")()
        boxes = [
            tick.label1.get_window_extent()
            for tick in axis.get_major_ticks()
            if low <= tick.get_loc() <= top
        ]
        assert boxes
        for a, b in itertools.pairwise(boxes):
            assert not a.overlaps(b)
