"""Train with one patient held out, test on that patient, and pack the model as a bundle.

gliomap phantom study --patients 4 --difficulty easy
python examples/train_and_bundle.py study run
"""

import sys
from pathlib import Path

from gliomap.evaluation import record_tables
from gliomap.studies import open_study
from gliomap.workflows import evaluate, make_bundle, open_run, train

study, out = open_study(sys.argv[1]), Path(sys.argv[2])
held_out = list(study.patients)[-1]

# 'conv2d' is the thesis's network; linear discriminant analysis needs seconds instead of minutes.
run = train(study.root, out=out, model="lda", test_patients=[held_out], seed=0)
split = open_run(run).split()
print(f"trained on {', '.join(split.patients_of('train'))}, tested on {', '.join(split.patients_of('test'))}")

evaluated = evaluate(run)
for table in record_tables(evaluated.record):
    print(f"\n{table.title}")
    for row in (table.columns, *table.rows):
        print("   ", " | ".join(row))

bundle = make_bundle(run)
print(f"\n{bundle.path}: identity {bundle.identity[:12]}")
for name, backend in bundle.manifest.backends.items():
    print(f"    {name} {backend.version}: {backend.agreement:.2%} of labels are the model's own")
