"""The figures of the run that was worked out by hand: every point, interval and band, read from what is drawn.

See `tests/hand_run.py` for its scores and `tests/compare/test_by_hand.py` for means and intervals.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.plot.distribution import distribution
from autointerp.plot.forest import forest
from autointerp.plot.samples import Sample
from autointerp.plot.strips import Strip, StripReader, UnitStrips, strips
from autointerp.plot.style import CEILING, INK, PREDICTED, QUIET, TRUE, colour_of, house_style
from tests.hand_run import hand_run, student

Line = tuple[list[float], list[float]]
"""Places across and down."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    run: Path = hand_run(tmp_path_factory.mktemp("run"))
    return read_outcome(run)


@pytest.fixture(scope="module")
def scores(outcome: Outcome) -> Figure:
    with house_style():
        return distribution(outcome)


@pytest.fixture(scope="module")
def differences(outcome: Outcome) -> Figure:
    with house_style():
        return forest(outcome)


def lines(panel: Axes, colour: str) -> list[Line]:
    """The lines and points of a colour, in the order in which they were drawn."""
    return [
        (np.asarray(line.get_xdata(), dtype=float).tolist(), np.asarray(line.get_ydata(), dtype=float).tolist())
        for line in panel.lines
        if line.get_color() == colour
    ]


def approximately(found: list[Line]) -> list[Line]:
    """To nine digits, so that they can be compared."""
    return [([round(x, 9) for x in across], [round(y, 9) for y in down]) for across, down in found]


def ends(mean: float, variance: float, freedom: int) -> list[float]:
    """Of the interval of a mean or a difference."""
    return [end for end in student(mean, variance, freedom)[1:] if end is not None]


def test_every_unit_is_a_point_of_its_own_arm_and_slice(scores: Figure) -> None:
    drawn = []
    for panel in scores.axes:
        points = [c for c in panel.collections if isinstance(c, PathCollection)]
        assert len(points) == 2
        for place, found in enumerate(points):
            across, down = np.asarray(found.get_offsets()).T
            drawn.append(across.tolist())
            assert np.abs(down - place).max() < 0.25  # scattered about its own arm's row
    assert drawn == [[0.0, 0.0, 0.0, 1.0], [0.5] * 5, [-1.0, -1.0, -1.0, 0.0], [1.0] * 5]


def test_means_and_intervals_are_those_of_the_arms(scores: Figure) -> None:
    """A line from end to end, then the mean; the neurons, which are all alike, have no interval."""
    first, second = (approximately(lines(panel, INK)) for panel in scores.axes)
    assert first == approximately([(ends(0.25, 1 / 16, 3), [0.0, 0.0]), ([0.25], [0.0]), ([0.5], [1.0])])
    assert second == approximately([([-1.0, ends(-0.75, 1 / 16, 3)[1]], [0.0, 0.0]), ([-0.75], [0.0]), ([1.0], [1.0])])


def test_a_band_is_of_its_own_arms_units_with_another_explanation(scores: Figure) -> None:
    """The middle 95% by linear interpolation. Of four units the ends lie 0.025 x 3 of a step inwards, of five 0.1.

    Features 0, 0.5, 0.5, 1: 0.075 x 0.5 = 0.0375. Neurons -0.5, 0, 0, 0, 0.5: 0.1 x 0.5 = 0.05. Half in random-only.
    """
    expected = [
        [(0.0375, 0.9625, 0.0), (-0.45, 0.45, 1.0)],
        [(0.01875, 0.48125, 0.0), (-0.225, 0.225, 1.0)],
    ]
    means = [[(0.5, 0.0), (0.0, 1.0)], [(0.25, 0.0), (0.0, 1.0)]]
    for panel, bands, middles in zip(scores.axes, expected, means, strict=True):
        boxes = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
        assert len(boxes) == 2
        for box, (low, high, row) in zip(boxes, bands, strict=True):
            assert box.get_x() == pytest.approx(low)
            assert box.get_x() + box.get_width() == pytest.approx(high)
            assert box.get_y() + box.get_height() / 2 == pytest.approx(row)
        quiet = approximately(lines(panel, QUIET))
        assert quiet[:2] == [([mean] * 2, [row - 0.27, row + 0.27]) for mean, row in middles]
        assert quiet[2] == ([0.0, 0.0], [0.0, 1.0])  # chance, from edge to edge


