"""How probable it is that a candidate is relevant: probabilities that mean the same for every query."""
