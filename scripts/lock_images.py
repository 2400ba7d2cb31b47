#!/usr/bin/env python3
"""Asks registries for the digests of the images in infra/images.lock, for all files that use them.

    scripts/lock_images.py                 ask, write infra/images.lock, then the manifests
    scripts/lock_images.py --check         ask nobody; fail where a file differs from the lock file
    scripts/lock_images.py --registry docker.io=https://mirror.example

Registries speak the API of the OCI distribution specification. An image whose registry does not
answer keeps the digest it has, and the command fails after the others. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = "infra/images.lock"
USES = (
    "infra/compose.yaml",
    "infra/connector/Dockerfile",
    "infra/monitoring/exporter/Dockerfile",
    "infra/kubernetes/base/kustomization.yaml",
    "infra/kubernetes/monitoring/kustomization.yaml",
    "infra/kubernetes/overlays/single-node/kustomization.yaml",
    "infra/kubernetes/overlays/production/postgres.yaml",
    "templates/python3-functions-framework/Dockerfile",
)
"""The files that name images of others."""
ENDPOINTS = {"docker.io": "https://registry-1.docker.io"}
"""Where a registry's API is, if not at its name."""
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""First the lists of an image's architectures: their digest holds for all of them."""
MAX_MANIFEST_BYTES = 4 * 1024**2
TIMEOUT_SECONDS = 30
_LINE = re.compile(
    r"(?P<registry>[^/\s]+)/(?P<name>[^:@\s]+):(?P<tag>[^@\s]+)(?:@(?P<digest>\S+))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageError(Exception):
    """An image cannot be resolved, or a file cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Image:
    """A line of the lock file."""

    registry: str
    name: str
    tag: str
    digest: str | None = None

    def __str__(self) -> str:
        """Return the line."""
        return f"{self.registry}/{self.name}:{self.tag}{self.suffix}"

    @property
    def suffix(self) -> str:
        """What follows the tag: the digest, if it is known."""
        return f"@{self.digest}" if self.digest else ""

    @property
    def names(self) -> tuple[str, ...]:
        """What files call the image, the longest first."""
        full = f"{self.registry}/{self.name}"
        short = self.name.removeprefix("library/") if self.registry == "docker.io" else full
        return (full, self.name, short) if self.registry == "docker.io" else (full,)


def read_lock(text: str) -> list[Image]:
    """Return the images of the lock file. Raises ImageError for a line that is none."""
    images: list[Image] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if not found or (found["digest"] and not _DIGEST.fullmatch(found["digest"])):
            raise ImageError(f"{LOCK}: no image: {line}")
        images.append(Image(**found.groupdict()))
    return images


def write_lock(text: str, images: list[Image]) -> str:
    """Return the lock file with these images, its comments kept."""
    comments = [line for line in text.splitlines() if line.startswith("#")]
    return "\n".join([*comments, *map(str, images)]) + "\n"


def with_images(text: str, images: list[Image]) -> str:
    """Return a manifest, a Compose file or a Dockerfile with the digests of these images."""
    for image in images:
        for name in image.names:
            tagged = f"{name}:{image.tag}"
            used = rf"(?<![\w./-]){re.escape(tagged)}(?:@sha256:[0-9a-f]{{64}})?(?![\w.-])"
            text = re.sub(used, tagged + image.suffix, text)
            # an entry of kustomize's `images`: its new name, or the name that it replaces
            entry = (
                rf"(?P<entry>^ *(?:- name|newName): {re.escape(name)}\n"
                rf"(?P<indent> *)newTag: (?P<quote>\"?){re.escape(image.tag)}(?P=quote)\n)"
                r"(?: *digest: sha256:[0-9a-f]{64}\n)?"
            )
            digest = rf"\g<indent>digest: {image.digest}\n" if image.digest else ""
            text = re.sub(entry, rf"\g<entry>{digest}", text, flags=re.MULTILINE)
    return text


def resolve(image: Image, endpoint: str) -> str:
    """Return the digest that the registry has for the image's tag.

    Raises:
        ImageError: the registry does not answer, has no such image, or answers something else.
    """
    url = f"{endpoint}/v2/{image.name}/manifests/{image.tag}"
    headers = {"Accept": ", ".join(MANIFESTS)}
    try:
        try:
            body, stated = _get(url, headers)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            token = _token(error.headers.get("WWW-Authenticate", ""), endpoint)
            body, stated = _get(url, headers | {"Authorization": f"Bearer {token}"})
    except (OSError, ValueError) as error:
        raise ImageError(f"{image.registry} does not answer for {image.name}: {error}") from error
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if stated and stated != digest:
        raise ImageError(f"{image}: the registry states {stated}, and its answer is {digest}")
    return digest


def _get(url: str, headers: dict[str, str]) -> tuple[bytes, str | None]:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"no address of a registry: {url}")
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        body = answer.read(MAX_MANIFEST_BYTES + 1)
        if len(body) > MAX_MANIFEST_BYTES:
            raise ValueError("the manifest is too large")
        return body, answer.headers.get("Docker-Content-Digest")


def _token(challenge: str, endpoint: str) -> str:
    """Return the token that anybody may have, as the registry's challenge says."""
    wanted = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = wanted.pop("realm", "")
    secure = realm.startswith("https://") or endpoint.startswith("http://")
    if not challenge.lower().startswith("bearer ") or not realm.startswith("http") or not secure:
        raise ValueError(f"it wants a login: {challenge or 'no challenge'}")
    query = urllib.parse.urlencode({k: v for k, v in wanted.items() if k in ("service", "scope")})
    answer = json.loads(_get(f"{realm}?{query}", {})[0])
    return str(answer.get("token") or answer["access_token"])


def check(root: Path, images: list[Image]) -> list[str]:
    """Return a line for each file that differs from the lock file, or names an image without it."""
    faults: list[str] = []
    for name in USES:
        text = (root / name).read_text(encoding="utf-8")
        if with_images(text, images) != text:
            faults.append(f"{name} differs from {LOCK}: run make lock-images")
    return faults


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--registry", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    endpoints = ENDPOINTS | dict(each.split("=", 1) for each in options.registry)
    lock = options.root / LOCK
    text = lock.read_text(encoding="utf-8")
    try:
        images = read_lock(text)
    except ImageError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        faults = check(options.root, images)
        print("\n".join(faults) or f"{len(images)} images agree with {LOCK}")
        return 1 if faults else 0
    failed = False
    for place, image in enumerate(images):
        try:
            endpoint = endpoints.get(image.registry, f"https://{image.registry}").rstrip("/")
            images[place] = replace(image, digest=resolve(image, endpoint))
            print(images[place])
        except ImageError as error:
            print(f"kept as it is: {error}", file=sys.stderr)
            failed = True
    lock.write_text(write_lock(text, images), encoding="utf-8")
    for name in USES:
        file = options.root / name
        file.write_text(with_images(file.read_text(encoding="utf-8"), images), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
