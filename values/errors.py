"""The root of what Postdesk raises, and the refusal of an administrative act. Ordinary answers are values."""


class PostdeskError(Exception):
    """Broken configuration or a broken invariant; the text says what to do."""


class Refused(PostdeskError):
    """An act that a person asked for and that the desk does not do; the text says what to write instead.

    An exception and not a value, so that the transaction around it takes back what was done before it.
    """
