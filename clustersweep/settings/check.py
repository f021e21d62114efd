"""How a settings file is checked: against its schema and its rules, every problem at once. Knows no kind of file."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import pydantic
from annotated_types import Ge, Le, MinLen

from clustersweep.errors import ProblemsError
from clustersweep.settings.document import Document, Fault, Json
from clustersweep.settings.messages import faults_of
from clustersweep.settings.vocabulary import Vocabulary

T = TypeVar("T")

UNIQUE = pydantic.Field(json_schema_extra={"uniqueItems": True})
Seeds = Annotated[tuple[Annotated[int, Ge(0), Le(2**31 - 1)], ...], MinLen(1), UNIQUE]


def checked(
    document: Document,
    schema: pydantic.TypeAdapter[T],
    words: Vocabulary,
    cross_checks: Callable[[Json], Iterable[Fault]],
    refusal: type[ProblemsError],
) -> T:
    """Return what a document holds as its type.

    Args:
        document: What was read.
        schema: The type.
        words: Of this kind of file, for messages.
        cross_checks: Finds what no single key shows, whatever the types.
        refusal: What to raise.

    Raises:
        ProblemsError: With every problem of the file; of the class `refusal`.
    """
    if document.value is None:
        raise refusal(document.problems([] if document.faults else [Fault((), "is empty", words.begin)]))
    faults: list[Fault] = []
    try:
        # As JSON, where strictness means the file's own types: '3' is no number, yet a list may be a tuple.
        value = schema.validate_json(json.dumps(document.value), strict=True)
    except pydantic.ValidationError as error:
        faults += faults_of(error.errors(include_url=False), document, words)
    faults += cross_checks(document.value)
    if document.faults or faults:
        raise refusal(document.problems(faults))
    return value
