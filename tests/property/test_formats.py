"""Laws of the formats on generated input: nothing but FormatError ever comes out of hostile bytes."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats import layerfiles, tarsplit
from layerfs.formats.bolt import buffer_reader, open_bolt
from layerfs.formats.buildkit import parse_snapshots
from layerfs.formats.containerconfig import parse_container_config
from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import format_time, parse_time
from layerfs.formats.imageconfig import parse_image_config
from layerfs.formats.jsontext import Wanted, fields, flag, mapping, text
from layerfs.formats.reference import parse_reference
from layerfs.formats.repositories import parse_repositories
from layerfs.ids import ChainID, DiffID, Identity, InvalidID, chain_ids

if TYPE_CHECKING:
    from collections.abc import Callable

PARSERS: list[Callable[[bytes], object]] = [
    layerfiles.parse_cache_id,
    layerfiles.parse_diff,
    layerfiles.parse_link,
    layerfiles.parse_lower,
    layerfiles.parse_mount_id,
    layerfiles.parse_parent,
    layerfiles.parse_size,
    parse_container_config,
    parse_image_config,
    parse_repositories,
    lambda content: parse_snapshots(open_bolt(*buffer_reader(content))),
    lambda content: list(tarsplit.entries(io.BytesIO(content))),
    lambda content: tarsplit.archive_marks(io.BytesIO(content)),
]

STORE_KEYS = ("ID", "Name", "State", "Config", "Repositories", "Labels", "Args", "MountPoints", "a:1")
IMAGE_KEYS = ("rootfs", "diff_ids", "history", "created", "config")
ENTRY_KEYS = ("type", "payload", "name", "size", "name_raw")
KEYS = st.sampled_from([*STORE_KEYS, *IMAGE_KEYS, *ENTRY_KEYS])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(
    st.sampled_from(PARSERS),
    st.binary(max_size=300) | DOCUMENTS.map(lambda found: json.dumps(found).encode()),
)
def test_hostile_bytes_are_refused_in_one_way(parse: Callable[[bytes], object], content: bytes) -> None:
    """A parser returns a value or raises FormatError, whatever the bytes."""
    with contextlib.suppress(FormatError):
        parse(content)


@given(st.text())
def test_reference_is_stable(text: str) -> None:
    """What parses is the same after a round through either of its forms."""
    try:
        reference = parse_reference(text)
    except FormatError:
        return
    assert parse_reference(reference.familiar) == reference
    assert parse_reference(reference.canonical) == reference


@given(st.integers(min_value=-(10**19), max_value=10**20))
def test_time_survives_its_text(nanoseconds: int) -> None:
    """Every nanosecond of the years 1653 to 5138 is written and read back exactly."""
    assert parse_time(format_time(nanoseconds)) == nanoseconds


@given(st.text(), st.sampled_from([*Identity.__subclasses__(), ChainID, DiffID]))
def test_identity_is_always_one_path_component(text: str, kind: type[Identity]) -> None:
    """Whatever becomes an identity can be part of a path without leading anywhere else."""
    try:
        found = kind(text)
    except InvalidID:
        return
    assert "/" not in found
    assert "\0" not in found
    assert found not in (".", "..", "")


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=10))
def test_chain_grows_from_the_base(contents: list[bytes]) -> None:
    """A chain's beginning is the chain of the beginning; the first chain ID is the diff ID itself."""
    diff_ids = [DiffID.of(content) for content in contents]
    chain = chain_ids(diff_ids)
    assert [str(first) for first in chain[:1]] == [str(diff_id) for diff_id in diff_ids[:1]]
    assert all(chain_ids(diff_ids[:length]) == chain[:length] for length in range(len(diff_ids)))


@given(st.binary(max_size=60))
def test_archive_names_are_confined(name: bytes) -> None:
    """A cleaned name of an archive never leads up or starts at the root, and stays clean."""
    cleaned = tarsplit.clean_name(name)
    assert not cleaned.startswith(b"/")
    assert b".." not in cleaned.split(b"/")
    assert tarsplit.clean_name(cleaned) == cleaned


_SPELLINGS = st.sampled_from(["size", "Size", "SIZE", "created", "Created", "empty", "eMpty", "other"])
_VALUES = st.none() | st.booleans() | st.just("text") | st.just(1) | st.just({"a": "b"})


@given(st.dictionaries(_SPELLINGS, _VALUES))
def test_fields_at_once_are_what_each_is_alone(document: dict[str, object]) -> None:
    """`fields` finds odd spellings, and refuses wrong types, as one look after the other does."""

    def outcome(read: Callable[[], object]) -> object:
        try:
            return read()
        except FormatError as error:
            return str(error)

    wanted = Wanted.of(("created", str, ""), ("empty", bool, False), ("size", dict, {}))
    assert outcome(lambda: fields(document, wanted)) == outcome(
        lambda: [text(document, "created"), flag(document, "empty"), mapping(document, "size")]
    )
