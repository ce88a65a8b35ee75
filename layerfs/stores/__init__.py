"""The kinds of store, one package each, and what finds and opens stores."""
