"""The services of docker-compose.yml on hosts of their own, with their own commands, variables and health checks."""

import os
import shutil
import sys
import time
from pathlib import Path

import compose
from hosts import Host, Network

from clustersweep.postgres.programs import Owner, find_programs, reachable_programs, server_user

ROOT = compose.ROOT
# What they are called on the network; `worker` is a service of two.
NAMES = ("postgres", "head", "worker-1", "worker-2", "launch", "dashboard", "proxy")
HOME = "/run/host/home"


class Lab:
    """Hosts that run the services, each as its container would: started again when it ends, with its secrets only."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.folder = network, folder
        copied = folder / "docker"
        copied.mkdir()
        shutil.copy(ROOT / "docker" / "make-secrets", copied)
        os.spawnv(os.P_WAIT, copied / "make-secrets", ["make-secrets"])
        self.owner = server_user()
        programs = folder / "programs"
        programs.mkdir(mode=0o755)
        self.programs = reachable_programs(find_programs(programs), programs, self.owner)

    def host(self, name: str) -> Host:
        """Plug a host in that has a service's secrets."""
        service = service_of(name)
        secrets = self.folder / name
        secrets.mkdir(exist_ok=True)
        for secret in compose.services()[service]["secrets"]:
            shutil.copy(self.folder / "docker" / "secrets" / secret, secrets)
        files = {"/run/secrets": secrets}
        if service == "postgres":  # its server knows its superuser by this name
            for path in ("passwd", "group"):
                files[f"/etc/{path}"] = secrets.with_name(path)
                files[f"/etc/{path}"].write_text(self._renamed(Path("/etc") / path, self.owner))
        if service == "proxy":
            files["/etc/nginx/nginx.conf"] = self._nginx()
        below_tmp = [path for path in (ROOT, self.folder) if path.is_relative_to("/tmp")]
        return self.network.add(name, NAMES, files, below_tmp)

    def up(self, *names: str) -> None:
        """Start services and wait until they are healthy, in this order."""
        for name in names:
            host = self.network.hosts.get(name) or self.host(name)
            # Docker's `restart: unless-stopped`.
            command = ["bash", "-c", 'while :; do "$@"; sleep 0.5; done', "restart", *self._command(service_of(name))]
            host.start(command, self._environment(service_of(name)))
        for name in names:
            self.wait_healthy(name)

    def wait_healthy(self, name: str, patience_s: float = 60.0) -> None:
        """Wait for a service's health check."""
        host, check = self.network.hosts[name], compose.health_check(service_of(name))
        deadline = time.monotonic() + patience_s
        while (done := host.run(check, self._environment(service_of(name)))).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} is not healthy: {done.stderr[-500:]}\n{host.said()[-3000:]}")
            time.sleep(0.2)

    def environment_of_launch(self) -> dict[str, str]:
        """Return the variables of a launch, with this machine's program and folder."""
        return self._environment("launch")

    def _command(self, service: str) -> list[str | Path]:
        if service == "postgres":
            return [ROOT / "tests" / "standins" / "postgres-entrypoint", "postgres"]
        return list(compose.command(service))

    def _nginx(self) -> Path:
        """Write nginx's file without Docker's name service, which is not there."""
        text = (ROOT / "docker" / "nginx.conf").read_text()
        lines = [line for line in text.splitlines() if "resolver " not in line and "set $dashboard" not in line]
        path = self.folder / "nginx.conf"
        path.write_text("\n".join(lines).replace("$dashboard", "http://dashboard:8080"))
        return path

    def _environment(self, service: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        given = {**compose.environment(service), "PATH": path, "CLUSTERSWEEP_HOME": HOME}
        if service == "postgres":
            data = {"PGDATA": "/run/host/data", "INIT": str(ROOT / "docker" / "postgres-init.sh"), "PGHOST": "/tmp"}
            given |= data | {"PATH": f"{self.programs}:{os.environ['PATH']}"}
        return given

    @staticmethod
    def _renamed(path: Path, owner: Owner) -> str:
        """Return a list of users or groups in which the server's user is called as in its image."""
        lines = [line.split(":") for line in path.read_text().splitlines()]
        for line in lines:
            if line[0] == "postgres":
                line[0] = "other"
            elif line[2] == str(owner.uid if path.name == "passwd" else owner.gid):
                line[0] = "postgres"
        return "\n".join(":".join(line) for line in lines) + "\n"


def service_of(name: str) -> str:
    """Return the service that a host runs."""
    return "worker" if name.startswith("worker") else name
