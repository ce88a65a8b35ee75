"""`IMAGE@N`: an image as of its layer N, by name, wherever a command takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path

SUBJECT_COMMANDS = {
    "ls": ["-lAR", "--layers", "--full-time"],
    "tree": ["-a"],
    "stat": ["/", "/etc"],
    "cat": ["/etc/motd"],
}


@pytest.mark.parametrize("command", SUBJECT_COMMANDS)
def test_number_in_the_name_means_up_to(dataroot_path: Path, command: str) -> None:
    """`IMAGE@N` gives what `--up-to N IMAGE` gives, for every layer and every way to name the image."""
    arguments = SUBJECT_COMMANDS[command]
    names = ("demo", "demo:1.0", _image_id(dataroot_path), _digest_reference(dataroot_path))
    shown = set()
    for number in range(2, 7):
        expected = layerfs(dataroot_path, command, "--up-to", str(number), "demo:latest", *arguments)
        assert expected.code == 0
        shown.add(expected.stdout)
        for name in names:
            assert layerfs(dataroot_path, command, f"{name}@{number}", *arguments) == expected
    assert len(shown) > 1


def test_deleted_file_is_read_as_of_the_layer_before(dataroot_path: Path) -> None:
    """A file that layer 5 deletes is there as of layer 4, and not as of layer 5."""
    found = layerfs(dataroot_path, "cat", "demo@4", "/root/password.txt")
    assert (found.code, found.stdout) == (0, "correct horse battery staple\n")
    assert layerfs(dataroot_path, "cat", "demo@5", "/root/password.txt").code == 6


def test_digest_stays_a_digest(dataroot_path: Path) -> None:
    """What stands behind `@` with its algorithm is a manifest's digest, as Docker has it."""
    name = _digest_reference(dataroot_path)
    assert layerfs(dataroot_path, "ls", name) == layerfs(dataroot_path, "ls", "demo:latest")
    assert layerfs(dataroot_path, "ls", f"demo@sha256:{'0' * 64}").code == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["demo@0"], 3),
        (["demo@99"], 3),
        (["demo@"], 3),
        (["demo@1x"], 3),
        (["demo@-1"], 3),
        (["demo@\u0663"], 3),
        (["no-such@1"], 3),
        (["demo@" + "9" * 5000], 3),
        (["changed@1"], 2),
        (["demo@2", "--up-to", "2"], 2),
        (["demo@2", "--layer", "2"], 2),
    ],
)
def test_what_is_no_layer_is_refused(dataroot_path: Path, arguments: list[str], code: int) -> None:
    """Numbers that name no layer, subjects that have none, and two numbers at once are errors."""
    found = layerfs(dataroot_path, "ls", *arguments)
    assert (found.code, found.stdout) == (code, "")


@pytest.mark.parametrize(
    "words", ["ls {}@9", "ls --layer 9 {}", "ls --up-to 9 {}", "cat {}@9 /x", "mount {}@9 {out}", "diff {}@9",
              "export --layer 9 {}", "export --format rootfs {}@9", "export --format layer {}@0",
              "changes --layer 9 {}", "verify {}@9", "hashes {}@9", "blame {}@9 /etc"]
)  # fmt: skip
@pytest.mark.parametrize("name", ["demo", "demo:latest", "{id}"])
def test_the_image_is_called_as_the_user_called_it(
    dataroot_path: Path, tmp_path: Path, words: str, name: str
) -> None:
    """The error for a layer that is not there has the name that was typed, not another one of the image."""
    typed = name.replace("{id}", _image_id(dataroot_path))
    line = [word.replace("{}", typed).replace("{out}", str(tmp_path)) for word in words.split()]
    found = layerfs(dataroot_path, *line)
    number = 0 if "@0" in words else 9
    assert (found.code, found.stdout) == (3, "")
    error, hint = found.stderr.splitlines()
    assert error == f"layerfs: error: {typed} has no layer {number}"
    assert hint == "layerfs: hint: its layers are numbered 1 (base) to 6 (top)"


def _image_id(root: Path) -> str:
    row = layerfs(root, "images", "--no-trunc", "--format", "json", "demo:latest").json[0]
    return str(row["id"])


def _digest_reference(root: Path) -> str:
    rows, image = layerfs(root, "images", "--digests", "--format", "json").json, _image_id(root)
    return next(
        f"{row['repository']}@{row['digest']}" for row in rows if row["id"] == image and row["digest"]
    )
