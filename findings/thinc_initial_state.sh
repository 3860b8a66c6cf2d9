#!/usr/bin/env bash
# thinc 9.1.1 (with numpy 2.4.6): the LSTM layer keeps a learned first state HC0, and hands HC0[0], which it calls H0, to
# the place of c, and HC0[1], which it calls C0, to the place of h: with the halves taken by their names the outputs of
# the first step are others than what the layer computes; with the halves exchanged they are the same to rounding.
#
# Seen on CPython 3.11, Linux x86-64:
#   9.1.1 by their names: off by 0.531; exchanged: off by 0.000
#
# Exits 0 where it behaves so, 1 where it no longer does. It needs Python 3.11, and network for pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
cat > show.py <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from thinc.api import LSTM
from thinc.types import Padded

I, H = 3, 4
rng = np.random.default_rng(0)
model = LSTM(H, I)
model.initialize()
weights = rng.normal(0.1, 0.6, model.get_param("LSTM").shape).astype("f")
first, second = rng.normal(0.1, 0.6, (2, H)).astype("f")
model.set_param("LSTM", weights)
model.set_param("HC0", np.stack([first, second]).reshape(2, 1, 1, H))
x = rng.normal(size=I).astype("f")
one = np.ones(1, "i")
y = model.predict(Padded(x[None, None].copy(), one, one.copy(), np.zeros(1, "i"))).data[0, 0]

Wx, bx, Wh, bh = np.split(weights, np.cumsum([4 * H * I, 4 * H, 4 * H * H]))


def step(h, c):
    f, i, o, g = np.split(Wx.reshape(-1, I) @ x + bx + Wh.reshape(-1, H) @ h + bh, 4)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    return sigmoid(o) * np.tanh(sigmoid(f) * c + sigmoid(i) * np.tanh(g))


named, exchanged = (np.abs(step(*pair) - y).max() for pair in ((first, second), (second, first)))
print(version("thinc"), f"by their names: off by {named:.3f}; exchanged: off by {exchanged:.3f}")
sys.exit(0 if named > 0.01 and exchanged < 1e-5 else 1)
PYTHON
venv/bin/python -m pip install --quiet numpy==2.4.6 thinc==9.1.1
venv/bin/python show.py
