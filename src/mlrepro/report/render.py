"""Pages from templates: prose stands in report/templates/, logic in functions that feed it.

Conventions of templates, which keep blank lines right: a block's tags stand on lines of their own,
which leave nothing; what is shown only under a condition brings its blank line, before or after it.

Every text that a template shows is escaped for its medium, HTML or markdown: a title, a label or
the name of a file reads as it stands. What functions and filters made as `Markdown` stays.
"""

from functools import cache
from pathlib import Path

from jinja2 import (
    Environment,
    PackageLoader,
    StrictUndefined,
    UndefinedError,
    pass_eval_context,
)
from jinja2.nodes import EvalContext
from markupsafe import Markup

from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.report.markdown import Markdown, code, line, name, number, prose, shell
from mlrepro.report.table_files import write_tables
from mlrepro.terminal import visible

# Where a part of a page is rendered by one that does not know which page it is for.
ANY_PAGE = Path("reports")


@cache
def environment() -> Environment:
    """The templates, in which a value that is missing is an error."""
    templates = Environment(
        loader=PackageLoader("mlrepro.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=_is_html,
        finalize=_shown,
    )
    templates.filters |= {
        "code": code,
        "count": count,
        "name": name,
        "number": number,
        "paragraph": paragraph,
        "prose": prose,
        "shell": shell,
        "thousands": "{:,}".format,
    }
    return templates


def _is_html(template: str | None) -> bool:
    return template is not None and template.endswith(".html.j2")


@pass_eval_context
def _shown(context: EvalContext, value: object) -> str:
    """What a template shows of a value."""
    if context.autoescape:
        # Jinja2 itself escapes what is HTML; what was made as HTML, it leaves.
        return value if isinstance(value, Markup) else visible(str(value))
    return line(value if isinstance(value, str) else str(value))


def paragraph(text: str) -> Markdown:
    """One line of the page: a template's sentences may be broken where they are best read."""
    return Markdown(" ".join(text.split()) + "\n")


def count(n: int, noun: str) -> str:
    """The number and its noun: 1 run, 2 runs."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def render(template: str, page: Path, **values) -> Markdown:
    """The text of `page` from templates/<template>. Raises InputError where it misses a value."""
    try:
        return Markdown(environment().get_template(template).render(page=page, **values))
    except UndefinedError as error:
        raise InputError(f"{page}: its template {template} misses a value: {error}") from None


def render_section(template: str, page: Path, **values) -> Markdown:
    """A part of `page`, without a line's end: what puts parts together decides what is between."""
    return Markdown(render(template, page, **values).removesuffix("\n"))


def write_page(template: str, page: Path, **values) -> None:
    """Writes it, and beside a page of markdown its tables for papers (table_files.py)."""
    text = render(template, page, **values)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(page, text.encode())
    if page.suffix == ".md":
        write_tables(page, text)
