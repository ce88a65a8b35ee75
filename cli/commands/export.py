"""`layerfs export`: images as archives for Docker and OCI tools; trees and layers as tars."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..leftout import LeftOut, Made
from ..main import EXIT_CODES
from ..options import root_option, type_option
from ..progress import byte_progress
from ..stores import evidence, find_name, find_names, open_root
from ..subjects import KINDS, complete_names, names_argument, open_subject, split_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.capabilities import Salvager
    from layerfs.model import Image, Named
    from layerfs.store import Store
    from layerfs.views.export.images import ExportImage
    from layerfs.views.export.members import Write
    from layerfs.views.export.places import Destination

    from ..stores import Found

__all__ = ["command"]

FOR_IMAGES = ("docker-archive", "oci")
FORMATS = (*FOR_IMAGES, "rootfs", "layer")
STDOUT = "-"


class Given(NamedTuple):
    """The words and options of the command line; see their help."""

    names: tuple[str, ...]
    output: str
    form: str | None
    everything: bool
    all_tags: bool
    since: tuple[str, ...]
    layer: int | None
    compress: str | None
    salvage: bool
    force: bool
    kind: str | None


class Asked(NamedTuple):
    """An image to export, and the name that was given for it; without a name it keeps all its tags."""

    store: Store
    image: Image
    name: str | None


@click.command("export")
@names_argument("NAME...")
@click.option(
    "-o",
    "--output",
    default=STDOUT,
    metavar="FILE|DIR/|-",
    help="Where to write; - is standard output, the default.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Default: docker-archive for images, rootfs for a container or IMAGE@N, layer for a layer.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Export every image that `layerfs images` lists, with all its tags.",
)
@click.option("--all-tags", is_flag=True, help="Export all tags of the images, not only those given.")
@click.option(
    "--since",
    metavar="IMAGE",
    multiple=True,
    shell_complete=complete_names,
    help="Leave out the layers of IMAGE, which the receiver has already. Can be repeated.",
)
@click.option(
    "--layer", type=click.IntRange(1), metavar="N", help="With --format layer: layer N of the image."
)
@click.option("--compress", type=click.Choice(["gzip"]), help="With --format oci: compress the layers.")
@click.option(
    "--salvage", is_flag=True, help="Export what can be rebuilt of damaged layers; report what cannot."
)
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@type_option(*KINDS)
@root_option
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Export images for docker load or as OCI layouts, and trees and layers as tars.

    The formats are docker-archive: for `docker load` of any Engine, which gives the same image IDs and
    names; it is an OCI layout as well. oci: a layout as a tar, or as a directory if FILE ends in a slash or
    is a directory. rootfs: the tree, as `docker export` writes it. layer: the tar that a layer was
    registered from; for a container, what `docker commit` would make. Images in one archive share their
    layers.

    Everything is checked while it is written: a damaged layer stops the export with an error that names the
    file. --all leaves out the damaged images, and exits with 1. FILE appears when it is complete. With
    --salvage the export goes on with what can be read; damaged layers and their images get other IDs then.

    \b
    Examples:
      layerfs --root /mnt/dead/var/lib/docker export app:1 | docker load
      layerfs export --all -o images.tar
      layerfs export --since base:1 -o up.tar app:2  # what base:1 has not
      layerfs export --format oci -o app/ app:1      # for skopeo: oci:app:app:1
      layerfs export -o root.tar my-container
      layerfs export --format rootfs app:1@3 | tar -t
      layerfs export --layer 2 app:1 | sha256sum     # the layer's diff ID
    """
    return _export(ctx, Given(**given))


def _export(context: click.Context, given: Given) -> int:
    """Find out what to export, and in which format, and do it; returns the exit code."""
    form = _check_usage(given)
    named = [] if given.everything else find_names(context, given.names, "give NAMEs, or --all, and not both")
    if form in FOR_IMAGES or (form is None and (given.everything or len(given.names) > 1)):
        return _export_images(context, given, named, form or FOR_IMAGES[0])
    store, whole, _ = named[0]
    name, number = split_layer(whole)
    found = store.names.anything(name, (given.kind,) if given.kind else KINDS)
    form = form or _default_format(found, number)
    if form in FOR_IMAGES:
        return _export_images(context, given, named, form)
    _check_not_for_images(given, form)
    if form == "rootfs":
        produce, total = _rootfs(store, whole, given.kind)
    else:
        if number is not None and given.layer is not None:
            raise click.UsageError(f"{whole} names a layer already: --layer cannot be given too")
        number = given.layer if number is None else number
        produce, total = _layer(store, found, name, number, salvage=given.salvage)
    with ExitStack() as opened:
        produce(_open(context, given, opened, total))
    return 0


