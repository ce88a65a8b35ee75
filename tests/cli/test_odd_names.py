"""Names in containerd that are no references, as `ctr images tag` makes them: no image is passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.containerdbuilder import ContainerdBuilder

if TYPE_CHECKING:
    from pathlib import Path

ODD, UPPER, ALONE = "my app/without:tag", "UPPER:1", "only\x1b[31m odd"


@pytest.fixture(scope="module", params=["default", "moby", "k8s.io"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which one image has other names too, and one has no other names."""
    builder = ContainerdBuilder(tmp_path_factory.mktemp("odd") / "root", request.param)
    base = builder.layer(None, b"one")
    builder.image(["docker.io/library/app:1", ODD, UPPER], [base])
    builder.image([ALONE], [base, builder.layer(base, b"two")])
    return builder.finish()


def test_each_name_is_a_row(store: Path) -> None:
    """A name that is no reference is a repository without a tag, in data and in Docker's table."""
    rows = layerfs(store, "images", "--format", "json").json
    found = sorted((row["repository"], row["tag"] or "") for row in rows)
    assert found == sorted([("app", "1"), (ODD, ""), (UPPER, ""), (ALONE, "")])
    printed = layerfs(store, "images", "--format", "{{.Repository}}:{{.Tag}}").stdout.splitlines()
    shown = ALONE.replace("\x1b", "\\x1b")
    assert sorted(printed) == sorted(["app:1", f"{ODD}:<none>", f"{UPPER}:<none>", f"{shown}:<none>"])
    assert f"{ODD}   <none>" in layerfs(store, "images").stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([UPPER], {UPPER}),
        ([ODD], {ODD}),
        (["my app/*"], {ODD}),
        (["-f", "dangling=true"], set()),
        (["-f", "dangling=false"], {"app", ODD, UPPER, ALONE}),
    ],
)
def test_filters_take_them(store: Path, arguments: list[str], names: set[str]) -> None:
    """A pattern fits a whole name; an image with any name is not dangling."""
    done = layerfs(store, "images", "--format", "json", *arguments)
    assert {row["repository"] for row in done.json} == names


def test_whoever_names_an_image_names_it_so(store: Path) -> None:
    """`inspect`, `du`, `system df -v` and `whois` have these names where they have references."""
    (inspected,) = layerfs(store, "inspect", ODD).json
    assert inspected["RepoTags"] == ["app:1", *sorted([ODD, UPPER])]
    alone = next(
        row for row in layerfs(store, "du", "--format", "json").json["images"] if row["repository"] == ALONE
    )
    assert (alone["tag"], alone["references"]) == (None, [ALONE])
    shown = ALONE.replace("\x1b", "\\x1b")
    for command in (["du"], ["du", "--layers"], ["system", "df", "-v"], ["whois", ALONE]):
        done = layerfs(store, *command)
        assert done.code == 0
        assert shown in done.stdout, command
    assert ODD in layerfs(store, "whois", UPPER).stdout
