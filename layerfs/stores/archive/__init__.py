"""Archives and layouts: images as `docker save`, Podman, skopeo and others write them."""