def _check_usage(given: Given) -> str | None:
    """Refuse options that exclude each other; returns the format, if the options tell it."""
    names, form = given.names, given.form
    if names and given.everything:
        raise click.UsageError("give NAMEs, or --all, and not both")
    if given.layer is not None:
        if form not in (None, "layer"):
            raise click.UsageError("--layer needs --format layer")
        form = "layer"
    if form in ("rootfs", "layer") and (len(names) > 1 or given.everything):
        raise click.UsageError(f"--format {form} takes one NAME")
    if form in FOR_IMAGES and given.kind not in (None, "image"):
        raise click.UsageError(f"--format {form} is for images, not for a {given.kind}")
    if given.compress and form != "oci":
        raise click.UsageError("--compress needs --format oci")
    if given.output == STDOUT and sys.stdout.isatty():
        raise click.UsageError("an archive is not for a terminal: use -o FILE, or redirect the output")
    return str(form) if form else None


def _check_not_for_images(given: Given, form: str) -> None:
    """Refuse options that mean nothing for a tree or a layer."""
    for option, value in (("since", given.since), ("compress", given.compress), ("all-tags", given.all_tags)):
        if value:
            raise click.UsageError(f"--{option} is for images")
    if form == "rootfs" and given.salvage:
        raise click.UsageError("--salvage rebuilds images and layers; a tree is read as it is")


def _default_format(found: Named, number: int | None) -> str:
    from layerfs.model import Container, Image

    if isinstance(found, Image):
        return FOR_IMAGES[0] if number is None else "rootfs"
    return "rootfs" if isinstance(found, Container) else "layer"


# -- images --------------------------------------------------------------------------------------


def _export_images(context: click.Context, given: Given, named: Sequence[Found], form: str) -> int:
    """Write images; returns the exit code.

    With --all, images that cannot be rebuilt are left out. That shows only while they are written; then the
    output is begun anew without them. As that is impossible for standard output, there each layer is tried
    before.
    """
    from layerfs.errors import CorruptStore

    if not given.everything:
        _write_images(context, given, [item.image for item in _images(_asked_for(named), given)], form)
        return 0
    left_out = LeftOut()
    images = _images(_everything(context), given, left_out)
    if given.output != STDOUT:
        try:
            _write_images(context, given, [item.image for item in images], form)
        except CorruptStore:
            pass
        else:
            return left_out.code
    whole = [item.image for item in images if left_out.can_be_rebuilt(item)]
    if images and not whole:
        return EXIT_CODES["CorruptStore"]
    _write_images(context, given, whole, form)
    return left_out.code


def _write_images(context: click.Context, given: Given, images: Sequence[ExportImage], form: str) -> None:
    from layerfs.views.export.images import lacking
    from layerfs.views.export.layout import Layout, write_docker_archive, write_oci
    from layerfs.views.export.packing import Packing

    since = [find_name(context, name) for name in given.since]
    there = [base.store.image(base.name) for base in since]
    wanted = lacking(images, there) if there else None
    sizes = {diff_id: size for image in images for diff_id, size in image.sizes.items()}
    total = sum(size for diff_id, size in sizes.items() if wanted is None or diff_id in wanted)
    with ExitStack() as opened:
        place = _open_place(context, given, opened, total, directory=form == "oci")
        spools = os.path.dirname(os.fsencode(given.output.rstrip("/"))) or b"."
        packing = Packing(None if given.output == STDOUT else spools) if given.compress else None
        layout = Layout(place, wanted, packing)
        (write_oci if form == "oci" else write_docker_archive)(layout, images)


def _images(asked: Sequence[Asked], given: Given, left_out: LeftOut | None = None) -> list[Made]:
    """The images to export, each once; raises `CorruptStore` for an incomplete one.

    With `left_out`, incomplete images are given to that, and left out.
    """
    from layerfs.errors import CorruptStore
    from layerfs.views.export.images import original, salvaged, tags_asked_for

    found: dict[str, Asked] = {}
    tags: dict[str, dict[Any, None]] = {}
    for item in asked:
        image = item.image
        found.setdefault(image.id, item)
        every = item.name is None or given.all_tags
        names = (
            image.references if every else tags_asked_for(image, item.store.names.reference(item.name or ""))
        )
        tags.setdefault(image.id, {}).update(
            dict.fromkeys(tag for tag in names if tag.tag and not tag.digest)
        )
    stores = {item.store for item in found.values()} if given.salvage else ()
    salvagers = {store: _salvager(store) for store in stores}
    made = []
    for image_id, (store, image, _) in found.items():
        name = store.names.spelled(image) if image.has_name else image_id
        try:
            if store in salvagers:
                made.append(Made(name, salvaged(salvagers[store], image, tags[image_id])))
            else:
                made.append(Made(name, original(store, image, tags[image_id])))
        except CorruptStore as error:
            if left_out is None:
                raise
            left_out.add(name, error)
    return made


