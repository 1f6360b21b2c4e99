"""Steps on torch modules. For conversion workers only: importing one of them imports torch."""
