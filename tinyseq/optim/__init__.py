"""Optimisers and gradient clipping."""

from tinyseq.optim.clipping import clip_grad_norm, clip_grad_value
from tinyseq.optim.optimizers import SGD, Adam, Optimizer

__all__ = ["SGD", "Adam", "Optimizer", "clip_grad_norm", "clip_grad_value"]
