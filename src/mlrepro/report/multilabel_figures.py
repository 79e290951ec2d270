"""Until the study pages import it from its room."""

from mlrepro.report.pages import label_sections  # noqa: F401
