"""Results as people and programs read them: exports with their schema, and tables. Pure."""
