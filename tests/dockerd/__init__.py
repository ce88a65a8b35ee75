"""The same questions to layerfs and to a real Docker Engine on the same root."""
