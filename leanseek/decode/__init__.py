"""Decoders: language models that write texts, say how probable a text is, and show what they attend to.

`decoder` is what they are asked, `decoder_loader` how they are loaded. `generation` writes, `json_form` holds it to a
form, and `chat` words what is read; `passage_queries` has queries written for passages. `attention` is the function
that models run, `capture` what is recorded of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
