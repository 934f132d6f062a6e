from .application import create_app as create_app
from .keys import Key as Key
from .keys import read_keys as read_keys
from .serve_settings import ServeSettings as ServeSettings
