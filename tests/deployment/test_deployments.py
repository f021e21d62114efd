"""What docker/ and docker-compose.yml promise: no secret in them, pinned versions, words that Ray and nginx know."""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib

import compose
import pytest
import yaml

ROOT = compose.ROOT
DOCKER = ROOT / "docker"
SERVICES = compose.services()
LONG_RUNNING = [name for name in SERVICES if "run" not in SERVICES[name].get("profiles", [])]
OF_RAY = ("head", "worker", "worker-gpu")
SECRET = re.compile("password|token|secret|login", re.IGNORECASE)
DEVELOPERS = ("pytest", "mypy", "ruff", "playwright", "colossus", "editables")
KUBERAY = {document["kind"]: document for document in yaml.safe_load_all((DOCKER / "kuberay.yaml").read_text())}
KUBERAY_HEADER = (DOCKER / "kuberay.yaml").read_text().partition("\napiVersion")[0]
SCRIPTS = [
    DOCKER / "make-secrets", DOCKER / "postgres-init.sh", DOCKER / "slurm.sbatch", ROOT / ".ci" / "run",
    ROOT / "tests" / "standins" / "postgres-entrypoint", *sorted((ROOT / "tests" / "standins" / "slurm").iterdir()),
]  # fmt: skip


def program_or_skip(name):
    """Find a program of Debian's. Where it is missing: in CI a failure, elsewhere a skip that says so."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        message = f"{name} is missing: install Debian's package {name}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return path


def make_secrets(folder):
    (folder / "docker").mkdir(exist_ok=True)
    shutil.copy(DOCKER / "make-secrets", folder / "docker")
    done = subprocess.run([folder / "docker" / "make-secrets"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def strings(part):
    if isinstance(part, dict):
        for key, value in part.items():
            yield from (str(key), *strings(value))
    elif isinstance(part, list):
        for value in part:
            yield from strings(value)
    else:
        yield str(part)


# docker-compose.yml


def test_every_secret_that_compose_names_is_made_by_make_secrets(tmp_path):
    make_secrets(tmp_path)
    for name, source in compose.document()["secrets"].items():
        assert source == {"file": f"docker/secrets/{name}"}
        assert (tmp_path / source["file"]).is_file(), name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_its_secrets_as_files_only(name):
    service = SERVICES[name]
    files = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
    for variable, value in compose.environment(name).items():
        assert not SECRET.search(variable) or value in files | {"token"}, variable
    for part in ("command", "entrypoint", "build", "labels"):
        assert not SECRET.search(" ".join(strings(service.get(part, "")))), part
    assert not any(re.search("://[^/@]*:[^/@]*@", text) for text in strings(service))
    used = {text for text in strings(service) if text.startswith("/run/secrets/")}
    assert used <= files


def test_only_the_proxy_is_published_and_to_this_machine_alone():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"proxy": ["127.0.0.1:8080:8080"]}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_networks_lead_nowhere_but_the_proxys():
    networks = compose.document()["networks"]
    assert [name for name, has in networks.items() if not has.get("internal")] == ["outside"]
    assert [name for name, service in SERVICES.items() if "outside" in service["networks"]] == ["proxy"]


@pytest.mark.parametrize("name", OF_RAY)
def test_rays_machines_reach_no_database_and_know_nothing_of_one(name):
    assert SERVICES[name]["networks"] == ["ray"]
    assert SERVICES[name]["secrets"] == ["ray_token"]
    assert not any("CLUSTERSWEEP_STORAGE" in variable for variable in compose.environment(name))
    assert "volumes" not in SERVICES[name]


def test_every_variable_of_compose_is_in_the_example_with_its_default_and_the_other_way_round():
    text = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    assert text.count("${") == len(re.findall(r"\$\{\w+:-[^}]*\}", text)), "a variable without a default"
    example = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    assert {tuple(line.split("=", 1)) for line in example} == used
    assert not SECRET.search("\n".join(example))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_that_is_not_built_here_has_its_full_version(name):
    service = SERVICES[name]
    full = {"postgres": r"\d+\.\d+-bookworm", "nginx": r"\d+\.\d+\.\d+-bookworm"}
    image, _, version = service["image"].partition(":")
    assert "build" in service or re.fullmatch(full[image], version)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_long_is_started_again_is_looked_at_and_writes_bounded_logs(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "postgres"])  # whose image gives up root itself
def test_a_service_has_no_privileges_to_lose(name):
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


# The image


def test_an_image_is_made_of_the_package_and_its_locks_and_of_nothing_else():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--)(\S+) ", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)) - {"."}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    built |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert let_in == copied | built
    assert all((ROOT / path).exists() for path in let_in)


def locked(path):
    """Give each package's versions: there may be one for each kind of machine."""
    found = {}
    for block in re.split(r"\n(?=\S)", path.read_text()):
        if match := re.match(r"([a-z0-9][a-z0-9._-]*)(?:\[[\w,-]+\])?==([^\s;]+)", block):
            assert "--hash=sha256:" in block, match[1]
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_an_installation_with_gpus_has_cudas_libraries_and_otherwise_the_versions_that_are_tested():
    with_gpus, tested = locked(ROOT / "requirements-gpu.lock"), locked(ROOT / "requirements.lock")
    assert {package: with_gpus[package] for package in tested} == tested
    assert all(package.startswith("nvidia-") for package in with_gpus.keys() - tested.keys())
    assert "nvidia-cudnn-cu12" in with_gpus
    for words, lock in ((["GPU=1"], "requirements-gpu.lock"), ([], "requirements.lock")):
        plan = ["make", "--dry-run", "--always-make", "setup", *words]
        outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "GPU")}
        said = subprocess.run(plan, cwd=ROOT, env=outside, capture_output=True, text=True, check=True).stdout
        assert f"--require-hashes -r {lock}\n" in said


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock"])
def test_an_image_holds_the_versions_that_are_tested_and_no_tool_of_developers(name):
    image, tested = locked(DOCKER / name), locked(ROOT / "requirements.lock")
    assert len(image) > 50
    assert {
        package: image[package] for package in image.keys() & tested.keys() if image[package] != tested[package]
    } == {}
    assert "http" not in (DOCKER / name).read_text()
    assert set(DEVELOPERS) & set(image) == set()
    assert any(package.startswith("nvidia-") for package in image) == (name == "requirements-gpu.lock")


