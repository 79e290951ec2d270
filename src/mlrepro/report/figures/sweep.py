"""mAP against a setting that runs differ in."""

from pathlib import Path

from mlrepro.report.figures.drawing import COLOURS, blank_figure


def map_against_setting(
    curves: dict[str, list[tuple[float, float, float]]], setting: str, stem: Path
) -> None:
    """A panel a series of (value of the setting, test mAP, SE), each with an axis of its own.

    mAP in percent; the bar is +- 2 SE.
    """
    # Their values may be far apart, so panels do not share an axis.
    with blank_figure(stem, 3.0) as figure:
        panels = figure.subplots(1, len(curves), squeeze=False)[0]

        for axes, (name, points) in zip(panels, curves.items(), strict=True):
            values, means, errors = zip(*points, strict=True)
            axes.errorbar(
                values,
                means,
                yerr=[2 * error for error in errors],
                fmt="o-",
                color=COLOURS[0],
                elinewidth=0.8,
            )
            axes.set(xlabel=setting, title=name)

        panels[0].set_ylabel("test mAP (%)")
        figure.subplots_adjust(left=0.08, right=0.98, top=0.88, bottom=0.17, wspace=0.3)
