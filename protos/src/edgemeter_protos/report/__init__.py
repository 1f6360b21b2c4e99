"""Results for people and programs: parts of the JSON that coordinator and agent both print, and texts made
of it. Pure."""
