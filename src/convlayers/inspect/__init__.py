"""Look inside a network: what each layer costs, what it sees, what it has learned. Any torch.nn network will do.

:func:`summary` and :func:`receptive_field` need torch alone (and rich to print a table); the pictures need the extra
``inspect``. No function changes the model: hooks are removed, and its mode, gradients and random numbers are as before.
"""

from convlayers.inspect.class_activation import class_activation_map
from convlayers.inspect.explain import explain
from convlayers.inspect.feature_maps import activations, feature_maps
from convlayers.inspect.filters import filters
from convlayers.inspect.find import find
from convlayers.inspect.maximise import activation_maximisation
from convlayers.inspect.occlude import occlusion
from convlayers.inspect.receptive_field import Field, receptive_field
from convlayers.inspect.summary import Row, Summary, summary

__all__ = [
    "Field",
    "Row",
    "Summary",
    "activation_maximisation",
    "activations",
    "class_activation_map",
    "explain",
    "feature_maps",
    "filters",
    "find",
    "occlusion",
    "receptive_field",
    "summary",
]
