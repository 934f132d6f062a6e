"""leanseek inside other packages.

- `BeirSearch`: a retriever for the `beir` package's `EvaluateRetrieval`;
- `MtebEncoder`, `MtebSearch`: an encoder, or the whole pipeline, as a model of `mteb`;
- `leanseek.integrations.langchain`: a retriever, a document index, a vector store and a compressor for LangChain;
- `leanseek.integrations.llamaindex`: a retriever, a vector store and a postprocessor for LlamaIndex;
- `leanseek.integrations.haystack`: a document store, a retriever and a ranker for Haystack;
- `leanseek.integrations.dspy`: a retriever for DSPy;
- `Connection`: what the adapters of frameworks share.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