# docker/make-secrets


def test_secrets_are_made_once_long_and_different_and_nobody_is_told(tmp_path):
    told = make_secrets(tmp_path)
    folder = tmp_path / "docker" / "secrets"
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    assert made.pop("dashboard_login") == "astronomer:{PLAIN}" + made["dashboard_password"]
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in made.values())
    assert len(set(made.values())) == len(made) == 4
    assert not any(text in told for text in made.values())


def test_secrets_that_are_there_already_stay(tmp_path):
    make_secrets(tmp_path)
    (tmp_path / "docker" / "secrets" / "ray_token").unlink()

    def state():
        paths = (tmp_path / "docker" / "secrets").iterdir()
        return {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in paths}

    before = state()
    make_secrets(tmp_path)
    after = state()
    assert after.pop("ray_token")
    assert after == before


# docker/kuberay.yaml


def ray_groups():
    spec = KUBERAY["RayCluster"]["spec"]
    return {"head": spec["headGroupSpec"], **{group["groupName"]: group for group in spec["workerGroupSpecs"]}}


def pods():
    """Give every pod's template by who it is."""
    groups = {name: group["template"] for name, group in ray_groups().items()}
    return groups | {"launch": KUBERAY["Job"]["spec"]["template"]}


def variables(container):
    return {one["name"]: one.get("value") or one["valueFrom"] for one in container["env"]}


def volume_at(pod, container, path):
    """Find the volume that a file of a container's is in, and the file's name there."""
    mount = next(m for m in container["volumeMounts"] if path.startswith(m["mountPath"] + "/"))
    volume = next(v for v in pod["spec"]["volumes"] if v["name"] == mount["name"])
    return volume, path.removeprefix(mount["mountPath"] + "/")


def megabytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


