"""The recipes: each module is one, and each reads by itself."""
