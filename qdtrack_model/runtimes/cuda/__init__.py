"""CUDA as far as it is needed here, by cuda-bindings and without torch."""
