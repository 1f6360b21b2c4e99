"""Study files: many models, each by its recipes, as TOML. Pure."""
