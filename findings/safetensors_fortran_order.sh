#!/usr/bin/env bash
# safetensors 0.8.0 (with numpy 2.4.6): safetensors.numpy.save writes the memory of an array that is not C-ordered under
# its logical shape, so other values are read back, without an error; of a strided or broadcast view it writes what lies
# beside it in memory, beyond its end too. safetensors 0.7.0 writes the right values.
#
# Seen on CPython 3.11, Linux x86-64:
#   0.7.0 transposed [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] reads back as [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   0.8.0 transposed [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]] reads back as [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
#   0.8.0 strided [0.0, 2.0, 4.0] reads back as [0.0, 1.0, 2.0]
#
# Exits 0 where it behaves so, 1 where it no longer does. It needs Python 3.11 or newer, and network for pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
cat > show.py <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

arrays = {
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "strided": np.arange(6, dtype=np.float32)[::2],
}
scrambled = 0
for name, array in arrays.items():
    found = load(save({name: array}))[name]
    print(version("safetensors"), name, array.tolist(), "reads back as", found.tolist())
    scrambled += not np.array_equal(found, array)
sys.exit(0 if scrambled == int(sys.argv[1]) else 1)
PYTHON
venv/bin/python -m pip install --quiet numpy==2.4.6 safetensors==0.7.0
venv/bin/python show.py 0 || { echo "changed: 0.7.0 scrambles"; exit 1; }
venv/bin/python -m pip install --quiet safetensors==0.8.0
venv/bin/python show.py 2 || { echo "changed: 0.8.0 writes other values than it did"; exit 1; }
