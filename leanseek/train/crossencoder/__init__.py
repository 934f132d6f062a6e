"""Training a cross-encoder from judged queries, with hard negatives out of our own hybrid search."""