def test_the_token_table_is_drawn_with_its_own_scores(scores: Figure) -> None:
    """All units of an arm are alike by the token table, so it has no intervals."""
    first, second = (approximately(lines(panel, CEILING)) for panel in scores.axes)
    assert first == [([0.5], [0.34]), ([1.0], [1.34])]
    assert second == [([1.0], [0.34]), ([0.5], [1.34])]


def test_the_words_in_the_distribution_are_the_numbers_drawn(scores: Figure) -> None:
    assert [[text.get_text() for text in panel.texts] for panel in scores.axes] == [
        ["0.25 [−0.23, 0.73]   n = 4 of 5", "0.50   n = 5 of 5"],
        ["−0.75 [−1.00, −0.27]   n = 4 of 5", "1.00   n = 5 of 5"],
    ]
    assert [panel.get_title(loc="left") for panel in scores.axes] == [
        "top and random contexts",
        "random contexts alone",
    ]
    assert [tick.get_text() for tick in scores.axes[0].get_yticklabels()] == ["SAE features", "neurons"]
    assert [text.get_text() for text in scores.legends[0].get_texts()] == [
        "a unit", "mean, 85% interval over units", "with another unit's explanation\n(middle 95% of units; line: mean)",
        "chance", "token table, no explanation\n(ceiling for word lists)",
    ]  # fmt: skip


LABELS = [
    "minus neurons", "all units", "single-token units", "other units",
    "minus themselves, explanations shuffled", "all units", "single-token units", "other units",
]  # fmt: skip
NAMES = ("true", "predicted")
AGAINST_NEURONS = [
    [(ends(-0.25, 1 / 16, 3), 1), ([-0.25], 1), (ends(0.0, 1 / 4, 1), 2), ([0.0], 2), ([-0.5], 3)],
    [(ends(-1.75, 1 / 16, 3), 1), ([-1.75], 1), (ends(-1.5, 1 / 4, 1), 2), ([-1.5], 2), ([-2.0], 3)],
]
AGAINST_SHUFFLED = [
    [(ends(-0.5, 1 / 12, 2), 5), ([-0.5], 5), ([-0.5], 6), (ends(-0.5, 1 / 4, 1), 7), ([-0.5], 7)],
    [(ends(-1.25, 1 / 48, 2), 5), ([-1.25], 5), ([-1.25], 6), (ends(-1.25, 1 / 16, 1), 7), ([-1.25], 7)],
]
WORDS = [
    ["−0.25 [−0.73, 0.23]   p   n 4 v 5", "0.00 [−2.08, 2.08]   p   n 2 v 2", "−0.50   p   n 2 v 3",
     "−0.50 [−1.16, 0.16]   p   n 3", "−0.50   n 1", "−0.50 [−2.58, 1.58]   p   n 2"],
    ["−1.75 [−2.23, −1.27]   p   n 4 v 5", "−1.50 [−3.58, 0.58]   p   n 2 v 2", "−2.00   p   n 2 v 3",
     "−1.25 [−1.58, −0.92]   p   n 3", "−1.25   n 1", "−1.25 [−2.29, −0.21]   p   n 2"],
]  # fmt: skip
P_VALUES = [
    [51 / 126, 1.0, 1 / 10, 1 / 2, 1.0],
    [1 / 126, 1 / 3, 1 / 10, 1 / 4, 1 / 2],
]


def test_the_forest_draws_each_difference_with_its_own_interval_in_its_own_stratum(differences: Figure) -> None:
    assert [tick.get_text() for tick in differences.axes[0].get_yticklabels()] == LABELS
    for panel, neurons, shuffled in zip(differences.axes, AGAINST_NEURONS, AGAINST_SHUFFLED, strict=True):
        for colour, expected in ((colour_of("neuron"), neurons), (INK, shuffled)):
            drawn = approximately(lines(panel, colour))
            assert drawn == approximately([(across, [float(row)] * len(across)) for across, row in expected])


