"""What a training found, put in words: the page that Markdown and HTML lay out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ml.learning.evaluate import DRAWS, Earned, Quality
from ml.learning.gate import CHANCE_RULE, FEWEST_DAYS, SKILL_RULE, Rule
from ml.learning.overfitting import days_needed as days_to_see
from model.pages import pictures
from model.pages.document import Block, Document, Folded, Grid, Picture, Section, Words
from model.pages.findings import Family, Record, Report, day, days_needed, seen, smallest
from utils.figures.shown import NOTHING, counted, percent, plain

#: Groups of features that are listed; the rest matters less.
MOST_IMPORTANT = 15
#: Edges of a trade that a reader may hope for, bps.
HOPED_BPS = (1.0, 2.0, 4.0, 8.0)
PROBABILITIES = "How good the probabilities are"
USED, MORE = "What the models use", "Whether more history would help"
#: Where single labels would be looked at, and none is new.
LATER = "Nothing new was judged: what needs single labels is told by a training that has new ones."
#: Names of the directions, in the order of the columns of a table.
DIRECTIONS = ("long", "short")


def page_of(report: Report) -> Document:
    """The report as a page: what it concludes first, then what that rests on."""
    about = report.about
    return Document(
        title=f"Meta-model of {', '.join(report.symbols)}, {report.timeframe}",
        verdict=about.verdict,
        opens=about.opens,
        meaning=f"{_nothing_new(report)}{meaning(about)}",
        sections=(
            _trained(report),
            _gate(report),
            _window(report),
            _probabilities(report),
            _expected(report),
            _trades(report),
            _search(report),
            _paths(report),
            _importance(report),
            _curve(report),
            _without(report),
            _terms(),
        ),
    )


def meaning(about: Family) -> str:
    """What a verdict means, in plain words."""
    if about.opens:
        return (
            "Every rule holds: what the models would have traded on rows that they had not seen earned more than it "
            "cost, beyond what chance and repeated tries explain. A training changes no setting; python -m "
            "model.retrain enables what passes."
        )
    if not about.outlook.trades or about.outlook.supposed:
        return (
            "This is the normal outcome: on the rows that chose the thresholds no trade was expected to earn more than "
            "it costs, so none was taken and there is nothing to judge. Signals stay as they are, and no setting was "
            "changed."
        )
    if not about.enough:
        return (
            "There is too little to judge yet, which is the normal outcome of a short history. Signals stay as they "
            f"are, and no setting was changed; {days_needed(about.outlook)}."
        )
    return (
        "This is the normal outcome: on rows that the models had not seen, trades did not earn more than they cost "
        "beyond what chance and repeated tries explain. Signals stay as they are, and no setting was changed."
    )


def _nothing_new(report: Report) -> str:
    """A sentence before all others where no row came since the last training; "" = some did."""
    said = report.nothing_new
    return f"{said[0].upper()}{said[1:]}, and the verdict is about these. " if said else ""


def _trained(report: Report) -> Section:
    judged = (
        f"{day(report.judged_first)} to {day(report.judged_last)}"
        if report.judged_first
        else report.nothing_new or "nothing"
    )
    rows = [
        ("symbols", ", ".join(report.symbols)),
        ("timeframe", report.timeframe),
        ("barriers", report.barriers),
        ("entries", report.entry),
        ("labels", "before all costs" if report.gross else "after fees, spread and slippage"),
        ("data set", f"{counted(report.rows, 'decision')}, {day(report.first)} to {day(report.last)}"),
        ("features", f"{report.features:,}"),
        ("judged now", judged),
        ("tried so far", f"{counted(report.tried, 'configuration')}, by the ledger"),
        *((f"version, {one.name}", one.version) for one in report.families),
    ]
    return Section("What was trained", (Grid(("", ""), tuple(rows), words=True),))


def _gate(report: Report) -> Section:
    rows = []
    for k, rule in enumerate(report.about.rules):
        cells = [f"{_rule(rule, one.rules[k].value)} {'✓' if one.rules[k].holds else '✗'}" for one in report.families]
        rows.append((rule.name, f"{'>' if rule.strict else '≥'} {_rule(rule, rule.threshold)}", *cells))
    record = report.about.record
    return Section(
        "The gate",
        (
            Grid(("rule", "asked", *_names(report)), tuple(rows)),
            Words(
                "All rules must hold. They look at the record of a configuration: each trade out of sample once, by "
                f"the model that was current then. That of {report.about.name} holds "
                f"{counted(record.earned.trades, 'trade')} of {counted(record.days, 'day')} "
                f"{_trainings(record.trainings)}. The wealth is that of a bettor who plays every trade; it "
                f"may be looked at every day, and {plain(report.needed, 0)} is asked because "
                f"{counted(report.tried, 'configuration')} {'was' if report.tried == 1 else 'were'} tried."
            ),
        ),
    )


def _trainings(trainings: int) -> str:
    """After how many trainings, or that there is no record yet."""
    if not trainings:
        return f"now, and begins with a training that judges {FEWEST_DAYS} days"
    return f"after {counted(trainings, 'training')}"


def _window(report: Report) -> Section:
    rows = [
        ("reckoned from", *(seen(one.outlook) for one in report.families)),
        ("sd of a trade's net, bps", *(plain(one.outlook.sd_bps, 1) for one in report.families)),
        ("smallest mean net it can show, bps", *(plain(one.outlook.smallest_bps, 1) for one in report.families)),
        ("days until there is enough to judge", *(_ahead(one, one.outlook.days_needed) for one in report.families)),
        (
            "days until the wealth asked",
            *(
                _ahead(one, one.outlook.edge_days, f" at {plain(one.outlook.edge_bps, 1)} bps")
                for one in report.families
            ),
        ),
        *(
            (
                f"days until a mean of {edge:g} bps stands out",
                *(_ahead(one, _until(one, edge)) for one in report.families),
            )
            for edge in HOPED_BPS
        ),
    ]
    said = {smallest(one.outlook): one.name for one in report.families}
    shown = [f"{name}: {text}" if len(said) > 1 else text for text, name in said.items()]
    return Section(
        "What this window can show",
        (
            Grid(("", *_names(report)), tuple(rows)),
            Words(
                f"{'. '.join(shown)}. A smaller edge may be there, and cannot be told from chance yet. Days are still "
                "to come, at the pace so far."
            ),
        ),
    )


def _until(one: Family, edge_bps: float) -> float:
    """Days until an edge stands out, at the pace of trades so far, or of signals."""
    return days_to_see(edge_bps, one.outlook.sd_bps, float(one.outlook.trades), float(one.record.days))


def _probabilities(report: Report) -> Section:
    if report.nothing_new:
        return Section(PROBABILITIES, (_remembered(report), Words(LATER)))
    columns: list[tuple[str, Quality]] = [(one.name, one.quality) for one in report.families]
    if report.base is not None:
        columns.insert(0, ("base rate", report.base))
    shown: tuple[tuple[str, Callable[[Quality], str]], ...] = (
        ("labels judged", lambda q: f"{q.labels:,}"),
        ("effective labels", lambda q: plain(q.effective, 0)),
        ("share that won", lambda q: percent(q.rate)),
        ("Brier score", lambda q: plain(q.brier, 4)),
        ("= reliability", lambda q: plain(q.reliability, 5)),
        ("- resolution", lambda q: plain(q.resolution, 5)),
        ("+ uncertainty", lambda q: plain(q.uncertainty, 4)),
        ("Brier skill", lambda q: percent(q.skill, 2)),
        ("its lower 95 % bound", lambda q: percent(q.skill_low, 2)),
        ("log loss, nats", lambda q: plain(q.log_loss, 4)),
        ("calibration error (ECE)", lambda q: percent(q.ece, 2)),
        ("its 95 % interval", lambda q: _between(q.ece_low, q.ece_high)),
        ("ECE of perfect probabilities", lambda q: percent(q.ece_noise, 2)),
        ("AUC long", lambda q: plain(q.auc_long, 3)),
        ("AUC short", lambda q: plain(q.auc_short, 3)),
    )
    rows = tuple((name, *(tell(quality) for _, quality in columns)) for name, tell in shown)
    blocks: list[Block] = [
        Grid(
            ("out of sample", *(name for name, _ in columns)), rows, "equal trials: same folds, same rows, one try each"
        )
    ]
    if report.base_why:
        blocks.append(Words(f"The base rate was not walked: {report.base_why}."))
    drawing = pictures.reliability([(one.name, one.bins) for one in report.families])
    if drawing:
        words = (
            "What was said beside what happened, in ten bins of equal numbers of labels, with 95 % intervals. On the "
            "broken line what is said is what happens."
        )
        blocks.append(Picture(drawing, words))
    blocks += [_bins(one) for one in report.families if one.bins.p]
    return Section(PROBABILITIES, tuple(blocks))


def _remembered(report: Report) -> Grid:
    """What the days of a record say of its probabilities; single labels are not kept."""
    shown: tuple[tuple[str, Callable[[Record], str]], ...] = (
        ("effective labels", lambda record: plain(record.effective, 0)),
        ("share that won", lambda record: percent(record.rate)),
        ("Brier skill", lambda record: percent(record.skill, 2)),
        ("its lower 95 % bound", lambda record: percent(record.skill_low, 2)),
    )
    rows = tuple((name, *(tell(one.record) for one in report.families)) for name, tell in shown)
    return Grid(("of the record", *_names(report)), rows)


def _bins(one: Family) -> Folded:
    bins = one.bins
    rows = tuple(
        (str(k), percent(p), percent(rate), _between(low, high, 1), plain(weight, 0))
        for k, (p, rate, low, high, weight) in enumerate(
            zip(bins.p, bins.rate, bins.low, bins.high, bins.weight, strict=True), 1
        )
    )
    return Folded(f"Bins of {one.name}", Grid(("bin", "said", "happened", "95 % interval", "effective labels"), rows))


def _expected(report: Report) -> Section:
    rows = []
    for one in report.families:
        for name, slope, line in zip(DIRECTIONS, one.slopes, one.lines, strict=True):
            rows.append(
                (
                    f"{one.name}, {name}",
                    plain(slope.intercept_bps),
                    plain(slope.slope_bps),
                    _error(slope.fitted_bps, slope.error_bps),
                    _error(line.slope_bps, line.error_bps),
                    plain(line.expected_bps),
                    plain(line.realised_bps),
                )
            )
    blocks: list[Block] = [
        Grid(
            ("", "intercept", "slope used", "slope fitted", "out of sample", "expected", "realised"),
            tuple(rows),
            "expected net = intercept + slope x raw score; bps, slopes in bps per unit of log odds, ± a standard error",
        ),
        Words(
            "A slope is fitted on realised net after the training, shrunk by its error, and never used below 0: where "
            "it is 0, all trades of a direction are expected to earn the same."
        ),
    ]
    blocks += [Words(f"{one.name}: {sentence}.") for one in report.families if (sentence := _worth(one))]
    return Section("What a trade is expected to net", tuple(blocks))


def _worth(one: Family) -> str:
    """What is to be said of probabilities that know something, and of what they are worth."""
    if not one.quality.skill > 0.0:
        return ""
    if not any(line.pays for line in one.lines):
        return (
            "its probabilities know more than the base rate, and yet a higher score did not earn more: a label with "
            "time-outs is predictable without being worth anything"
        )
    if not one.record.earned.trades:
        return (
            "its probabilities know more than the base rate, and a higher score earned more, but not enough to pay the "
            "costs: to tell winners from losers is not yet to earn"
        )
    return ""


def _trades(report: Report) -> Section:
    rows = []
    for one in report.families:
        rows.append(_earned(f"{one.name}, its thresholds", one.record.earned))
        rows += [_earned(f"{one.name}, {each.what}", each) for each in one.shadows if not report.nothing_new]
    blocks: list[Block] = [
        Grid(EARNED, tuple(rows), "net of a trade after costs, bps" if not report.gross else "before all costs, bps"),
        Words(
            "A threshold is chosen on rows before those it judges."
            if report.nothing_new
            else "A threshold is chosen on rows before those it judges. The shares below it are looked at afterwards, "
            "and of no use to trade by: they show whether there is anything in the order of what was expected."
        ),
    ]
    drawing = pictures.earnings(
        [(one.name, _points(one.record.when, one.record.total_bps)) for one in report.families],
        [(one.name, _points(one.record.when, one.record.wealth)) for one in report.families],
        report.needed,
    )
    if drawing:
        words = (
            "Left, net of the record's trades added up. Right, the wealth of the gate: it falls where nothing is "
            "earned, and must reach the broken line."
        )
        blocks.append(Picture(drawing, words))
    blocks += [_folds(one) for one in report.families if one.folds]
    return Section("What was traded", tuple(blocks))


EARNED = ("", "trades", "mean", "at least", "sd", "can show", "Sharpe", "P(Sharpe > 0)")


def _earned(name: str, one: Earned) -> tuple[str, ...]:
    return (
        name,
        f"{one.trades:,}",
        plain(one.net_bps),
        plain(one.low_bps),
        plain(one.sd_bps, 1),
        plain(one.smallest_bps, 1),
        plain(one.sharpe, 3),
        percent(one.psr),
    )


def _folds(one: Family) -> Block:
    if all(math.isinf(fold.threshold_bps) for fold in one.folds):
        return Words(f"{one.name}: in none of {counted(len(one.folds), 'step')} was a threshold worth trading by.")
    rows = tuple(
        (
            f"{number}: from {day(fold.first)}" if fold.rows else f"{number}: no rows",
            f"{fold.learned:,}",
            _threshold(fold.threshold_bps),
            f"{fold.calibration_trades:,}",
            plain(fold.calibration_bps),
            f"{fold.trades:,}",
            plain(fold.net_bps),
        )
        for number, fold in enumerate(one.folds, 1)
    )
    heads = ("step", "rows learned", "threshold", "trades that chose it", "their mean", "trades", "mean")
    return Grid(heads, rows, f"{one.name}: threshold of each step, and what its trades became; bps")


def _search(report: Report) -> Section:
    rows = [
        ("trades", *(f"{one.record.earned.trades:,}" for one in report.families)),
        ("Sharpe ratio of a trade", *(plain(one.record.earned.sharpe, 3) for one in report.families)),
        ("probability that it is above 0 (PSR)", *(percent(one.record.earned.psr) for one in report.families)),
        (
            f"that it beats the best of {report.tried:,} worthless ones (DSR)",
            *(percent(one.record.deflated) for one in report.families),
        ),
        ("trades that would show it at 95 %", *(_never(one.record.earned.track) for one in report.families)),
    ]
    kinds = {
        "thresholds x families of this training": report.overfit,
        "all configurations of the ledger": report.overfit_ledger,
    }
    found = [
        (name, percent(each.probability), f"{each.configurations:,}", f"{each.days:,}") for name, each in kinds.items()
    ]
    unknown = [f"of {name} it is not known: {each.why}" for name, each in kinds.items() if each.why]
    return Section(
        "How much of it is the search",
        (
            Grid(("", *_names(report)), tuple(rows)),
            Grid(
                ("probability of backtest overfitting", "PBO", "configurations", "days"),
                tuple(found),
            ),
            Words(
                "PBO is how often the best of one half of the days is among the worse half in the other days; below 20 "
                "% is good, above 50 % the search finds nothing but chance"
                f"{''.join(f'; {each}' for each in unknown)}. The deflated Sharpe ratio counts every try that the "
                "ledger holds."
            ),
        ),
    )


def _paths(report: Report) -> Section:
    blocks: list[Block] = []
    rows = []
    for one in report.families:
        if one.paths is None:
            blocks.append(Words(f"{one.name}: not computed, {one.paths_why}."))
            continue
        nets = [value for value in one.paths.net_bps if math.isfinite(value)]
        rows.append(
            (
                one.name,
                _range(one.paths.skill, lambda value: percent(value, 2)),
                _range(nets, plain) if nets else "no trade",
                f"{min(one.paths.trades):,} to {max(one.paths.trades):,}",
            )
        )
    if rows:
        heads = ("least, median, greatest of five paths", "Brier skill", "mean net, bps", "trades")
        drawing = pictures.strips(
            [
                (one.name, *((one.paths.skill, one.paths.net_bps) if one.paths is not None else ((), ())))
                for one in report.families
            ]
        )
        blocks = [Grid(heads, tuple(rows)), Picture(drawing, "A dot is one path through all rows."), *blocks]
    blocks.append(
        Words(
            "Combinatorial purged cross-validation, six stretches of which two are left out, labels that meet them and "
            "one horizon behind them too. Secondary evidence: some of these models know what came later."
        )
    )
    return Section("Other paths through the same rows", tuple(blocks))


def _importance(report: Report) -> Section:
    if report.nothing_new:
        return Section(USED, (Words(LATER),))
    blocks: list[Block] = []
    for k, one in enumerate(report.families):
        top = one.importances[:MOST_IMPORTANT]
        if not top:
            blocks.append(Words(f"{one.name}: no labels to look at."))
            continue
        rows = tuple((", ".join(each.names), plain(1e3 * each.loss, 3), plain(1e3 * each.error, 3)) for each in top)
        title = f"{one.name}: rise of the log loss, thousandths of a nat"
        drawing = pictures.bars(title, [(", ".join(each.names), 1e3 * each.loss, 1e3 * each.error) for each in top], k)
        grid = Grid(("features", "rise", "+-"), rows)
        blocks += [Picture(drawing, ""), Folded(f"{title} when features are shuffled", grid)]
    blocks.append(
        Words(
            "How much worse the log loss out of sample becomes when blocks of a feature are shuffled, features that "
            "move together as one; the thin line is a standard deviation over models and shuffles. What is not clear "
            "of 0 is not used, or misleads."
        )
    )
    return Section(USED, tuple(blocks))


def _curve(report: Report) -> Section:
    rows = tuple(
        (f"{one.name}, {_share(point.share)}", f"{point.learned:,}", plain(point.log_loss, 4), percent(point.skill, 2))
        for one in report.families
        for point in one.curve
    )
    if not rows:
        return Section(MORE, (Words(LATER if report.nothing_new else "No labels to look at."),))
    level = report.base_last
    drawing = pictures.curves(
        "log loss on the last step's rows",
        "share of the history that is known",
        "nats",
        [(one.name, [(point.share, point.log_loss) for point in one.curve]) for one in report.families],
        level,
    )
    blocks: list[Block] = [
        Grid(("known of the history", "rows learned", "log loss, nats", "Brier skill"), rows),
        Words(
            "A curve that still falls at its end says that more history may help, a flat one that it will not, one "
            "that rises that old rows mislead."
        ),
    ]
    if drawing:
        blocks.insert(1, Picture(drawing, ""))
    return Section(MORE, tuple(blocks))


def _without(report: Report) -> Section:
    rows = [("no trade", "0", plain(0.0), *[NOTHING] * (len(EARNED) - 3))]
    rows += [_earned(one.what, one) for one in report.baselines if not report.nothing_new]
    rows += [_earned(f"this model, {one.name}", one.record.earned) for one in report.families]
    said = [
        f"{one.name}: as many random entries earn {plain(one.random_bps)} bps a trade, and do as well as the model in "
        f"{percent(one.random_chance)} of {DRAWS:,} draws"
        for one in report.families
        if math.isfinite(one.random_bps)
    ]
    held = (
        f"Holding from the first row judged to the last would have moved {plain(report.held_bps, 0)} bps in all, "
        "before costs"
        if math.isfinite(report.held_bps)
        else ""
    )
    blocks: list[Block] = [Grid(EARNED, tuple(rows), "same bars, same costs, one position at a time; bps a trade")]
    blocks += [Words(f"{sentence}.") for sentence in (*said, held) if sentence]
    if report.nothing_new:
        blocks.append(Words(LATER))
    return Section("What the bars paid without it", tuple(blocks))


def _terms() -> Section:
    rows = (
        (
            "effective labels",
            "labels weighted with how much of their time is their own; neighbours that overlap count once",
        ),
        ("at least", "lower end of a one-sided 95 % bound, by a bootstrap in blocks of ten trades or of days"),
        ("can show", "the smallest mean that so many trades tell from chance, 2.5 sd / sqrt n"),
        (
            "Brier skill",
            "share of the squared error of the base rate that is gone; above 0 knows more than the base rate",
        ),
        ("AUC", "how often a trade that won was given more than one that lost; 0.5 is no order"),
        (CHANCE_RULE, "share of resampled means above 0, in blocks of ten trades"),
        ("wealth", "of a bettor who began with 1; a worthless model reaches 20 in at most one case of 20, ever"),
        ("threshold", "expected net from which on a trade is taken; none = no trade was worth taking"),
    )
    return Section("Words", (Grid(("", ""), rows, words=True),))


def _names(report: Report) -> tuple[str, ...]:
    return tuple(one.name for one in report.families)


def _rule(rule: Rule, value: float) -> str:
    """A rule's number as people read it."""
    if rule.name in {CHANCE_RULE, SKILL_RULE}:
        return percent(value, 2 if rule.name == SKILL_RULE else 1)
    if not math.isfinite(value):
        return plain(value)
    if value > 1e6:
        return "over a million"
    return plain(value, 0 if value == round(value) or value >= 100.0 else 2)


def _points(across: Sequence[float], up: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(across, up, strict=True))


def _between(low: float, high: float, digits: int = 2) -> str:
    if math.isnan(low):
        return NOTHING
    return f"{plain(100.0 * low, digits)} to {percent(high, digits)}"


def _range(values: Sequence[float], shown: Callable[[float], str]) -> str:
    ordered = sorted(values)
    return ", ".join(shown(value) for value in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))


def _error(value: float, error: float) -> str:
    if math.isnan(value) or not math.isfinite(error):
        return NOTHING
    return f"{plain(value)} ± {plain(error)}"


def _threshold(bps: float) -> str:
    return "none" if math.isinf(bps) else plain(bps)


def _ahead(one: Family, days: float, at: str = "") -> str:
    """Days to come at the pace of a record; without a trade it has none."""
    if not one.outlook.trades or math.isnan(days):
        return NOTHING
    return f"never{at}" if math.isinf(days) else f"{math.ceil(days):,}{at}"


def _never(trades: float) -> str:
    return "none do" if math.isinf(trades) else plain(trades, 0)


def _share(share: float) -> str:
    return "all" if share == 1.0 else f"the latest 1/{1.0 / share:.0f}"
