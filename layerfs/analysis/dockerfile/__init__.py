"""An image's history as a Dockerfile: what each row says, and how a Dockerfile says the same.

`created` knows what each builder writes down, `gowords` and `splitting` what is left of a value there,
`writing` how a value is written so that a parser of Dockerfiles reads that value and nothing else;
`instructions` goes from the one to the other. `sources` finds in the layers what ADD and COPY have put there,
`configured` what the config says besides. `steps` puts an image together, `document` makes it text.
"""
