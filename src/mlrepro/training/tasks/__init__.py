"""Tasks by what the network reads, a module each; the catalogue says which run needs which."""
