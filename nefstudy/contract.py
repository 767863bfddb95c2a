"""A check that user-supplied objects implement a protocol."""

from nefstudy.errors import BadConfig


def check_contract(value: object, protocol: type, *, what: str) -> None:
    """Raise an error if an object lacks members of a protocol; properties are not evaluated.

    Raises:
        BadConfig: members are missing; the message names them and all required members.
    """
    if isinstance(value, type):
        raise BadConfig(f"{what}: {value.__name__} is a class; pass an instance, such as {value.__name__}()")
    declared = [*vars(protocol).get("__annotations__", {}), *vars(protocol)]
    required = [name for name in dict.fromkeys(declared) if not name.startswith("_")]
    held = {*dir(type(value)), *getattr(value, "__dict__", {})}
    missing = [name for name in required if name not in held]
    if missing:
        raise BadConfig(
            f"{what}: {type(value).__name__} lacks {', '.join(missing)}; {protocol.__name__} requires "
            f"{', '.join(required)}: add what is missing"
        )
