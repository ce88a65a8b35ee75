"""containerd's store: Docker since 29, Kubernetes, nerdctl. One file or directory of it a module."""
