"""The terminal browser of `layerfs explore`. Only that command imports it, as it needs Textual."""
