"""What is raised when an argument is refused: errors that callers of Python and callers of torch both catch."""

from __future__ import annotations


class ArgumentError(ValueError, RuntimeError):
    """An argument has a value that the rule does not allow.

    A ValueError, as Python has it, and a RuntimeError, which torch raises for most such mistakes.

    Example:
        >>> try:
        ...     raise ArgumentError("stride must be at least 1; received 0")
        ... except RuntimeError as error:
        ...     print(error)
        stride must be at least 1; received 0
    """


class ArgumentTypeError(TypeError, RuntimeError):
    """An argument is of a type, or a tensor of a dtype, that the rule does not allow.

    A TypeError, as Python has it, and a RuntimeError, which torch raises for tensors of different dtypes.

    Example:
        >>> issubclass(ArgumentTypeError, TypeError) and issubclass(ArgumentTypeError, RuntimeError)
        True
    """
