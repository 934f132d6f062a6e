"""Indexes on the network: one server for programs, agents, and the clients of other services."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
