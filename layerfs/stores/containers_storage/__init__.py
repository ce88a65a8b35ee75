"""containers/storage: the store of Podman, CRI-O and Buildah, and skopeo's `containers-storage:`."""
