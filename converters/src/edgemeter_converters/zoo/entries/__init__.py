"""Entries of the zoo, one file each: where weights and data come from, and what makes files of them."""
