"""What all dashboards have in common: refresh, time range, links, variables, alert annotations."""

from typing import Self

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from infra.monitoring.dashboards.panels import DATASOURCE


class Dashboard(dashboard.Dashboard):
    """A dashboard of rows of panels."""

    def __init__(self, uid: str, title: str, description: str) -> None:
        """Start a dashboard without panels.

        Args:
            uid: its address in Grafana and the name of its file.
            title: as Grafana lists it.
            description: what it is for.
        """
        super().__init__(title)
        self.panel_count = 0
        self.file_name = f"{uid}.json"
        self.uid(uid).description(description).tags(["universe"]).version(1).readonly()
        self.time("now-30m", "now").timezone("browser").refresh("10s")
        self.timepicker(dashboard.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m"]))
        self.tooltip(DashboardCursorSync.CROSSHAIR)
        self.with_variable(_datasource_variable()).annotation(_AlertAnnotation()).link(_link())

    def by_function(self) -> Self:
        """Offer a choice of functions, as the variable `$function`."""
        return self.with_variable(_function_variable())

    def row(self, title: str, *panels: Builder[Panel]) -> Self:
        """Add a heading with panels under it, in lines as they fit."""
        self.with_row(dashboard.Row(title).id(self._next_id()))
        for panel in panels:
            panel.build().id_val = self._next_id()
            self.with_panel(panel)
        return self

    def _next_id(self) -> int:
        self.panel_count += 1
        return self.panel_count


class _AlertAnnotation(dashboard.AnnotationQuery):
    """Marks when alerts fire; with the fields of Prometheus annotations, which the SDK lacks."""

    def build(self) -> AnnotationQuery:
        return _PrometheusAnnotation(
            name="Alerts",
            datasource=DATASOURCE,
            icon_color="red",
            expr='ALERTS{alertname=~"Universe.+", alertstate="firing"}',
        )


class _PrometheusAnnotation(AnnotationQuery):
    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "titleFormat": "{{alertname}}",
            "textFormat": "{{severity}} {{function}}{{stream}}{{table}}",
            "step": "30s",
        }


def _link() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Universe").type(DashboardLinkType.DASHBOARDS)
    link.tooltip("The platform's other dashboards").tags(["universe"]).icon("external link")
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _datasource_variable() -> dashboard.DatasourceVariable:
    variable = dashboard.DatasourceVariable("datasource").type("prometheus")
    return variable.label("Data source").description("The Prometheus that scrapes the platform")


def _function_variable() -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable("function").datasource(DATASOURCE)
    variable.label("Function").description("The functions that are shown")
    variable.query(
        {
            "query": "label_values(gateway_service_count, function)",
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        }
    )
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(VariableSort.ALPHABETICAL_ASC)
    variable.multi(True).include_all(True).all_value(".*")
    return variable.current(VariableOption(selected=True, text=["All"], value=["$__all"]))
