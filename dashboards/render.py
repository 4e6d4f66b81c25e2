"""Draws boards with Grafana's own builders, so that what Grafana does not know is an error here and not there."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import common, heatmap, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    GraphTresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.board import CLINICS, DEPLOYS, OUTAGES, Board, Panel, Row

HEIGHT: Final = 8
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${prometheus}")
RUNBOOKS: Final = "${runbooks}"
"""A constant of each board: where docs/runbooks can be read."""
RUNBOOKS_AT: Final = "/public/runbooks"
"""Its value: Grafana shows what lies in its public folder, and compose.yaml puts docs/runbooks there."""

_GREEN, _RED = "green", "red"
_BUILDERS: Final[dict[str, Any]] = {
    "lines": timeseries.Panel,
    "stack": timeseries.Panel,
    "stat": stat.Panel,
    "heat": heatmap.Panel,
    "table": table.Panel,
}


def as_json(board: Board) -> str:
    """The file that Grafana is provisioned with."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return encoder.encode(_dashboard(board).build()) + "\n"


def _dashboard(board: Board) -> grafana.Dashboard:
    drawn = (
        grafana.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags(["waiting-room"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(grafana.DatasourceVariable("prometheus").type("prometheus").label("Prometheus"))
        .with_variable(grafana.ConstantVariable("runbooks").value(RUNBOOKS_AT))
        .link(
            grafana.DashboardLink("Boards").type(DashboardLinkType.DASHBOARDS).tags(["waiting-room"]).as_dropdown(True)
        )
        .annotation(_annotation("Deploys", DEPLOYS, "blue"))
        .annotation(_annotation("Outages", OUTAGES, "red"))
    )
    if board.by_clinic:
        drawn.with_variable(
            grafana.QueryVariable("clinic")
            .label("Clinic")
            .datasource(SOURCE)
            .query(f"label_values({CLINICS}, clinic)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
            .multi(True)
        )
    for row in board.rows:
        _draw_row(drawn, row)
    return drawn


def _annotation(name: str, expr: str, colour: str) -> grafana.AnnotationQuery:
    return grafana.AnnotationQuery().name(name).datasource(SOURCE).expr(expr).enable(True).icon_color(colour)


def _draw_row(drawn: grafana.Dashboard, row: Row) -> None:
    drawn.with_row(grafana.Row(row.title))
    for panel in row.panels:
        drawn.with_panel(_panel(panel))


def _panel(panel: Panel) -> Any:
    drawn = (
        _BUILDERS[panel.kind]()
        .title(panel.title)
        .description(panel.says)
        .unit(panel.unit)
        .datasource(SOURCE)
        .span(panel.width)
        .height(HEIGHT)
        .thresholds(_thresholds(panel))
    )
    if panel.alert is not None:
        link = grafana.DashboardLink(f"Runbook: {panel.alert}").type(DashboardLinkType.LINK)
        drawn.links([link.url(f"{RUNBOOKS}/{panel.alert}.md").target_blank(True)])
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        drawn.with_target(_target(panel, letter, query.expr, query.legend))
    _STYLES[panel.kind](drawn, panel)
    return drawn


def _target(panel: Panel, letter: str, expr: str, legend: str) -> Dataquery:
    target = Dataquery().expr(expr).ref_id(letter).legend_format(legend or "__auto").datasource(SOURCE)
    if panel.kind == "heat":
        target.format(PromQueryFormat.HEATMAP)
    if panel.kind == "table":
        target.format(PromQueryFormat.TABLE).instant()
    elif "histogram_quantile" in expr or panel.kind == "heat":
        target.exemplar(True)
    return target


def _thresholds(panel: Panel) -> grafana.ThresholdsConfig:
    below, above = (_RED, _GREEN) if panel.least else (_GREEN, _RED)
    steps = [Threshold(None, below)]
    if panel.promise is not None:
        steps.append(Threshold(panel.promise, above))
    return grafana.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _draw_lines(drawn: timeseries.Panel, panel: Panel) -> None:
    drawn.min(0).fill_opacity(10).line_width(2).legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
    if panel.promise is not None:
        drawn.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE))


def _draw_stack(drawn: timeseries.Panel, panel: Panel) -> None:
    _draw_lines(drawn, panel)
    drawn.fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))


def _draw_stat(drawn: stat.Panel, panel: Panel) -> None:
    drawn.color_mode(BigValueColorMode.BACKGROUND if panel.promise is not None else BigValueColorMode.VALUE)


def _draw_heat(drawn: heatmap.Panel, panel: Panel) -> None:
    drawn.calculate(False).rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.AUTO)).show_legend()


def _draw_table(drawn: table.Panel, panel: Panel) -> None:
    drawn.show_header(True)


_STYLES: Final[dict[str, Any]] = {
    "lines": _draw_lines,
    "stack": _draw_stack,
    "stat": _draw_stat,
    "heat": _draw_heat,
    "table": _draw_table,
}
