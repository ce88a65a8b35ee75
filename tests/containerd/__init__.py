"""containerd's stores beside what their engines said of them."""
