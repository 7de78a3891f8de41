"""drivers.visca_options: what a camera's model does not state has to be given."""

import pytest

from agent.base.checked_convert import convert
from agent.base.errors import UserError
from drivers.visca_options import Options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {},
            (
                "pan_deg: missing, its range of pan, to the right of its middle; allowed: given, or a model: "
                "evi_d30, evi_d70, evi_d80, ptzoptics"
            ),
        ),
        (
            {"model": "evi_d70"},
            (
                "pan_max_deg_s: missing, its top speed of pan; allowed: given, or another model than "
                "'evi_d70', which does not state it"
            ),
        ),
    ],
)
def test_a_missing_property_is_named_with_the_models_that_have_it(
    options: dict[str, object], problem: str
) -> None:
    with pytest.raises(UserError) as error:
        convert({"port": "/dev/ttyUSB0", **options}, Options, "vigie.toml", "head[0].options")
    assert str(error.value) == f"vigie.toml: head[0].options: {problem}"
