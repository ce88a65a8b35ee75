"""`make bench`: what layerfs costs, beside what else does the same job, in one run on one machine."""
