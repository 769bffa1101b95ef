"""The one base of everything that this package raises of its own accord."""


class RefimplError(Exception):
    """An error of this package; each kind is also the built-in error that it is a case of.

    >>> import refimpl
    >>> try:
    ...     refimpl.softmax("text")
    ... except refimpl.RefimplError as error:
    ...     print(isinstance(error, ValueError), error)
    True softmax: z has dtype <U4, expected real numbers
    """
