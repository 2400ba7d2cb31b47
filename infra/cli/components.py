"""The components that Universe is made of, and their settings classes."""

from pydantic_settings import BaseSettings

from functions.analytics_query.settings import AlertsSettings, AnalyticsQuerySettings
from functions.ingest.settings import IngestSettings
from functions.process_batch.settings import ProcessBatchSettings
from infra.connector.settings import ConnectorSettings
from infra.local.gateway.settings import GatewaySettings
from infra.local.settings import PlatformSettings
from infra.monitoring.exporter.settings import ExporterSettings

FUNCTIONS: dict[str, type[BaseSettings]] = {
    "ingest": IngestSettings,
    "process-batch": ProcessBatchSettings,
    "analytics-query": AnalyticsQuerySettings,
}

COMPONENTS: dict[str, tuple[type[BaseSettings], ...]] = {
    **{name: (settings,) for name, settings in FUNCTIONS.items()},
    "alerts": (AlertsSettings,),
    "connector": (ConnectorSettings,),
    "platform": (PlatformSettings, GatewaySettings),
    "exporter": (ExporterSettings,),
}


def settings_by_handler() -> dict[str, type[BaseSettings]]:
    """Return the settings class of each function by the module of its handler.

    Of the program that judges alerts too, by its module. The platform runs any function: only the
    command line knows which there are.
    """
    return {
        f"functions.{name.replace('-', '_')}.handler": settings
        for name, settings in FUNCTIONS.items()
    } | {"functions.analytics_query.alerts": AlertsSettings}
