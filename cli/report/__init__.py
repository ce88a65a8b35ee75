"""`layerfs report`: a twin in JSON of what a store tells, and a page made from the twin alone."""
