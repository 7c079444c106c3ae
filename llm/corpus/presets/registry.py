"""The presets that there are: a new one is a file beside this one and a field here.

A preset is a set of rules under the names and thresholds that it was published with. A rule is a
field named `min_` or `max_` and a signal (`llm.corpus.signals_settings`): the field's value is the
bound, and null switches the rule off. The field's name is what recipes call the preset.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from llm.corpus.presets.c4 import C4
from llm.corpus.presets.fineweb import FineWeb
from llm.corpus.presets.fineweb2 import FineWeb2
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.corpus.presets.gopher_repetition import GopherRepetition
from llm.settings import section, setting

_THRESHOLDS = "Thresholds of that preset."


@section
class Presets:
    """Which rule sets are in use, and their thresholds."""

    presets: tuple[str, ...] = setting(default=())
    c4: C4 = setting(default=C4, description=_THRESHOLDS)
    gopher_quality: GopherQuality = setting(default=GopherQuality, description=_THRESHOLDS)
    gopher_repetition: GopherRepetition = setting(default=GopherRepetition, description=_THRESHOLDS)
    fineweb: FineWeb = setting(default=FineWeb, description=_THRESHOLDS)
    fineweb2: FineWeb2 = setting(default=FineWeb2, description=_THRESHOLDS)


PRESETS = tuple(field.name for field in dataclasses.fields(Presets) if field.name != "presets")
if TYPE_CHECKING:
    Preset = str
else:
    Preset = Literal[PRESETS]
