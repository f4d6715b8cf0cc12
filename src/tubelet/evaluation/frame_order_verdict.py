"""What accuracies with frames in another order show, in sentences."""

from __future__ import annotations

from tubelet.evaluation.intervals import Bootstrap
from tubelet.evaluation.paired import Difference
from tubelet.text import count


def verdict(
    top1: float,
    majority: float,
    against_majority: Difference,
    bootstrap: Bootstrap,
    *,
    shuffled: Difference,
    backwards: Difference,
    single_frame: Difference,
) -> str:
    """What the figures show, and what they do not.

    A difference is shown where McNemar's exact test has p < 0.05 and no interval that there is holds 0.

    Args:
        top1: accuracy with the frames in order.
        majority: accuracy of always predicting the most frequent class.
        against_majority: the model against that, on the same videos.
        bootstrap: what the intervals are over.
        shuffled: accuracy with shuffled frames against the frames in order; likewise the others.
        backwards: with the last frame first.
        single_frame: with the middle frame in place of all.
    """
    accuracy = f"Accuracy {_percent(top1)}, majority class {_percent(majority)}"
    caveat = "" if bootstrap.enough else f" {_few(bootstrap)}"
    if not (against_majority.shown and against_majority.difference > 0):
        return (
            f"{accuracy}: not shown to be better than always naming the most frequent class "
            f"({_evidence(against_majority)}), so this says nothing about time.{caveat}"
        )
    alone = f"accuracy on the middle frame alone is {_percent(top1 + single_frame.difference)}"
    sentences = [
        f"{accuracy} ({_p(against_majority)}).",
        f"The order of frames matters to this model: shuffling costs {_points(shuffled, -1)}."
        if _is_cost(shuffled)
        else f"It is not shown that the order of frames matters: shuffling changes {_points(shuffled)}.",
        f"The direction of time matters: playing backwards costs {_points(backwards, -1)}."
        if _is_cost(backwards)
        else f"It is not shown that the direction matters: playing backwards changes {_points(backwards)}.",
        f"{'One' if _is_cost(single_frame) else 'It is not shown that one'} frame is not enough: {alone} "
        f"({_evidence(single_frame)}).",
    ]
    return " ".join(sentences) + caveat


def _is_cost(difference: Difference) -> bool:
    return difference.shown and difference.difference < 0


def _few(bootstrap: Bootstrap) -> str:
    """The caveat of few units: p-values are of these videos alone."""
    units = count(bootstrap.units, bootstrap.unit)
    return f"It is of {units}: too few to say whether it holds for other {bootstrap.unit}s."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _p(difference: Difference) -> str:
    return f"p = {difference.p_value:.2g}"


def _points(difference: Difference, sign: int = 1) -> str:
    """The difference in points with its interval and p, signed; or as a loss where `sign` is -1."""
    form = "+.1f" if sign == 1 else ".1f"
    return f"{sign * 100 * difference.difference:{form}} points ({_evidence(difference, sign)})"


def _evidence(difference: Difference, sign: int = 1) -> str:
    """The interval and p; and which of them speaks against it where they disagree."""
    form = "+.1f" if sign == 1 else ".1f"
    ends = sorted(sign * 100 * end for end in difference.interval or ())
    parts = [f"{ends[0]:{form}} to {ends[1]:{form}}"] if ends else []
    parts.append(_p(difference))
    if difference.significant and not difference.shown:
        parts.append("but the interval reaches 0")
    return ", ".join(parts)
