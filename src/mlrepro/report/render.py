"""Pages from templates: prose stands in report/templates/*.md.j2, logic in functions that make what they show."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from mlrepro.errors import InputError


@cache
def environment() -> Environment:
    """Templates of markdown: a value that is missing is an error, a block's line leaves no blank one."""
    return Environment(
        loader=PackageLoader("mlrepro.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # of HTML; what goes into markdown is escaped by tables.escape
    )


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
