"""Pages from templates.

Prose stands in report/templates/, logic in functions that make what the templates show.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from mlrepro.errors import InputError


@cache
def environment() -> Environment:
    """Of markdown: a missing value is an error, and a block's own line leaves no blank one."""
    templates = Environment(
        loader=PackageLoader("mlrepro.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # of HTML; what goes into markdown is escaped by tables.escape
    )
    templates.filters["paragraph"] = paragraph
    return templates


def paragraph(text: str) -> str:
    """One line of the page: a template's sentences may be broken where they are best read."""
    return " ".join(text.split()) + "\n"


def render(template: str, page: Path, **values) -> str:
    """The text of `page` from templates/<template>. Raises InputError where it misses a value."""
    try:
        return environment().get_template(template).render(**values)
    except UndefinedError as error:
        raise InputError(f"{page}: its template {template} misses a value: {error}") from None


def write_page(template: str, page: Path, **values) -> None:
    text = render(template, page, **values)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
