"""Go templates, as Docker takes them behind `--format`."""
