from .groups import gather as gather
from .page import FORMATS as FORMATS, Format as Format, render as render, write_report as write_report
from .study import Study as Study
