from .groups import gather as gather
from .page import FORMATS as FORMATS
from .page import Format as Format
from .page import render as render
from .page import write_page as write_page
from .page import write_report as write_report
from .study import Study as Study
