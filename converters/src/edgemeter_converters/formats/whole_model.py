"""What formats share that treat a model as a whole. Pure."""

from __future__ import annotations

from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2


class WholeModelFormat:
    """None of its layers can be left in float, and the same runtimes run whatever it makes.

    Attributes:
        run_by: any one of these; none where files are for the coordinator only.
    """

    run_by: tuple[variant_pb2.RuntimeRequirement, ...]

    def runtimes(
        self, _framework: str, _precision: Precision, _options: Options
    ) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        return self.run_by

    def layers(self, _model: LoadedModel, _encoding: Encoding) -> tuple[str, ...]:
        return ()
