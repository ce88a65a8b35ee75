"""The text that stands at the top of the tree of a whole store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.store import Store

__all__ = ["readme"]

_TEXT = """\
This is what {path} has in it, read-only, as layerfs shows it.

  images/REPOSITORY/TAG/       an image by its name
  by-id/ID/                    every image, also one without a name
  layers/ID/NN/                layer NN of an image alone, as it is stored, with its whiteouts; 01 is the base
  up-to/ID/NN/                 the image as of its layer NN
  deleted/REPOSITORY/TAG/      the files that a later layer of the image hides: etc/motd@2 is that of layer 2
{containers}
Nothing is read of an image before somebody looks into its directory. What comes into the store later is shown
by a new mount.

In names, every byte but letters, digits and . _ + , = @ - is percent-encoded (a colon is %3A), also a dot or
a dash at the beginning. A tag that is also a directory of the repository has %3A in front of it.

An image whose records or layers are damaged cannot be entered: "Input/output error". To know why:
  getfattr -n user.layerfs.error DIRECTORY
and what to call it on a command line:
  getfattr -n user.layerfs.name DIRECTORY

A file that several images share is in each of them: `du` counts it once for each. `layerfs du` and
`layerfs system df` count it once.

Programs that read everything, such as an indexer, read every image. For updatedb, add fuse.layerfs to PRUNEFS
in /etc/updatedb.conf; `find -xdev` does not come here from outside.
"""

_CONTAINERS = """\
  containers/NAME/rootfs/      what a container sees
  containers/NAME/changes/     its own layer alone, as it is stored
  containers/by-id/ID/         the same for every container
"""

_SEVERAL = """\
There are several namespaces in it, each with a directory of its own, in which these are.

"""


def readme(stores: Sequence[Store]) -> bytes:
    """What is where, and what to know of it, for one store, or several of the same place."""
    path = ascii(stores[0].path)[1:-1]
    has_containers = any(store.has_containers for store in stores)
    text = _TEXT.format(path=path, containers=_CONTAINERS if has_containers else "")
    return ((_SEVERAL if len(stores) > 1 else "") + text).encode()
