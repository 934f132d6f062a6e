"""One review simulated by asreview with its default model, for benchmarks/reviews.py, which starts this.

It runs in an environment that has asreview, not leanseek. Standard input is JSON: `titles`, `texts`, `labels`, `first`
(the documents labelled before anything is learned) and `batch` (how many are labelled at a time). Standard output is
the order in which all documents are read.
"""

from __future__ import annotations

import json
import sys

import pandas as pd
from asreview.learner import ActiveLearningCycle
from asreview.models.models import get_ai_config
from asreview.simulation.simulate import Simulate

given = json.load(sys.stdin)
cycle = ActiveLearningCycle.from_meta(get_ai_config()["value"])
cycle.n_query = given["batch"]
texts = pd.DataFrame({"title": given["titles"], "abstract": given["texts"]})
simulation = Simulate(texts, given["labels"], cycle, print_progress=False)
simulation.label(given["first"])
simulation.review()
order = simulation._results["record_id"].tolist()
# It ends where all that is relevant was found.
json.dump([*order, *sorted(set(range(len(texts))) - set(order))], sys.stdout)
