"""Evaluation: collections, runs, measures, significance and reports."""
