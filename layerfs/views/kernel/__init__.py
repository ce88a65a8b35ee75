"""A mount without a server: the kernel's own overlayfs over the directories of the layers."""
