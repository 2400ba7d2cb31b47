"""What the local gateway reads: durations, stack files, labels, targets, logs."""

from datetime import UTC
from pathlib import Path

import pytest

from infra.local.api_models import FunctionDeployment
from infra.local.errors import PlatformError
from infra.local.functions.handler_resolver import resolve_handler
from infra.local.functions.invocations import Invocations
from infra.local.functions.scaling import read_scale_rule
from infra.local.functions.stack import read_stack, read_stacks, substitute
from infra.local.gateway.proxy import split_target
from infra.local.gateway.settings import GatewaySettings
from infra.local.process.logfile import LogFile


def test_variables_are_substituted_as_faas_cli_does() -> None:
    env = {"A": "1", "EMPTY": "", "URL": "nats://x:4222"}
    assert substitute("${A} ${A:-2} ${B:-2} ${EMPTY:-3} [${B}]", env) == "1 1 2 3 []"
    assert substitute("${URL:-nats://nats:4222}", {}) == "nats://nats:4222"
    assert substitute("$$5 $A ${A", env) == "$5 $A ${A"
    assert substitute("${TAG:-}", {}) == ""


STACK = """
version: 1.0
provider: {name: openfaas, gateway: "http://127.0.0.1:8080"}
configuration: {copy: [./functions/common]}
functions:
  echo:
    lang: python3-functions-framework
    handler: ./echo
    image: ${REGISTRY:-ghcr.io/u}/echo:${TAG:-latest}
    environment: {LEVEL: "${LEVEL:-INFO}", COUNT: 3, ENABLED: true}
    environment_file: [env.yml]
    labels: {com.openfaas.scale.min: 2}
    annotations: {topic: "events.>"}
    secrets: [database-url]
    limits: {memory: 128Mi, cpu: 500m}
    readonly_root_filesystem: true
    build_args: {X: y}
  plain:
    image: x/plain
"""


def test_a_stack_file_becomes_deployments(tmp_path: Path) -> None:
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "handler.py").touch()
    (tmp_path / "env.yml").write_text("environment: {COUNT: 1, MORE: more}")
    stack = tmp_path / "stack.yml"
    stack.write_text(STACK)
    echo, plain = read_stack(stack, {"TAG": "1.2"})
    assert echo.image == "ghcr.io/u/echo:1.2"
    assert echo.env_vars == {"LEVEL": "INFO", "COUNT": "3", "ENABLED": "true", "MORE": "more"}
    assert echo.labels == {"com.openfaas.scale.min": "2"}
    assert echo.annotations["topic"] == "events.>"
    assert echo.annotations["com.universe.handler"] == str(tmp_path / "echo")
    assert echo.secrets == ["database-url"]
    assert echo.limits is not None
    assert echo.limits.memory == "128Mi"
    assert echo.read_only_root_filesystem
    assert plain.service == "plain"
    assert plain.annotations == {}


def test_a_second_stack_file_adds_to_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "stack.yml", tmp_path / "stack.pro.yml"
    first.write_text(STACK)
    (tmp_path / "env.yml").write_text("{}")
    second.write_text(
        "functions: {echo: {labels: {com.openfaas.scale.zero: true}, image: other}, new: {}}"
    )
    deployments = {d.service: d for d in read_stacks([first, second], {})}
    assert list(deployments) == ["echo", "plain", "new"]
    assert deployments["echo"].labels == {
        "com.openfaas.scale.min": "2",
        "com.openfaas.scale.zero": "true",
    }
    assert deployments["echo"].image == "other"
    assert deployments["echo"].secrets == ["database-url"]


@pytest.mark.parametrize(
    "text",
    ["functions: [a]", "functions: {UPPER: {}}", "a: [", "functions: {a: {labels: [1]}}"],
)
def test_a_bad_stack_file_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    stack = tmp_path / "stack.yml"
    stack.write_text(text)
    with pytest.raises(PlatformError, match=str(stack)):
        read_stack(stack, {})
    with pytest.raises(PlatformError, match="absent"):
        read_stack(tmp_path / "absent.yml", {})


