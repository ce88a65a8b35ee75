"""What pyproject.toml cannot say: the manual pages are made from the commands when the package is built."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build import build

HERE = Path(__file__).parent
PAGES = Path("build/man")
PLACE = "share/man/man1"


class BuildManual(Command):
    """Writes the pages and makes them files of the distribution."""

    description = "make the manual pages"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        """There are none."""

    def finalize_options(self) -> None:
        """There are none."""

    def run(self) -> None:
        """Make every page."""
        PAGES.mkdir(parents=True, exist_ok=True)
        made = []
        for name, text in _manual_pages(self.distribution.get_version()).items():
            (PAGES / name).write_text(text, encoding="ascii")
            made.append(str(PAGES / name))
        self.distribution.data_files = [(PLACE, made)]


class Build(build):
    """Builds the manual pages too."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_manual", None)]


def _manual_pages(version: str) -> dict[str, str]:
    """The pages, from the command's own modules, which are not installed yet."""
    sys.path.insert(0, str(HERE))
    place = str(HERE / "cli")
    spec = importlib.util.spec_from_file_location(
        "layerfs_cli", f"{place}/__init__.py", submodule_search_locations=[place]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["layerfs_cli"] = module
    spec.loader.exec_module(module)
    from layerfs_cli.manpages import manual_pages

    return manual_pages(version)


setup(cmdclass={"build": Build, "build_manual": BuildManual})
