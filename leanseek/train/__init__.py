"""What is learned from judged queries: relevance models, fusion weights."""
