"""Questions about trees and stores, answered through the protocols of `tree.source` and `store`."""
