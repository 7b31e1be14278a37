"""A control beside an estimate, with its own number of units and its own interval."""

from collections.abc import Sequence

from workbench.result.estimate import Estimate, format_number


def with_control(
    found: Estimate, name: str, control: Estimate | None, values: Sequence[float] = ()
) -> Estimate:
    """Return an estimate beside a control, whose name carries the control's n and interval.

    A control may be drawn for fewer units than the estimate is about, so it never stands under
    the estimate's n. Where it has no interval, its name carries the range of its `values`. None
    stands for a control that was not drawn.
    """
    if control is None or control.value is None:
        return found.against(None, f"{name}: none drawn")
    told = f"{name}, n = {control.n}"
    if control.low is not None and control.high is not None:
        told += f", [{format_number(control.low)}, {format_number(control.high)}]"
    elif values:
        told += f", range {format_number(min(values))} to {format_number(max(values))}"
    return found.against(control.value, f"{told}:")
