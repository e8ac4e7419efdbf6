"""Layouts of checkpoints: ours, which is SAELens', and those of dictionary_learning and sparsify. One module each."""