def _salvager(root: Store) -> Salvager:
    """The salvager of a store; raises `NotInThisKind`."""
    from layerfs.capabilities import Salvageable, lacking

    if not isinstance(root, Salvageable):
        raise lacking(root, "export --salvage")
    return root.salvager()


def _everything(context: click.Context) -> list[Asked]:
    """Every image that `images` lists."""
    root = open_root(context)
    images = root.images()
    below = {image.parent for image in images}
    return [Asked(root, image, None) for image in images if image.has_name or image.id not in below]


def _asked_for(named: Sequence[Found]) -> list[Asked]:
    for found in named:
        if split_layer(found.name)[1] is not None:
            raise click.UsageError(
                f"{found.name}: no image is only some layers of another; use --format rootfs"
            )
    return [
        Asked(found.store, found.store.image(found.name), found.name if found.given else None)
        for found in named
    ]


# -- trees and layers ----------------------------------------------------------------------------


def _rootfs(root: Store, name: str, kind: str | None) -> tuple[Callable[[Write], object], int]:
    """A function that writes the tar of the tree, and its approximate bytes."""
    from layerfs.model import BareLayer, Layer
    from layerfs.views.export.members import TreeTar

    subject = open_subject(root, name, kind=kind, up_to=None, layer=None)
    if isinstance(subject.of, (BareLayer, Layer)):
        raise click.UsageError(f"{name} is a layer alone: use --format layer")
    sizes = (root.layer_size(item.chain_id) or 0 for item in subject.layers if item.chain_id)
    return lambda write: TreeTar(subject.tree, write).write_all(), sum(sizes)


def _layer(
    root: Store, found: Named, name: str, number: int | None, *, salvage: bool
) -> tuple[Callable[[Write], object], int]:
    """A function that writes a layer's tar, and its bytes; 0 if not known. The user called it `name`."""
    from layerfs.analysis.store.stack import own_layers
    from layerfs.model import BareLayer, Container, Image
    from layerfs.views.export.commit import write_bare_layer
    from layerfs.views.export.images import layer_tar

    if isinstance(found, Image):
        if number is None:
            raise click.UsageError("an image has several layers: use --layer N, or IMAGE@N")
        found = root.record(found.chain[root.layer_number(found, number, name) - 1])
    elif number is not None:
        raise click.UsageError("--layer and @N need an image")
    if isinstance(found, Container):
        found = own_layers(root, found)[-1]
    if isinstance(found, BareLayer):
        bare = found
        return lambda write: write_bare_layer(root, bare, write), 0
    if salvage:
        tar = _salvager(root).layer(found, found.diff_id)
        return tar.write, tar.size
    original = layer_tar(root, found)
    return original.write, original.size


# -- where it goes -------------------------------------------------------------------------------


def _open_place(
    context: click.Context, given: Given, opened: ExitStack, total: int, *, directory: bool
) -> Destination:
    """The destination: a directory or a tar."""
    from layerfs.views.export.places import Directory, Tar
    from layerfs.views.place import BadTarget

    path = given.output
    if directory and path != STDOUT and (path.endswith("/") or os.path.isdir(path)):
        try:
            return opened.enter_context(Directory(os.fsencode(path), evidence(context)))
        except BadTarget as error:
            raise click.BadParameter(f"{path}: {error}", param_hint="--output") from error
    return opened.enter_context(Tar(_open(context, given, opened, total)))


def _open(context: click.Context, given: Given, opened: ExitStack, total: int) -> Write:
    """A function that takes an archive's bytes; it shows progress on a terminal that is not the reader's."""
    from layerfs.views.export.newfile import NewFile
    from layerfs.views.place import BadTarget

    path = given.output
    if path == STDOUT:
        write: Write = sys.stdout.buffer.write
    else:
        try:
            write = opened.enter_context(
                NewFile(os.fsencode(path), evidence(context), force=given.force)
            ).write
        except BadTarget as error:
            raise click.BadParameter(f"{path}: {error}", param_hint="--output") from error
    if not (total and sys.stderr.isatty()) or (path == STDOUT and _is_pipe()):
        return write
    advance = opened.enter_context(byte_progress("Exporting", total))

    def counted(piece: bytes | memoryview) -> None:
        write(piece)
        advance(len(piece))

    return counted


def _is_pipe() -> bool:
    """Whether a program reads standard output: it may write to the terminal too, as `docker load` does."""
    return stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