@pytest.mark.parametrize(
    ("path", "name", "target"),
    [
        ("/function/echo", "echo", "/"),
        ("/function/echo/", "echo", "/"),
        ("/function/echo?x=1", "echo", "/?x=1"),
        ("/function/echo?x=/a", "echo", "/?x=/a"),
        ("/function/echo.openfaas-fn/a%2Fb//c?q=%20+&q", "echo.openfaas-fn", "/a%2Fb//c?q=%20+&q"),
        ("/function/echo/function/other", "echo", "/function/other"),
    ],
)
def test_targets_are_taken_apart_as_they_came(path: str, name: str, target: str) -> None:
    assert split_target(path) == (name, target)


def test_labels_say_how_many_replicas(tmp_path: Path) -> None:
    settings = GatewaySettings(state_dir=tmp_path)
    rule = read_scale_rule({}, settings)
    assert (rule.min_replicas, rule.max_replicas, rule.zero_duration) == (1, 20, 300)
    labels = {
        "com.openfaas.scale.min": "2",
        "com.openfaas.scale.max": "4",
        "com.openfaas.scale.zero": "true",
        "com.openfaas.scale.zero-duration": "1h",
    }
    rule = read_scale_rule(labels, settings)
    assert [rule.clamp(n) for n in (0, 1, 3, 9)] == [0, 2, 3, 4]
    assert rule.zero_duration == 3600
    assert read_scale_rule({"com.openfaas.scale.zero": "false"}, settings).zero_duration is None
    quick = GatewaySettings(state_dir=tmp_path, zero_duration=2)
    assert read_scale_rule(labels, quick).zero_duration == 2
    with pytest.raises(ValueError, match="not a number"):
        read_scale_rule({"com.openfaas.scale.min": "two"}, settings)
    with pytest.raises(ValueError, match="less than"):
        read_scale_rule({"com.openfaas.scale.min": "5", "com.openfaas.scale.max": "4"}, settings)


def test_settings_take_durations_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZERO_DURATION", "90s")
    monkeypatch.setenv("GATEWAY_PORT", "9000")
    monkeypatch.setenv("STATE_DIR", "")
    settings = GatewaySettings()
    assert (settings.zero_duration, settings.gateway_port) == (90, 9000)
    assert settings.state_dir == Path(".universe")


def test_the_image_names_the_code(tmp_path: Path) -> None:
    for folder in ("functions/process_batch", "my-fn"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "handler.py").touch()
    code = resolve_handler(tmp_path, "x", "ghcr.io:5000/u/process-batch:1@sha256:ab", {})
    assert (code.module, code.python_path) == ("functions.process_batch.handler", (tmp_path,))
    assert resolve_handler(tmp_path, "x", "my-fn:latest", {}).module == "my-fn.handler"
    assert resolve_handler(tmp_path, "my-fn", "", {}).module == "my-fn.handler"
    outside = tmp_path / "root"
    outside.mkdir()
    code = resolve_handler(outside, "x", "", {"com.universe.handler": str(tmp_path / "my-fn")})
    assert (code.module, code.python_path) == ("my-fn.handler", (outside, tmp_path))
    with pytest.raises(ValueError, match=r"functions/nothing/handler\.py"):
        resolve_handler(tmp_path, "x", "u/nothing:1", {})


def test_a_deployment_tolerates_what_it_does_not_know() -> None:
    body = '{"service": "a", "new": [], "labels": null, "envVars": {"N": 1}, "envProcess": "x"}'
    deployment = FunctionDeployment.model_validate_json(body)
    assert deployment.env_vars == {"N": "1"}
    assert deployment.labels == {}
    for bad in ("A", "../x", "", "a_b", "-a", "a" * 64):
        with pytest.raises(ValueError, match="name"):
            FunctionDeployment(service=bad)


def test_a_log_file_is_bounded_and_keeps_order(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a" / "current.log", max_bytes=4096)
    for number in range(200):
        log.write("a-1", [b"line %d" % number, b""])
    stored = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    assert stored <= 2 * 4096
    lines = [line for line in log.stored().read() if line.text]
    assert lines[-1].text == "line 199"
    assert lines[-1].time.tzinfo is UTC
    numbers = [int(line.text.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 200))
    log.close()


def test_invocations_are_counted_by_code() -> None:
    invocations = Invocations()
    for code, seconds in ((200, 0.005), (200, 0.02), (502, 99.0)):
        invocations.begin()
        invocations.end(code, seconds)
    assert invocations.completed == invocations.started == 3
    assert invocations.in_flight == 0
    assert invocations.by_code[200].buckets[:3] == [1, 0, 1]
    assert invocations.by_code[502].buckets[-1] == 1
