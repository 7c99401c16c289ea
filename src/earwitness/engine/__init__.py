"""The voice engine: recordings and vectors in, decisions out; which voices are enrolled and what a score means."""
