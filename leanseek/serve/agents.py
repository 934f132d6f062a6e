"""x"""


def mounted(service):
    return None