def test_the_words_of_the_forest_are_the_differences_drawn(differences: Figure) -> None:
    rows = [1.0, 2.0, 3.0, 5.0, 6.0, 7.0]
    for panel, words, p_values in zip(differences.axes, WORDS, P_VALUES, strict=True):
        assert [text.get_position()[1] for text in panel.texts] == rows
        found = [text.get_text() for text in panel.texts]
        assert [re.sub(r"p = \d\.\d{3}", "p", text) for text in found] == words
        stated = [float(p) for text in found for p in re.findall(r"p = (\d\.\d{3})", text)]
        assert stated == [pytest.approx(p, rel=0, abs=0.03 if p > 0.05 else 0.006) for p in p_values]


def boxes(collection: PatchCollection) -> list[list[float]]:
    """Left, top, right and bottom of each."""
    return [
        [round(float(v), 9) for v in (*path.get_extents().min, *path.get_extents().max)]
        for path in collection.get_paths()
    ]


def test_strips_show_truth_over_prediction_on_the_tokens_where_they_are(outcome: Outcome) -> None:
    """A row is the truth or the prediction on one context, with a box on each token that has some.

    A token is four characters wide. All three units are active on the first two tokens of TOP and FIRST. Of feature/0
    both are predicted in both contexts; of /2 (the lower median of 1, 0, 0, 0) and /3, the last by name, the other two
    tokens in FIRST.
    """
    with house_style():
        figure = strips(StripReader(outcome).shown("feature"), "feature")
    panel = figure.axes[0]
    first_two, last_two = ([0.0, 4.0], [4.0, 8.0]), ([8.0, 12.0], [12.0, 16.0])
    units = [
        ("best    1.00  feature/0", [first_two, first_two, first_two, first_two]),
        ("median  0.00  feature/2", [first_two, first_two, first_two, last_two]),
        ("worst   0.00  feature/3", [first_two, first_two, first_two, last_two]),
    ]
    names = {round(float(text.get_position()[1]), 3): text for text in panel.texts if text.get_text() in NAMES}
    drawn = [c for c in panel.collections if isinstance(c, PatchCollection)]
    assert len(drawn) == len(names) == 12
    expected = [row for _, rows in units for row in rows]
    for place, (collection, tokens) in enumerate(zip(drawn, expected, strict=True)):
        found = boxes(collection)
        assert [[left, right] for left, _, right, _ in found] == list(tokens)
        name = names[round(found[0][1] + 0.5, 3)]  # in the middle of the row, left of the text
        assert name.get_text() == ("predicted" if place % 2 else "true")
        assert name.get_color() == (PREDICTED if place % 2 else TRUE)
        # 80% of the row's colour over white: 0.2 + 0.8 x (0, 114, 178) / 255 or (213, 94, 0) / 255.
        colour = [0.868235, 0.494902, 0.2] if place % 2 else [0.2, 0.557647, 0.758431]
        assert np.asarray(collection.get_facecolor())[:, :3] == pytest.approx(np.array([colour] * 2), abs=1e-6)
    texts = [text.get_text().replace("\u00a0", " ") for text in panel.texts if text.get_text() not in NAMES]
    rows = [" red hat for two"] * 2 + [" one dog ran off"] * 2
    assert [text.strip() for text in texts] == [
        text.strip() for title, _ in units for text in (title, f"\u201cwhat {title.split()[-1]} means\u201d", *rows)
    ]


def test_the_deeper_the_colour_the_higher_the_value_and_what_is_next_to_nothing_is_white() -> None:
    """A half is 40% of the row's colour over white: 0.6 + 0.4 x (0, 114, 178) / 255; a quarter is 20%."""
    shown = Strip(("ab", "c", "def"), np.array([0.5, 0.01, 1.0]), np.array([0.0, 0.25, 0.019]))
    figure = strips([UnitStrips(Sample("best", "feature/1", 0, 0.5), "", (shown,))], "feature")
    truth, predicted = (c for c in figure.axes[0].collections if isinstance(c, PatchCollection))
    assert [(left, right) for left, _, right, _ in boxes(truth)] == [(0.0, 2.0), (3.0, 6.0)]
    assert [(left, right) for left, _, right, _ in boxes(predicted)] == [(2.0, 3.0)]
    assert np.asarray(truth.get_facecolor())[0, :3] == pytest.approx([0.6, 0.778824, 0.879216], abs=1e-6)
    assert np.asarray(predicted.get_facecolor())[0, :3] == pytest.approx([0.967059, 0.873725, 0.8], abs=1e-6)
