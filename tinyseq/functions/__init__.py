"""The ops and what is made of them as functions of tensors: signature and words; the records are in ``ops``."""
