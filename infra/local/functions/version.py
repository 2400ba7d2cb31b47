"""What one deployment of a function means on this machine."""

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from functions.common import health
from infra.local import environment
from infra.local.api_models import FunctionDeployment
from infra.local.functions.handler_resolver import FunctionHandler, resolve_handler
from infra.local.functions.scaling import ScaleRule, read_scale_rule
from infra.local.functions.secrets import (
    REPLACED_VARIABLES,
    check_secrets,
    link_secrets,
    mounted_secrets,
    open_doors,
)
from infra.local.gateway.settings import GatewaySettings
from infra.local.process.process import Command
from infra.local.servers.ports import LOOPBACK

TEMPLATE_ENTRY = Path("templates/python3-functions-framework/index.py")
METRICS_ANNOTATION = "prometheus.io.path"
HEALTH_ANNOTATIONS = ("com.openfaas.health.http.path", "com.openfaas.ready.http.path")


@dataclass(frozen=True)
class Version:
    """A checked deployment.

    Attributes:
        deployment: as it was requested.
        handler: the code that runs.
        scale_rule: how many replicas it may have.
        probe_path: a replica takes requests as soon as it answers here, with any status; None: as
            soon as it accepts connections. Liveness is preferred to readiness: a function whose
            database is away must still start, and answer requests with 503 itself.
    """

    deployment: FunctionDeployment
    handler: FunctionHandler
    scale_rule: ScaleRule
    probe_path: str | None

    @cached_property
    def operation_paths(self) -> frozenset[str]:
        """The paths that are for operators: of metrics, as the annotation says, and readiness."""
        metrics = self.deployment.annotations.get(METRICS_ANNOTATION, "").rstrip("/")
        return frozenset({health.READINESS, metrics or health.METRICS})

    def command(self, replica: str, port: int, settings: GatewaySettings) -> Command:
        """Return the command of a replica.

        Args:
            replica: its name.
            port: where its HTTP server listens.
            settings: the gateway's.
        """
        env = environment.inherited()
        env |= {"PYTHONUNBUFFERED": "1"} | self.deployment.env_vars | settings.function_env
        env |= settings.handler_env.get(self.handler.module, {})
        names = self.deployment.secrets
        env = open_doors(settings.secrets_dir, names) | env
        for name in mounted_secrets(settings.secrets_dir, names):
            env.pop(REPLACED_VARIABLES.get(name, ""), None)
        secrets = settings.state_dir.resolve() / "run" / self.deployment.service / "secrets"
        env |= {
            "FUNCTION_NAME": self.deployment.service,
            "FUNCTION_MODULE": self.handler.module,
            "HOST": LOOPBACK,
            "PORT": str(port),
            "PYTHONPATH": os.pathsep.join(map(str, self.handler.python_path)),
            "SECRETS_DIR": str(link_secrets(settings.secrets_dir, secrets, names)),
        }
        return Command(
            name=replica,
            args=[sys.executable, str(settings.root / TEMPLATE_ENTRY)],
            env=env,
            cwd=settings.root,
            stop_timeout=settings.term_timeout,
        )


def read_version(deployment: FunctionDeployment, settings: GatewaySettings) -> Version:
    """Check a deployment.

    Raises:
        DeploymentError: it cannot run here; the message says why.
    """
    check_secrets(settings.secrets_dir, deployment.secrets)
    annotations = deployment.annotations
    probe_paths = (annotations[key] for key in HEALTH_ANNOTATIONS if annotations.get(key))
    return Version(
        deployment,
        resolve_handler(settings.root, deployment.service, deployment.image, annotations),
        read_scale_rule(deployment.labels, settings),
        next(probe_paths, None),
    )
