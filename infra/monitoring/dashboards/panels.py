"""Panels of Grafana's SDK with this repository's defaults; everything else is the SDK's own API.

A panel has a title without a unit, a description that says how to read it, and its queries. The
unit, size and thresholds are set with the SDK's methods: `.unit()`, `.span()`, `.thresholds()`.
"""

from collections.abc import Iterable
from typing import Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import ThresholdsConfig as Thresholds

GREEN, ORANGE, RED, BLUE, PURPLE = "green", "orange", "red", "blue", "purple"
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
UP_DOWN = {1: ("up", GREEN), 0: ("down", RED)}
EVENT_COLOURS = {
    "accepted": BLUE,
    "received": BLUE,
    "fetched": BLUE,
    "stored": GREEN,
    "done": GREEN,
    "duplicate": PURPLE,
    "rejected": ORANGE,
    "returned": ORANGE,
    "dead": RED,
}
"""By legend: an outcome of events has the same colour on every dashboard."""


def query(expr: str, legend: str = "__auto") -> Dataquery:
    """Return a query over the dashboard's time range.

    Args:
        expr: PromQL.
        legend: of its series; may name labels: `{{source}}`.
    """
    return Dataquery().expr(expr).legend_format(legend).datasource(DATASOURCE).range()


def limits(warning: float, critical: float) -> ThresholdsConfig:
    """Return thresholds for values that are bad when high: orange, then red."""
    return _thresholds((None, GREEN), (warning, ORANGE), (critical, RED))


def lower_limits(warning: float, critical: float) -> ThresholdsConfig:
    """Return thresholds for values that are bad when low: orange below `warning`, then red."""
    return _thresholds((None, RED), (critical, ORANGE), (warning, GREEN))


def value_names(names: dict[int, tuple[str, str]]) -> list[ValueMapping]:
    """Return the mapping that shows values as text on a colour."""
    options = {
        str(value): ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(names.items())
    }
    return [ValueMap(options)]


class TimeSeries(timeseries.Panel):
    """Lines over time, a third of the dashboard wide."""

    def __init__(
        self, title: str, description: str, *queries: Dataquery, negative: bool = False
    ) -> None:
        """Describe the chart.

        Args:
            title: what it shows.
            description: how to read it.
            queries: one or more lines each.
            negative: whether values may be below zero, where the axis starts otherwise.
        """
        super().__init__()
        _describe(self, title, description, queries).height(8).span(8)
        self.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        self.draw_style(GraphDrawStyle.LINE).line_interpolation(LineInterpolation.LINEAR)
        self.line_width(1).fill_opacity(8).show_points(VisibilityMode.NEVER).span_nulls(False)
        self.axis_soft_min(0).thresholds_style(_thresholds_style(GraphThresholdsStyleMode.OFF))
        self.tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        self.legend(_legend(LegendDisplayMode.LIST, []))
        if not negative:
            self.min(0)

    def wide(self) -> Self:
        """Take half of the width, and show the lines' mean and maximum in the legend."""
        return self.span(12).legend(_legend(LegendDisplayMode.TABLE, ["mean", "max"]))

    def stacked(self) -> Self:
        """Add the lines up."""
        stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
        return self.stacking(stacking).fill_opacity(25)

    def thresholds(self, thresholds: Builder[Thresholds]) -> Self:
        """Draw the thresholds as dashed lines."""
        style = _thresholds_style(GraphThresholdsStyleMode.DASHED)
        return super().thresholds(thresholds).thresholds_style(style)

    def colours(self, by_legend: dict[str, str]) -> Self:
        """Fix the colours of lines."""
        for legend, colour in by_legend.items():
            fixed = DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
            self.override_by_name(legend, [fixed])
        return self


class Stat(stat.Panel):
    """One number with its recent course, a sixth of the dashboard wide."""

    def __init__(self, title: str, description: str, expr: str) -> None:
        super().__init__()
        _describe(self, title, description, [query(expr)]).height(4).span(4)
        self.thresholds(_thresholds((None, GREEN)))
        self.reduce_options(_last_value()).text_mode(BigValueTextMode.AUTO)
        self.graph_mode(BigValueGraphMode.AREA).color_mode(BigValueColorMode.VALUE)

    def named(self, names: dict[int, tuple[str, str]]) -> Self:
        """Show the names of values on their colours, in place of numbers."""
        self.mappings(value_names(names))
        return self.graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.BACKGROUND)


class BarGauge(bargauge.Panel):
    """A bar for each series with its present value."""

    def __init__(self, title: str, description: str, bars: Dataquery) -> None:
        super().__init__()
        _describe(self, title, description, [bars.instant()]).height(8).span(8).min(0)
        self.reduce_options(_last_value()).orientation(VizOrientation.HORIZONTAL)
        self.display_mode(BarGaugeDisplayMode.BASIC)


class StateTimeline(statetimeline.Panel):
    """A band over time for each series, with the names of its values."""

    def __init__(
        self, title: str, description: str, states: Dataquery, names: dict[int, tuple[str, str]]
    ) -> None:
        super().__init__()
        _describe(self, title, description, [states]).height(8).span(8)
        self.mappings(value_names(names)).merge_values(True).show_value(VisibilityMode.AUTO)
        self.row_height(0.8).fill_opacity(70).line_width(0)
        self.legend(_legend(LegendDisplayMode.LIST, []).show_legend(False))


AnyPanel = TypeVar("AnyPanel", timeseries.Panel, stat.Panel, bargauge.Panel, statetimeline.Panel)


def _describe(
    panel: AnyPanel, title: str, description: str, queries: Iterable[Dataquery]
) -> AnyPanel:
    panel.title(title).description(description).datasource(DATASOURCE)
    panel.unit(units.Short).color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.thresholds(_thresholds((None, "text")))
    for index, each in enumerate(queries):
        panel.with_target(each.ref_id(chr(ord("A") + index)))
    return panel


def _thresholds(*steps: tuple[float | None, str]) -> ThresholdsConfig:
    config = ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
    return config.steps([Threshold(value, colour) for value, colour in steps])


def _thresholds_style(mode: GraphThresholdsStyleMode) -> common.GraphThresholdsStyleConfig:
    return common.GraphThresholdsStyleConfig().mode(mode)


def _last_value() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def _legend(mode: LegendDisplayMode, calcs: list[str]) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(mode).placement(LegendPlacement.BOTTOM)
    return legend.show_legend(True).calcs(calcs)
