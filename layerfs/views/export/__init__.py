"""Archives of what a data root holds, written as streams: for Docker, for OCI tools, or as plain tars."""
