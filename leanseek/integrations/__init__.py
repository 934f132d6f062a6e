"""leanseek inside other people's programs.

- `beir.BeirSearch`: drives leanseek by the `beir` package's `EvaluateRetrieval`;
- `mteb.MtebEncoder`, `mteb.MtebSearch`: an encoder, or the whole pipeline, as a model of `mteb`.
"""
