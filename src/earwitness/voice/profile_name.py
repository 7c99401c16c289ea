"""What a person is called in a gallery."""

import unicodedata


def profile_name(text: str) -> str:
    """The name without blanks around it, in Unicode's composed form (NFC).

    macOS gives file names decomposed: `Zoë` typed and `Zoë` read from a folder would be two people.
    """
    return unicodedata.normalize("NFC", text.strip())
