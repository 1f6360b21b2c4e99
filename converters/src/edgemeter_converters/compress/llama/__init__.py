"""Steps on Llama-family language models. For conversion workers only: importing one of them imports torch."""
