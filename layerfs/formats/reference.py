"""Image references: `[registry/]path[:tag][@digest]`, in Docker's normal and familiar forms.

Source: distribution/reference `regexp.go`, `normalize.go`, `match.go`; Go `path.Match`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.ids import InvalidID, ManifestDigest

__all__ = ["Reference", "parse_reference", "reference_matches", "text_matches"]

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAX_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_BARE_ID = re.compile(r"[a-f0-9]{64}")


class Reference(NamedTuple):
    """A name in normal form: the registry is always there, `library/` too.

    Attributes:
        domain: registry host with its port, `docker.io` by default.
        path: repository path in the registry.
        tag: the tag, or None.
        digest: the manifest's digest, or None.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: ManifestDigest | None = None

    @property
    def name(self) -> str:
        """Registry and path, in full."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """Registry and path as Docker shows them: `docker.io/` and `library/` left out."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        # a path that would be parsed as another name keeps its prefix
        return short if "/" not in short else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as Docker shows it."""
        return self.familiar_name + self._suffix()

    @property
    def canonical(self) -> str:
        """The whole reference in full."""
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        """The familiar form."""
        return self.familiar

    def with_default_tag(self) -> Reference:
        """This reference, with `:latest` where it names neither a tag nor a digest."""
        return self if self.tag or self.digest else self._replace(tag=DEFAULT_TAG)

    def without_tag(self) -> Reference:
        """This reference by digest alone."""
        return self._replace(tag=None)


def parse_reference(text: str) -> Reference:
    """Parse a reference that a user typed, or of repositories.json, to normal form.

    Raises:
        FormatError: it is no reference; the problem is in Docker's words.
    """
    if _BARE_ID.fullmatch(text):
        raise FormatError("a 64 digit hexadecimal string is an ID, not a repository name")
    rest, at, digest_text = text.partition("@")
    digest = None
    if at:
        try:
            digest = ManifestDigest(digest_text)
        except InvalidID as error:
            raise FormatError("invalid reference format: bad digest") from error
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        raise FormatError("invalid reference format: bad tag")
    domain, path = _split(name)
    if path != path.lower():
        raise FormatError("invalid reference format: repository name must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise FormatError("invalid reference format")
    if len(domain) + 1 + len(path) > _MAX_NAME:
        raise FormatError(f"invalid reference format: longer than {_MAX_NAME} characters")
    return Reference(domain, path, tag or None, digest)


def _split(name: str) -> tuple[str, str]:
    """Registry and path of a name, in normal form (splitDockerDomain)."""
    first, slash, rest = name.partition("/")
    is_domain = slash and (
        any(mark in first for mark in ".:") or first == "localhost" or first != first.lower()
    )
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def reference_matches(pattern: str, reference: Reference) -> bool:
    """Whether Docker's filter `reference` matches: the pattern fits the familiar form or name.

    Raises:
        FormatError: the pattern is malformed.
    """
    return text_matches(pattern, reference.familiar) or text_matches(pattern, reference.familiar_name)


def text_matches(pattern: str, text: str) -> bool:
    """Whether a pattern of the `reference` filter fits a whole text; raises as `reference_matches`."""
    return bool(_path_match(pattern).fullmatch(text))


@lru_cache(maxsize=64)
def _path_match(pattern: str) -> re.Pattern[str]:
    """A Go `path.Match` pattern as a regular expression: `*` and `?` do not cross a slash."""
    pieces: list[str] = []
    rest = pattern
    while rest:
        char, rest = rest[0], rest[1:]
        if char == "*":
            pieces.append("[^/]*")
        elif char == "?":
            pieces.append("[^/]")
        elif char == "[":
            piece, rest = _class(pattern, rest)
            pieces.append(piece)
        elif char == "\\":
            if not rest:
                raise _bad_pattern(pattern)
            pieces.append(re.escape(rest[0]))
            rest = rest[1:]
        else:
            pieces.append(re.escape(char))
    return re.compile("".join(pieces), re.DOTALL)


def _class(pattern: str, rest: str) -> tuple[str, str]:
    """The character class at the start of `rest` (behind its bracket), and what follows it."""
    negated = rest.startswith("^")
    rest = rest[negated:]
    ranges: list[str] = []
    while not (rest.startswith("]") and ranges):
        low, rest = _class_char(pattern, rest)
        high = low
        if rest.startswith("-"):
            high, rest = _class_char(pattern, rest[1:])
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    body = "".join(ranges)
    if not body:
        return ("." if negated else "(?!)"), rest[1:]
    return f"[{'^' if negated else ''}{body}]", rest[1:]


def _class_char(pattern: str, rest: str) -> tuple[str, str]:
    if not rest or rest[0] in "-]":
        raise _bad_pattern(pattern)
    if rest[0] == "\\":
        rest = rest[1:]
    if len(rest) < 2:
        raise _bad_pattern(pattern)
    return rest[0], rest[1:]


def _bad_pattern(pattern: str) -> FormatError:
    return FormatError("syntax error in pattern", found=ascii(pattern))
