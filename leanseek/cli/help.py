"""How commands show their help: options in panels, and names read from the tables that define them."""

from __future__ import annotations

from importlib import import_module
from inspect import isfunction
from typing import Any, get_args

from typer.core import TyperCommand

FEW = 15
"""A command with no more options than this shows them in one panel."""

PANELS = {
    "Server": "host port refresh grace suggest log_queries",
    "Access": "keys open writable cors",
    "Limits": "max_body max_k max_batch max_waiting timeout receive_timeout",
    "Cluster": "cluster shards address partial deadline",
    "Output": "into overwrite out index tag system k measures force explain dry_run as_json help",
    "Reading": "splits mirror id_field text_field title_field encoding on_error on_duplicate chunk overlap",
    "Encoding": "encoder temperature max_tokens device no_cache",
    "Dense side": "dense",
    "Dense side: lean": "dims kind recall precision primary reduction learning_queries",
    "Sparse side": "sparse analyzer variant k1 b delta lossy_lengths",
    "Learned side": "learned learned_terms",
    "Expansion": "expand_documents generator",
    "N-grams": "ngrams ngram_weight",
    "Filter and fusion": "mode filter clarify literal operators also collapse fusion dense_weight learned_weight depth",
    "Feedback": "relevant irrelevant",
    "Fields": "understand strict",
    "Order and counts": "diversity recency now history history_weight facet",
    "Context": "context expand compress guard",
    "Relevance": "min_probability relevant_only relevance",
    "Training": "texts limit method pairs joint_layers features map seed work",
    "Groups": "negatives most teacher",
    "Learning": "base loss ssl document_price query_price epochs batch learning_rate mix",
    "Fitting to an index": "unlabelled judged reset queries qrels",
    "Re-ranking": "candidates candidates_depth rerank rerank_depth rerank_budget rerank_long adaptive",
}
"""The panel of each option, by the name of its parameter."""

PANEL = {option: panel for panel, options in PANELS.items() for option in options.split()}


TABLES = {
    "analyzers": ("leanseek.text", "analyzer_names"),
    "dense": ("leanseek.indexing.dense.registry", "DENSE"),
    "encoders": ("leanseek.encode.registry", "ENCODERS"),
    "expanders": ("leanseek.understanding", "EXPANDERS"),
    "formats": ("leanseek.reading.formats", "READABLE"),
    "fusions": ("leanseek.searcher.fusion", "FUSIONS"),
    "kinds": ("leanseek.indexing.settings", "LeanKind"),
    "lean_from": ("leanseek.indexing.dense.registry", "LEAN_FROM"),
    "long": ("leanseek.rerank.crossencoder.windows", "LONG"),
    "measures": ("leanseek.eval.providers", "KNOWN"),
    "precisions": ("leanseek.indexing.settings", "Precision"),
    "primaries": ("leanseek.indexing.settings", "Primary"),
    "providers": ("leanseek.eval.providers", "PROVIDERS"),
    "reductions": ("leanseek.indexing.settings", "Method"),
    "rerankers": ("leanseek.rerank.registry", "choices"),
    "scales": ("leanseek.searcher.fusion", "SCALES"),
    "sparse": ("leanseek.indexing.sparse.registry", "SPARSE_BACKENDS"),
    "variants": ("leanseek.indexing.sparse.parameters", "Bm25Variant"),
}
"""Where the names are that a help text fills in at `{key}`. Only the help of a command that uses one imports it."""


class Names(dict[str, str]):
    """The names of `TABLES` as help texts show them, each read when it is first asked for."""

    def __missing__(self, key: str) -> str:
        module, name = TABLES[key]
        self[key] = ", ".join(rows(getattr(import_module(module), name)))
        return self[key]


def rows(table: Any) -> list[str]:
    """The names in a table: a mapping, a sequence, an enumeration, a Literal, or a function that returns them."""
    if isfunction(table):
        table = table()
    if isinstance(table, int):
        return [f"{table:,}"]
    if isinstance(table, str):
        return [table]
    return [str(row) for row in get_args(table) or table if str(row)]


class Helped(TyperCommand):
    """A command whose help has its options in `PANELS` and the names of tables filled in."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; those of a command with many options each with a panel."""
        found: list[Any] = super().get_params(ctx)
        options = [one for one in found if one.param_type_name == "option"]
        if len(options) > FEW:
            for option in options:
                option.rich_help_panel = PANEL.get(option.name)
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help with its names filled in, and paragraphs as wide as the terminal."""
        names = Names()
        parameters: list[Any] = self.params
        for parameter in parameters:
            parameter.help = (parameter.help or "").format_map(names)
        paragraphs = (self.help or "").split("\n\n")
        self.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        super().format_help(ctx, formatter)
