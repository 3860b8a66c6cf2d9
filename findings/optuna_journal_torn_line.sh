#!/usr/bin/env bash
# optuna 5.0.0: a study in a journal file whose last line was not written to its end, as a full disk or a loss of power
# leaves it, still opens, since that line is passed over; what the next process appends is joined to it, and from the
# line after that on the study cannot be opened again: every trial before it is out of reach.
#
# Seen on CPython 3.11, Linux x86-64:
#   opened with a half line: 2 trials
#   after one more trial: JSONDecodeError
#
# Exits 0 where it behaves so, 1 where it no longer does. It needs Python 3.11 or newer, and network for pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet optuna==5.0.0
cat > show.py <<'PYTHON'
import json
import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)


def opened():
    storage = JournalStorage(JournalFileBackend("study.journal"))
    return optuna.create_study(storage=storage, study_name="study", load_if_exists=True)


study = opened()
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
with open("study.journal", "ab") as journal:
    journal.write(json.dumps({"op_code": 4, "worker_id": "w", "study_id": 0})[:20].encode())
seen = []
try:
    seen.append(f"opened with a half line: {len(optuna.load_study(study_name='study', storage=JournalStorage(JournalFileBackend('study.journal'))).trials)} trials")
    study = opened()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    study = opened()
    seen.append(f"after one more trial: {len(study.trials)} trials")
except Exception as error:
    seen.append(f"after one more trial: {type(error).__name__}")
print("\n".join(seen))
sys.exit(0 if seen == ["opened with a half line: 2 trials", "after one more trial: JSONDecodeError"] else 1)
PYTHON
venv/bin/python show.py || { echo "changed: see above"; exit 1; }
