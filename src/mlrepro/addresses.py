"""Addresses as people may read them: without user, password and tokens.

Nobody should find these in a message, a log, a record or git.
"""

import os
import re
from urllib.parse import unquote

from mlrepro.errors import InputError

# A scheme is short, and begins a word: so a long text is looked at once.
ADDRESS = re.compile(r"(?<![\w+.-])\w[\w+.-]{0,20}://[^\s'\"<>]+")
# Up to the last @ before the path; and, where a password has a slash in it, up to the last @ of
# all. What follows the colon is no port then.
USER = re.compile(r"//[^/?#\s]*@")
USER_WITH_SLASH = re.compile(r"//[^/?#\s:@]*:(?!\d*([/?#\s]|$))\S*@")

PARAMETER = re.compile(r"(?P<key>[?&;#][^=&;#\s?]+=)(?P<value>[^&;#\s'\"<>]+)")
SECRET = re.compile(
    "access|auth|code|cred|jwt|key|pass|pwd|sas|secret|session|sig|ticket|token", re.IGNORECASE
)
# A value as long as this is no page number: it may be a token, whatever its name.
LONG = 16
HIDDEN = "..."
# What a sentence that ends in an address goes on with.
AFTER = ":,.)"

VARIABLE = re.compile(r"\$\{(\w+)\}")


def without_secrets(text: str) -> str:
    """The text with addresses that show no user, no password and no token of a query.

    Variables, as in https://${NAME}@host, stay: they are no secrets.
    """
    text = ADDRESS.sub(_without_secrets_of_address, text)
    text = USER.sub(_hide_user, text)
    # Also of addresses that are not whole, such as /file?token=...
    return PARAMETER.sub(_hide_named_secret, text)


def has_secrets(address: str) -> bool:
    return without_secrets(address) != address


def with_variables(address: str) -> str:
    """The address with the values of the environment's variables that it names as ${NAME}."""

    def value(match: re.Match) -> str:
        name = match[1]
        if name not in os.environ:
            raise InputError(
                f"{without_secrets(address)}: the environment has no variable {name}; set it "
                f"(export {name}=...), or mend the address"
            )
        return os.environ[name]

    return VARIABLE.sub(value, address)


def _without_secrets_of_address(match: re.Match) -> str:
    address = USER.sub(_hide_user, match[0])
    address = USER_WITH_SLASH.sub(_hide_user, address)
    return PARAMETER.sub(_hide_secret_or_long, address)


def _hide_user(match: re.Match) -> str:
    user = match[0].removeprefix("//").removesuffix("@")
    return match[0] if _is_variables(user) else "//"


def _hide_named_secret(match: re.Match) -> str:
    return _hide(match) if SECRET.search(unquote(match["key"])) else match[0]


def _hide_secret_or_long(match: re.Match) -> str:
    return _hide(match) if len(match["value"]) >= LONG else _hide_named_secret(match)


def _hide(match: re.Match) -> str:
    value = match["value"]
    end = value[len(value.rstrip(AFTER)) :]
    # Nothing is left to hide in what was hidden before.
    is_hidden = value.startswith(HIDDEN) and not value.strip(AFTER)
    if is_hidden or _is_variables(value):
        return match[0]
    return f"{match['key']}{HIDDEN}{end}"


def _is_variables(text: str) -> bool:
    """Whether nothing but variables stands there."""
    return bool(text) and not VARIABLE.sub("", text).strip(AFTER)
