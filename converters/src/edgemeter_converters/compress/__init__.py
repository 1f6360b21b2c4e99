"""Steps that change a model before it is encoded: `compress/FRAMEWORK/STEP.py`, each with an `apply`."""
