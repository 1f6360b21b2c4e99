"""Steps on Keras models. Keras and TensorFlow are imported where they are used: for conversion workers only."""
