"""Settings that are a rule with exceptions."""


def with_exceptions(text: str) -> tuple[str, dict[str, str]]:
    """Return what `DEFAULT,NAME=VALUE,…` says: the value of all ("" when there is none) and those of some, by name."""
    default, exceptions = "", dict[str, str]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if equals and "/" not in name:  # an address may hold a query
            exceptions[name.strip()] = value.strip()
        else:
            default = part
    return default, exceptions
