"""Results in the reference: their fields are the arguments that they are made of, as those of a dataclass are."""

from __future__ import annotations

from typing import Any

from griffe import Class, Extension, Function, Parameter, ParameterKind, Parameters

RECORD = "Record"


class Records(Extension):
    """Has the signature of each Record name its fields, which it takes as `**values`."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Give the class an `__init__` with a keyword for each field that is annotated."""
        if RECORD not in map(str, cls.bases):
            return
        fields = [
            Parameter(name, annotation=field.annotation, kind=ParameterKind.keyword_only, default=field.value)
            for name, field in cls.members.items()
            if field.is_attribute and not name.startswith("_") and "property" not in field.labels
        ]
        self_ = Parameter("self", kind=ParameterKind.positional_or_keyword)
        cls.set_member("__init__", Function("__init__", parameters=Parameters(self_, *fields)))
