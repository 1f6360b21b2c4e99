"""Study files: many models, each by its recipes, as TOML; and the bundles that repeat what came out. Pure."""
