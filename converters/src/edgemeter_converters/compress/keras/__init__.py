"""Steps on Keras models. For conversion workers only: each imports Keras where it runs."""
