"""The texts of `layerfs explain --topic`: half a page for each word, in plain English.

The facts are of the recorded root `make demo` unpacks: shown where the user's own has no example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TEXTS", "Text"]


class Text(NamedTuple):
    """What there is to say about a word.

    Attributes:
        line: in one line.
        what: what it is.
        why: what follows from it.
        disk: where it is on the disk.
        facts: the example for who has none.
        commands: to try; NAME, PATH, PARENT (the directory of PATH) and LAYER stand for those of the example.
        see: other words.
    """

    line: str
    what: str
    why: str
    disk: str
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    see: tuple[str, ...]


TEXTS: Mapping[str, Text] = {
    "whiteout": Text(
        "a mark in an upper layer that says: this name is deleted",
        "A layer cannot change the layers below it. To delete a file of a lower layer, the upper layer "
        "gets a whiteout of the same name. A look-up of that name meets the whiteout first, and stops there.",
        "The bytes stay in the lower layer, and in every copy of the image. A secret that a later step "
        "deletes is not gone; the image does not get smaller either.",
        "In overlay2, containerd and Podman a character device with the numbers 0,0. In a tar, as in "
        "archives and registries, and where fuse-overlayfs stacks layers, an empty file called .wh.NAME.",
        (
            ("the whiteout", "overlay2/e54dae1b0f22…/diff/root/password.txt (layer 5 of demo)"),
            ("the file", "still in layer 3, 29 bytes"),
        ),
        ("layerfs explain NAME PATH", "layerfs deleted NAME", "layerfs ls --layer LAYER -la NAME PARENT"),
        ("opaque", "copy-up"),
    ),
    "opaque": Text(
        "a directory that hides what lower layers have in it",
        "Directories of one name in several layers are shown as one. An opaque directory ends that: what "
        "lower layers have in it is not shown: a look-up does not go on to them.",
        "It is written when one step removes a directory and makes it again. Then there is no whiteout for "
        "any single file, so only the lower layer tells what was lost.",
        "The extended attribute trusted.overlay.opaque with the value y on the directory; "
        "user.overlay.opaque where an ordinary user runs the engine. In a tar an empty file .wh..wh..opq "
        "in the directory. No value but y hides anything.",
        (
            ("the entry", "overlay2/l8mwc7mwljpu…/diff/srv/www (layer 10 of buildkit)"),
            ("what it says", "opaque; the files of layer 2 below it are cut off"),
        ),
        ("layerfs explain NAME PATH", "layerfs ls --layer LAYER -la NAME PARENT", "layerfs deleted NAME"),
        ("whiteout", "redirect"),
    ),
    "diff-id": Text(
        "the SHA-256 of a layer's tar, as it is uncompressed",
        "A diff ID names what one layer changes: it is the SHA-256 of the layer's tar before compression. "
        "The config of an image lists the diff IDs of its layers, base first.",
        "The same change has the same diff ID in every image, whatever is below it. Compression does not "
        "matter: the digest of the compressed bytes is another one (see distribution-digest).",
        "In the image's config, below rootfs.diff_ids; and in a Docker data root in "
        "image/overlay2/layerdb/sha256/CHAIN/diff.",
        (("diff ID of layer 6 of demo", "sha256:ff8bbbbb5205…"),),
        ("layerfs layers NAME", "layerfs inspect --format json NAME", "layerfs verify NAME"),
        ("chain-id", "distribution-digest", "image-id"),
    ),
    "chain-id": Text(
        "the name of a layer together with all layers below it",
        "The chain ID of the base layer is its diff ID. That of every other layer is the SHA-256 of the text "
        '"PARENT DIFF": the chain ID of the layer below, a space, and its own diff ID.',
        "What a layer holds on disk depends on what is below it, so engines store a layer under its chain "
        "ID. Two images share a layer on disk exactly if the chain IDs are equal; equal diff IDs are not "
        "enough.",
        "The name of the directory image/overlay2/layerdb/sha256/CHAIN. In containerd the name of a "
        "snapshot.",
        (
            ("chain ID of layer 1 of demo", "sha256:89f209027169…"),
            ("diff ID of layer 2", "sha256:8174434d51ad…"),
            ("chain ID of layer 2", "sha256:4f18858eae9d…"),
        ),
        ("layerfs chain-id --steps NAME", "layerfs layers NAME", "layerfs explain NAME"),
        ("diff-id", "cache-id", "shared-size"),
    ),
    "cache-id": Text(
        "the random name of the directory with a layer's files",
        "Docker's overlay2 driver keeps the files of each layer in a directory of its own, "
        "overlay2/CACHE_ID. The name is random: nothing can be computed from it, and it is another one on "
        "every host.",
        "One small file connects the two names of a layer. Where that is lost, nothing but its contents "
        "tells what a directory is; where its layer is gone, it is an orphan, and takes space.",
        "image/overlay2/layerdb/sha256/CHAIN/cache-id has the name; overlay2/CACHE_ID/diff has the files, "
        "overlay2/CACHE_ID/lower the layers below.",
        (
            ("chain ID of layer 6 of demo", "sha256:3d6da2340ece…"),
            ("its cache ID", "a3cc377b6733…"),
            ("its files", "overlay2/a3cc377b6733…/diff"),
        ),
        ("layerfs layers NAME", "layerfs explain NAME", "layerfs doctor"),
        ("chain-id", "snapshot"),
    ),
    "layer-id": Text(
        "the name of a layer in a store of Podman, CRI-O or Buildah",
        "containers/storage has no chain IDs. A base layer is called by its diff ID, without sha256:. Each "
        "other one is called by the SHA-256 of the text LAYER-ID-BELOW+DIFF-ID, in hexadecimal digits. So "
        "the name says what is in the layer and in all below it, and is the same on every host.",
        "A name that is taken already becomes a random one. The layer of a container has a random one, too. "
        "A layer that was pulled by its table of contents has +@TOC=DIGEST in the text.",
        "overlay-layers/layers.json has a record for each layer, with the one below it (parent) and the diff "
        "ID (diff-digest); overlay/LAYER-ID/diff has the files.",
        (
            ("layer ID of layer 1 of multi:1", "290aa12817c9…"),
            ("diff ID of layer 2", "sha256:7b44b301eaa0…"),
            ("layer ID of layer 2", "232cae956069…"),
        ),
        ("layerfs layers NAME", "layerfs explain NAME"),
        ("diff-id", "chain-id", "composefs"),
    ),
    "composefs": Text(
        "layers kept as lists of names beside a pool of contents",
        "With use_composefs Podman unpacks no tree. diff/ is a pool: each content is a file called by its "
        "SHA-256. A table of contents says which name has which content, mode and owner; an image of a "
        "read-only file system (EROFS) is made of it, and mounted.",
        "One content is kept once in a layer, and the kernel can check it when it is read. A plain overlay "
        "mount shows the pool, and no names. In that image whiteouts are ordinary files, so the engine "
        "shows what lower layers have; layerfs follows the meaning that all other stores give them.",
        "overlay/LAYER-ID/diff/5f/5b00… are the contents, overlay/LAYER-ID/composefs-data/composefs.blob is "
        "the image; overlay-layers/LAYER-ID/ has the table, as JSON.",
        (
            ("the file", "/etc/motd of layer 2 of chunked:1"),
            ("its object", "overlay/8871b7162d33…/diff/5f/5b0074…"),
        ),
        ("layerfs explain NAME PATH", "layerfs layers NAME", "layerfs explain NAME"),
        ("layer-id", "whiteout"),
    ),
    "image-id": Text(
        "the SHA-256 of an image's config",
        "The config is a JSON file with the settings, the history, and the diff IDs of all layers of an "
        "image. Its SHA-256 is the image ID; so the ID names contents, settings and history together.",
        "Change one label, and the ID is another, although all layers are the same. Names such as "
        "demo:latest only point at an ID, and can be moved. In Docker's containerd store the ID shown is "
        "the digest of the manifest or index instead.",
        "image/overlay2/imagedb/content/sha256/ID in a Docker data root; a blob among others in containerd, "
        "and in OCI layouts.",
        (("SHA-256 of the config of demo", "sha256:f30982bad869…"),),
        ("layerfs images --digests", "layerfs inspect NAME", "layerfs explain NAME"),
        ("diff-id", "manifest"),
    ),
    "manifest": Text(
        "a list of one config and its layers, for transport",
        "A manifest names what is sent for one image: the config and each layer, by the digest and the size "
        "of its bytes as they are sent, that is, compressed.",
        "The manifest says what is transported, the config what is unpacked. So an image has two lists of "
        "its layers: digests in the manifest, diff IDs in the config.",
        "A blob in containerd's content store, in OCI layouts and registries; manifest.json in archives of "
        "docker save. A classic Docker data root keeps none.",
        (
            ("the name points at", "sha256:efe4fbf7d6a2… (multi:1, in a containerd store)"),
            ("the config of this platform", "sha256:8d9dce102e45…"),
        ),
        ("layerfs images --digests", "layerfs inspect NAME", "layerfs layers --digests NAME"),
        ("index", "image-id", "distribution-digest"),
    ),
    "index": Text(
        "one name for several platforms: a list of manifests",
        "An index lists one manifest for each platform, such as linux/amd64 and linux/arm64. A name in a "
        "registry mostly points at an index; an engine takes the manifest of its own platform from it.",
        "Engines fetch only what they need, so an index may name manifests that are not stored here. That is "
        "no damage. Which platform is shown can be chosen with --platform.",
        "A blob of JSON in containerd's content store, in OCI layouts and registries; index.json is the one "
        "at the top of a layout.",
        (
            ("the name points at", "sha256:efe4fbf7d6a2… (multi:1, in a containerd store)"),
            ("platform", "linux/amd64"),
        ),
        ("layerfs images --digests", "layerfs inspect NAME"),
        ("manifest", "image-id"),
    ),
    "distribution-digest": Text(
        "the SHA-256 of what a registry sends",
        "Layers are compressed for transport. The digest of the compressed bytes is what registries and "
        "manifests name; a pull by digest, NAME@sha256:…, names a manifest so.",
        "Compression is not exact: the same layer compressed twice has two digests, and still one diff ID. "
        "So a digest proves what was sent, a diff ID what was unpacked.",
        "image/overlay2/distribution/ of a Docker data root notes which diff ID had which digest; in "
        "containerd and OCI layouts it is the name of the blob.",
        (
            ("diff ID of layer 1 of demo", "sha256:89f209027169…"),
            ("in registries", "sha256:3c3bf697b2ed…"),
        ),
        ("layerfs images --digests", "layerfs layers --digests NAME", "layerfs verify NAME"),
        ("diff-id", "manifest"),
    ),
    "shared-size": Text(
        "the bytes of layers that other images have too",
        "Images on one host share their equal lower layers: each is stored once. The shared size of an image "
        "is the sum of its layers that at least one other image has.",
        "Removing an image frees none of its shared bytes. And as each image counts them, the sum of SIZE "
        "over all images is more than the disk holds.",
        "Nowhere: it is computed, from the chain IDs in the configs and the size noted for each layer.",
        (
            ("layers of committed:1", "7"),
            ("of them also in other images", "6"),
            ("images that have the base", "37"),
        ),
        ("layerfs images --usage", "layerfs du", "layerfs du --what-if NAME"),
        ("chain-id", "dangling"),
    ),
    "missing": Text(
        "a step in a history whose own image is not stored",
        "A history has a line for each step of the build. The first column is the ID of the image as of that "
        "step; where no such image is stored, it is <missing>.",
        "Nothing is lost or damaged. Pulled images, and those that BuildKit made, have only the last ID; "
        "only the classic builder keeps an image for each step (see intermediate).",
        "The steps are in the config of the image, below history. An image of a step would have a config of "
        "its own.",
        (("steps of buildkit", "15"), ("of them <missing>", "14")),
        ("layerfs history NAME", "layerfs images -a"),
        ("intermediate", "image-id"),
    ),
    "dangling": Text(
        "an image without a name, <none>:<none>",
        "An image that no name points at, and that is no step of another image. Mostly a newer build took "
        "its tag: the tag was moved, and the old image stayed.",
        "It keeps its layers on disk until it is removed, as docker image prune does. What would be freed is "
        "only what no other image has.",
        "A config that repositories.json (in containerd: the list of images) does not mention.",
        (("image", "sha256:06845fe0b59a…"), ("named by", "nothing")),
        ("layerfs images --filter dangling=true", "layerfs du --what-if NAME", "layerfs inspect NAME"),
        ("intermediate", "shared-size"),
    ),
    "intermediate": Text(
        "a nameless image of a build: a step of another",
        "The classic builder keeps an image for each step of a build, so that a later build can begin there. "
        "Each has a link to its parent; images -a shows them.",
        "It has no layer that the finished image has not, so it costs only its config. And it shows an image "
        "as of that step.",
        "A config like any other; image/overlay2/imagedb/metadata/sha256/ID/parent of its child names it.",
        (("image", "sha256:7983426e336e…"), ("a step of", "rebuilt:latest")),
        ("layerfs images -a", "layerfs history NAME"),
        ("dangling", "missing"),
    ),
    "copy-up": Text(
        "a lower file is copied whole before it is changed",
        "A container writes into a layer of its own, on top of the image. Before it changes a file of the "
        "image, overlayfs copies the whole file up into that layer, also for one byte, or for its mode "
        "alone.",
        "One line added to a file of a gigabyte takes a gigabyte. RUN chown -R in a Dockerfile copies all it "
        "touches, so the image grows by that.",
        "The file lies in the container's own layer and, as before, in the layer of the image.",
        (
            ("in the image", "layer 4 of changed has /etc/motd, 50 bytes"),
            ("in the container", "a copy of all of it, 77 bytes now"),
        ),
        ("layerfs explain NAME PATH", "layerfs diff NAME", "layerfs waste NAME"),
        ("metacopy", "hard-links", "whiteout"),
    ),
    "metacopy": Text(
        "a file with attributes only: its bytes are in a lower layer",
        "With this option of overlayfs a change of mode or owner copies up only the attributes. The upper "
        "file has a mark, and no data; reading goes on in the layer below.",
        "A tool that does not know the mark shows a file of zeros, or of nothing. Docker turns the option "
        "off; containers/storage (Podman) turns it on.",
        "The extended attribute trusted.overlay.metacopy on the file. With trusted.overlay.redirect the data "
        "are under another name.",
        (
            ("the entry", "lab/metacopy:1, layer 2: /renamed"),
            ("what it says", "attributes only"),
        ),
        ("layerfs explain NAME PATH", "layerfs stat NAME PATH", "layerfs ls --layer LAYER -la NAME PARENT"),
        ("copy-up", "redirect"),
    ),
    "redirect": Text(
        "a renamed directory whose contents stay in lower layers",
        "With the option redirect_dir overlayfs can rename a directory of a lower layer without a copy: the "
        "new directory has a mark with the old path, and its contents are looked for there.",
        "Without the option a rename of such a directory fails (EXDEV), and mv copies all. A tool that does "
        "not know the mark shows an empty directory.",
        "The extended attribute trusted.overlay.redirect on the directory: a name, or a path from the root.",
        (
            ("the entry", "lab/redirect:1, layer 2: /moved"),
            ("what it says", "redirect to /old"),
        ),
        ("layerfs explain NAME PATH", "layerfs ls --layer LAYER -la NAME PARENT"),
        ("metacopy", "opaque"),
    ),
    "hard-links": Text(
        "several names of one file, within one layer",
        "Hard links are names of one file: what is written through one is read through all. In a layer they "
        "are kept. They never lead from one layer into another.",
        "After a copy-up of one name, the others still show the old bytes: the link is broken. A file with "
        "several names is stored and counted once in its layer.",
        "Names with the same inode number in the layer's directory. In a tar the second name is an entry of "
        "type link.",
        (
            ("the entry", "lab/links:1, layer 1"),
            ("what it says", "one of 2 names of one file"),
        ),
        ("layerfs stat NAME PATH", "layerfs ls -li NAME PARENT"),
        ("copy-up",),
    ),
    "snapshot": Text(
        "containerd's word for a layer, unpacked on its parents",
        "A snapshot is a directory with the files of a layer, and a note of its parent. A committed one is a "
        "layer of an image and does not change; an active one is what a container writes into; a view is to "
        "look only.",
        "Committed snapshots are named by the chain ID of the layer. Images that are fetched and not "
        "unpacked have blobs, and no snapshots.",
        "snapshots/N/fs below io.containerd.snapshotter.v1.overlayfs; N is a counter. Which name has which N "
        "is in metadata.db there, and the names of each namespace in meta.db: databases of the bolt format.",
        (
            ("chain ID of layer 3 of multi:1", "sha256:e5dd2d62cad2…"),
            ("its snapshot", "3"),
            ("its directory", "snapshots/3/fs"),
        ),
        ("layerfs layers NAME", "layerfs explain NAME", "layerfs du"),
        ("chain-id", "cache-id"),
    ),
}
"""The texts by their words, in the order in which they are listed."""
