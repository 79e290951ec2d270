import shutil

import matplotlib.style
import numpy as np
import pytest
from conftest import LINEAR, PICTURES, ROLE, stage, stage_process
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mlrepro.report import figures
from mlrepro.report.figures import drawing

SMALL_FACTOR = 3e-7
GREAT_FACTOR = 4e8


def test_a_png_holds_what_was_drawn_and_no_more(tmp_path):
    with figures.blank_figure(tmp_path / "a", 1) as figure:
        figure.add_axes((0.1, 0.1, 0.8, 0.8)).plot([0, 1])
    canvas = FigureCanvasAgg(figure)
    with matplotlib.style.context(["default", drawing.STYLE]):
        canvas.draw()

    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.text == {}  # no version, no date
        assert np.array_equal(np.asarray(image), np.asarray(canvas.buffer_rgba()))


def test_signs_that_the_font_lacks_are_no_warning(tmp_path, recwarn):
    """A label may hold an emoji, and its user has no part in the font."""
    with figures.blank_figure(tmp_path / "a", 2) as figure:
        figure.text(0.1, 0.5, "\N{FOX FACE}")
    assert (tmp_path / "a.svg").is_file()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


@pytest.mark.parametrize(
    "low, high",
    [(0, 1), (20, 90), (43.52, 43.56), (-0.03, 0.01), (1e-7, SMALL_FACTOR), (0, GREAT_FACTOR)],
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
        farthest = min(getattr(box, tick_end) for box in ticks)
        label = getattr(axis.label.get_window_extent(), label_end)
        assert 0 < farthest - label < 25

        factor = axis.get_offset_text()
        assert (factor.get_text() != "") == (high in (SMALL_FACTOR, GREAT_FACTOR))
        assert not (factor.get_text() and factor.get_window_extent().count_overlaps(ticks))


def test_names_in_the_margin_neither_overlap_nor_leave_it():
    heights = figures.cost._spread_out([1.0, 1.1, 5.0, 9.9, 10.0], gap=1.0, low=0.0, high=10.0)
    assert np.diff(heights).min() >= 1.0 - 1e-9
    assert heights.max() <= 10.0
    assert heights[0] == 1.0 and heights[2] == 5.0


@pytest.mark.parametrize(
    "text, short",
    [("twelve chars", "twelve chars"), ("thirteen char", "thirt…n char"), ("a" * 99, None)],
)
def test_long_names_are_cut_in_the_middle(text, short):
    name = figures.names.shorten(text, 12)
    assert len(name) <= 12
    if short:
        assert name == short


def test_figures_of_several_processes_are_those_of_one(repository):
    """The same bytes; what one of them cannot draw ends the command and says which."""
    for run_id in (LINEAR, ROLE, PICTURES):
        stage(repository, "train", "params.yaml", run_id, "0")
        stage(repository, "evaluate", "params.yaml", run_id, "0")
    settings = ("params.yaml", "studies/second/params.yaml")
    second = repository / "studies" / "second"
    for name in ("results/digits", "runs"):
        shutil.copytree(repository / name, second / name)
    shutil.copy(repository / "params.yaml", second)

    drawn = repository / "reports" / "figures"
    for path in settings:
        stage_process(repository, "report", path)
    alone = {path.name: path.read_bytes() for path in drawn.glob("*.*")}
    assert len(alone) > 20

    shutil.rmtree(drawn)
    stage_process(repository, "report", *settings)
    assert {path.name: path.read_bytes() for path in drawn.glob("*.*")} == alone

    # All the others are as they were drawn.
    (drawn / "second-curves.svg").unlink()
    (drawn / "second-curves.svg").mkdir()
    done = stage_process(repository, "report", *settings, check=False)
    assert done.returncode == 1
    assert "Is a directory" in done.stderr and "second-curves.svg" in done.stderr