@pytest.mark.parametrize("name", ["head", "cpu", "gpu", "launch"])
def test_every_pod_of_kuberay_has_the_one_token_as_a_file(name):
    pod = pods()[name]
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
        assert variables(container)["RAY_AUTH_MODE"] == "token"
        volume, key = volume_at(pod, container, variables(container)["RAY_AUTH_TOKEN_PATH"])
        assert volume["secret"]["secretName"] == "clustersweep-ray"
        assert f"secret generic clustersweep-ray --from-file={key}=docker/secrets/ray_token" in KUBERAY_HEADER


@pytest.mark.parametrize("name", ["head", "cpu", "gpu", "launch"])
def test_every_pod_of_kuberay_runs_as_the_images_user_without_privileges(name):
    pod = pods()[name]["spec"]
    assert "useradd --uid 1000 " in (DOCKER / "Dockerfile").read_text()
    user = pod["securityContext"]
    assert (user["runAsNonRoot"], user["runAsUser"], user["fsGroup"]) == (True, 1000, 1000)
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        allowed = container["securityContext"]
        assert allowed == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_kuberays_images_are_those_that_compose_builds():
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    used = {name: pod["spec"]["containers"][0]["image"] for name, pod in pods().items()}
    assert used == {"head": "clustersweep:cpu", "cpu": "clustersweep:cpu", "gpu": "clustersweep:gpu",
                    "launch": "clustersweep:cpu"}  # fmt: skip
    assert set(used.values()) == built
    with_gpu = [name for name, pod in pods().items() if "nvidia.com/gpu" in str(pod)]
    assert with_gpu == ["gpu"]
    assert {KUBERAY["RayCluster"]["spec"]["rayVersion"]} == locked(DOCKER / "requirements.lock")["ray"]


def test_launch_finds_kuberays_head_and_only_launch_the_database():
    address = f"{KUBERAY['RayCluster']['metadata']['name']}-head-svc:6379"
    pod = pods()["launch"]
    container = pod["spec"]["containers"][0]
    assert container["command"][container["command"].index("--address") + 1] == address
    assert address in str(pod["spec"]["initContainers"])
    assert pods()["head"]["spec"]["containers"][0]["ports"] == [{"name": "gcs-server", "containerPort": 6379}]
    url = variables(container)["CLUSTERSWEEP_STORAGE"]["secretKeyRef"]
    volume, key = volume_at(pod, container, variables(container)["CLUSTERSWEEP_STORAGE_PASSWORD_FILE"])
    assert volume["secret"]["secretName"] == url["name"] == "clustersweep-storage"
    created = re.sub(r" \\\n# +", " ", KUBERAY_HEADER)
    assert f"{url['name']} --from-literal={url['key']}=postgresql://USER@HOST/DATABASE --from-file={key}=" in created
    assert [name for name, other in pods().items() if "storage" in str(other)] == ["launch"]


def test_launch_has_its_studies_and_a_home_that_stays_in_kuberay():
    pod = pods()["launch"]
    container = pod["spec"]["containers"][0]
    volume, name = volume_at(pod, container, container["command"][2])
    assert f"configmap {volume['configMap']['name']} --from-file=sweeps/" in KUBERAY_HEADER
    assert (ROOT / "sweeps" / name).is_file()
    home = re.search(r"CLUSTERSWEEP_HOME=(\S+)", (DOCKER / "Dockerfile").read_text()).group(1)
    volume, _ = volume_at(pod, container, f"{home}/runs")
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == KUBERAY["PersistentVolumeClaim"]["metadata"]["name"]


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_rays_object_store_fits_into_the_shared_memory_and_that_into_the_pods(name):
    pod = pods()[name]["spec"]
    shared = next(v["emptyDir"] for v in pod["volumes"] if v["name"] == "shared-memory")
    assert shared["medium"] == "Memory"
    store = int(ray_groups()[name]["rayStartParams"]["object-store-memory"]) / 2**20
    assert store < megabytes(shared["sizeLimit"]) < megabytes(pod["containers"][0]["resources"]["limits"]["memory"])


