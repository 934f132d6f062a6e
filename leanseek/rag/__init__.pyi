from . import research as research
