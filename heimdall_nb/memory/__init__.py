"""Memory before anything is loaded: of a training and of a GGUF file, from the model's configuration alone."""

from heimdall_nb.memory.inference import estimate_inference
from heimdall_nb.memory.parts import Estimate, Part
from heimdall_nb.memory.shape import Shape, shape_of
from heimdall_nb.memory.training import Training, estimate_training, recommended_batch

__all__ = [
    "Estimate",
    "Part",
    "Shape",
    "Training",
    "estimate_inference",
    "estimate_training",
    "recommended_batch",
    "shape_of",
]
