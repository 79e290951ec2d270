import io
import shutil

import numpy as np
import pytest
from conftest import ROOT, stage
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mlrepro.report import figures


def test_a_png_holds_the_pixels_it_is_given():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    with Image.open(io.BytesIO(figures._png(pixels))) as image:
        assert image.format == "PNG" and np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    "low, high", [(0, 1), (20, 90), (43.52, 43.56), (-0.03, 0.01), (1e-7, 3e-7), (0, 4e8)]
)
def test_labels_of_axes_keep_clear_of_their_ticks(low, high, tmp_path):
    with figures.blank_figure(tmp_path / "a", 4) as figure:
        axes = figure.add_axes(
            (0.15, 0.2, 0.8, 0.7), xlim=(low, high), ylim=(low, high), xlabel="x", ylabel="y"
        )
    FigureCanvasAgg(figure).draw()
    for axis, label_end, tick_end in ((axes.xaxis, "y1", "y0"), (axes.yaxis, "x1", "x0")):
        ticks = [
            tick.label1.get_window_extent()
            for tick in axis.get_major_ticks()
            if low <= tick.get_loc() <= high
        ]
        beyond = min(getattr(box, tick_end) for box in ticks)
        assert 0 < beyond - getattr(axis.label.get_window_extent(), label_end) < 25
        factor = axis.get_offset_text()
        assert (factor.get_text() != "") == (high in (3e-7, 4e8))
        assert not (factor.get_text() and factor.get_window_extent().count_overlaps(ticks))


def test_figures_of_several_processes_are_those_of_one(tmp_path):
    """The same bytes; what one of them cannot draw ends the command and says which."""
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    every, drawn = ("params.yaml", "studies/second/params.yaml"), tmp_path / "reports" / "figures"
    for path in every:
        for name in ("results/digits", "runs"):
            shutil.copytree(ROOT / name, (tmp_path / path).parent / name)
        shutil.copy(ROOT / "params.yaml", tmp_path / path)
        stage(tmp_path, "report", path)
    alone = {path.name: path.read_bytes() for path in drawn.glob("*.*")}
    shutil.rmtree(drawn)
    stage(tmp_path, "report", *every)
    assert len(alone) > 20 and {path.name: path.read_bytes() for path in drawn.glob("*.*")} == alone
    shutil.rmtree(drawn)
    (drawn / "second-curves.svg").mkdir(parents=True)
    done = stage(tmp_path, "report", *every, check=False)
    assert (
        done.returncode == 1
        and "IsADirectoryError" in done.stderr
        and "second-curves.svg" in done.stderr
    )