def test_kuberays_policies_are_for_rays_pods_and_launch_and_let_launch_alone_out():
    documents = yaml.safe_load_all((DOCKER / "kuberay.yaml").read_text())
    inside, outside = (one["spec"] for one in documents if one["kind"] == "NetworkPolicy")
    label = {"clustersweep": "ray"}
    assert all(pod["metadata"]["labels"] == label for pod in pods().values())
    ours = [{"podSelector": {"matchLabels": label}}]
    assert inside == {"podSelector": ours[0]["podSelector"], "policyTypes": ["Ingress"], "ingress": [{"from": ours}]}
    assert outside["policyTypes"] == ["Egress"]
    # KubeRay gives that label to the pods that it makes, and so not to launch's.
    assert outside["podSelector"]["matchExpressions"] == [{"key": "ray.io/cluster", "operator": "Exists"}]
    assert outside["egress"][0] == {"to": ours}
    assert {one["port"] for one in outside["egress"][1]["ports"]} == {53}


def test_a_launch_in_kuberay_has_as_long_to_stop_as_one_in_compose():
    assert pods()["launch"]["spec"]["terminationGracePeriodSeconds"] == 120
    assert SERVICES["launch"]["stop_grace_period"] == "2m"


def test_every_kind_of_cluster_notices_a_lost_machine_equally_soon():
    def settings(variables):
        return {name: value for name, value in variables.items() if name.startswith("RAY_health_check_")}

    in_compose = settings(compose.environment("head"))
    assert len(in_compose) == 3
    assert settings(variables(pods()["head"]["spec"]["containers"][0])) == in_compose
    exported = re.findall(r"(RAY_health_check_\w+)=(\d+)", (DOCKER / "slurm.sbatch").read_text())
    assert dict(exported) == in_compose


# Words of other programs


def options_of_ray_start():
    """Yield every option of `ray start` that is used, with who uses it."""
    for name in OF_RAY:
        words = compose.command(name)
        assert words[:2] == ["ray", "start"]
        yield from ((name, word.split("=")[0]) for word in words if word.startswith("--"))
    for line in (DOCKER / "slurm.sbatch").read_text().replace("\\\n", " ").splitlines():
        _, _, options = line.strip().partition(" -- " if line.strip().startswith("start ") else "ray start ")
        yield from (("slurm.sbatch", option) for option in re.findall(r"(?<![\w$-])--[a-z-]+", options))
    for name, group in ray_groups().items():
        yield from ((f"kuberay.yaml, {name}", f"--{key}") for key in group["rayStartParams"])


def options_of_health_checks():
    texts = {path.name: path.read_text() for path in (DOCKER / "slurm.sbatch", DOCKER / "kuberay.yaml")}
    texts["head"] = shlex.join(compose.health_check("head"))
    for name, text in texts.items():
        found = re.search(r"ray health-check (.*)", text).group(1)
        yield from ((name, option) for option in re.findall(r"--[a-z-]+", found))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("command", "used", "some"),
    [("start", options_of_ray_start, {"--head", "--temp-dir", "--node-manager-port"}),
     ("health-check", options_of_health_checks, {"--address"})],
)  # fmt: skip
def test_ray_knows_every_option_that_it_is_given(command, used, some):
    ray = [sys.executable, "-m", "ray.scripts.scripts", command, "--help"]
    done = subprocess.run(ray, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known = set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", done.stdout, re.MULTILINE))
    given = set(used())
    assert some <= {option for _, option in given}
    assert {(where, option) for where, option in given if option not in known} == set()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_shell_script_can_be_read_by_its_shell_and_run(path):
    shell = path.read_text().partition("\n")[0].rsplit("/", 1)[1].removeprefix("env ")
    assert shell in {"sh", "bash"}
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(path, os.X_OK)


@pytest.mark.integration
def test_shellcheck_has_no_complaint():
    shellcheck = program_or_skip("shellcheck")
    done = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.integration
def test_nginx_accepts_its_file(tmp_path):
    nginx = program_or_skip("nginx")
    text = (DOCKER / "nginx.conf").read_text()
    secret = re.search(r"auth_basic_user_file (\S+);", text).group(1)
    assert secret in {f"/run/secrets/{name}" for name in SERVICES["proxy"]["secrets"]}
    (tmp_path / "nginx.conf").write_text(text.replace("/tmp/", f"{tmp_path}/"))
    shutil.copy("/etc/nginx/mime.types", tmp_path)
    command = [nginx, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
