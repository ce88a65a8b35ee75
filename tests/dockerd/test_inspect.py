"""Every image and container of a root, inspected by a real Engine and by `layerfs inspect`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from layerfs_cli.template.govalues import CONFIG_FIELDS, HOST_CONFIG_FIELDS
from tests.support.command import add_image, configs, layerfs
from tests.support.engine import Engine, EngineError, copy_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.dockerd

ODD_CONFIGS: list[dict[str, Any]] = [
    {
        "Hostname": "h",
        "Domainname": "d",
        "User": "1:2",
        "AttachStdin": True,
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Tty": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Env": ["B=\u00e9\u4e2d<&>", "A=\x01\x7f", "P=\ud800"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Retries": 3},
        "ArgsEscaped": True,
        "Image": "i",
        "Volumes": {"/z": {}, "/a": {}},
        "WorkingDir": "/w",
        "Entrypoint": ["/e"],
        "NetworkDisabled": True,
        "MacAddress": "02:00:00:00:00:01",
        "OnBuild": ["RUN x"],
        "Labels": {"b": "2", "a": "1", "B": "3"},
        "StopSignal": "SIGINT",
        "StopTimeout": 0,
        "Shell": ["/bin/sh"],
        "Unknown": 1,
    },
    {"cmd": "one word", "entrypoint": "another", "env": [], "OnBuild": [], "labels": {}, "volumes": {}},
    {"Healthcheck": {}, "StopTimeout": 10, "Shell": [], "ExposedPorts": {}, "Env": [None, "x"]},
    {"Healthcheck": None, "StopTimeout": None, "Cmd": None, "Labels": None},
]

TIMES = [
    "2021-02-03T04:05:06.120000000Z",
    "2021-02-03T04:05:06.000000001+05:30",
    "2021-02-03T04:05:06-00:00",
    "1969-07-20T20:17:40+00:00",
    "0001-01-01T00:00:00Z",
]

TEMPLATES = [
    "{{.Id}}",
    "{{.RootFS.Layers}}",
    "{{json .RootFS}}",
    "{{json .Config}}",
    "{{json .}}",
    "{{.Size}} {{.VirtualSize}}",
    "{{len .RootFS.Layers}}",
    "{{range .RootFS.Layers}}{{.}}\n{{end}}",
    "{{range $index, $layer := .RootFS.Layers}}{{$index}}={{$layer}} {{end}}",
    "{{range $name, $value := .Config.Labels}}{{$name}}={{$value}} {{end}}",
    "{{index .RepoTags 0}}",
    '{{join .RepoTags ","}}',
    "{{.GraphDriver.Data.UpperDir}}",
    "{{.Config.Tty}} {{.Config.WorkingDir}} {{.Config.Labels}}",
    "{{if .Parent}}has a parent{{else}}has none{{end}}",
]


def _make_odd(root: Path) -> None:
    """Add images whose configs use every field, odd values, and times with offsets."""
    layers = next(config["rootfs"] for config in configs(root).values() if config["rootfs"].get("diff_ids"))
    for number, config in enumerate(ODD_CONFIGS):
        add_image(
            root, {"os": "linux", "rootfs": layers, "config": config, "container_config": config, "n": number}
        )
    for number, time in enumerate(TIMES):
        odd = {"os": "linux", "rootfs": layers, "created": time, "n": number}
        odd |= {"author": "A", "comment": "C", "variant": "v8", "os.version": "1", "docker_version": "0"}
        image = add_image(root, odd)
        metadata = root / "image/overlay2/imagedb/metadata/sha256" / image.removeprefix("sha256:")
        metadata.mkdir(parents=True)
        (metadata / "lastUpdated").write_text(time)
        (metadata / "parent").write_text("garbage" if number else f"sha256:{'0' * 64}")


@pytest.fixture(scope="module")
def engine(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine on a copy of the recorded root, with odd images added."""
    root = copy_root(dataroot_path, tmp_path_factory.mktemp("inspect") / "root")
    _make_odd(root)
    with Engine(root) as running:
        yield running


def _without_layers(document: dict[str, Any]) -> str:
    """The document as text, to compare order and types as well, without the keys the Engine has not."""
    first, *_, last = document
    assert (first, last) == ("type", "Layers")
    own = ("type", "Layers", "RecordedPaths")
    return json.dumps({key: value for key, value in document.items() if key not in own}, indent=1)


def _ours(engine: Engine, *arguments: str) -> dict[str, Any]:
    found = layerfs(engine.root, "inspect", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return dict(found.json[0])


def test_every_image_is_inspected_as_the_engine_does(engine: Engine) -> None:
    """Each image's document equals the Engine's: the same keys in the same order with the same values."""
    images = engine.images()
    assert len(images) == len(configs(engine.root))
    for image in images:
        assert _without_layers(_ours(engine, image["Id"])) == json.dumps(engine.image(image["Id"]), indent=1)


def test_every_container_is_inspected_as_the_engine_does(engine: Engine) -> None:
    """Each container's document, sizes included, equals the Engine's, which gives its files as recorded."""
    containers = engine.containers()
    assert containers
    for container in containers:
        document = _ours(engine, "--size", container["Id"])
        recorded = {key: path for key, path in document["RecordedPaths"].items() if key != "Mounts"}
        assert len(recorded) == 4
        ours = json.loads(_without_layers(document | recorded))
        theirs = engine.container(container["Id"])
        for document in (ours, theirs):  # the Engine lists mounts in the random order of a Go map
            document["Mounts"].sort(key=lambda mount: mount["Destination"])
        assert json.dumps(ours, indent=1) == json.dumps(theirs, indent=1)


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_give_what_docker_gives(engine: Engine, template: str) -> None:
    """A template prints what `docker inspect --format` prints for the same image."""
    for name in ("demo:latest", "base:1"):
        ours = layerfs(engine.root, "inspect", "--format", template, name)
        assert (ours.code, ours.stderr) == (0, "")
        if template == "{{json .}}":
            expected = json.loads(engine.cli("image", "inspect", "--format", template, name))
            assert expected.items() <= ours.json.items()
        else:
            assert ours.stdout == engine.cli("image", "inspect", "--format", template, name)


def test_every_null_is_printed_as_docker_does(engine: Engine) -> None:
    """Lists, maps, sets, texts and flags of `Config`, set, null or left out: the client's words for each."""
    names = [item["Id"] for item in engine.images() if engine.image(item["Id"])["Config"]]
    fields = [name for name in CONFIG_FIELDS if name not in ("Env", "Healthcheck", "StopTimeout")]
    template = "@".join(f"{{{{.Config.{name}}}}}" for name in fields)
    ours = layerfs(engine.root, "inspect", "--type", "image", "--format", template, *names)
    theirs = engine.cli("image", "inspect", "--format", template, *names)
    assert [line.split("@") for line in ours.stdout.split("\n")] == [
        line.split("@") for line in theirs.split("\n")
    ]
    assert "map[53/udp:{} 80/tcp:{}]" in theirs


@pytest.mark.parametrize("name", ["demo", "zero/scratch:1", "lab/attributes:1"])
@pytest.mark.parametrize(
    "template",
    [
        "{{.Config.Healthcheck}}|{{.Config.StopTimeout}}|{{.RootFS.Layers}}|{{.RepoDigests}}",
        "{{json .Config.Cmd}}|{{json .Config.ExposedPorts}}|{{json .Config.Labels}}|{{json .Config.Shell}}",
        "{{len .Config.Entrypoint}}|{{len .Config.ExposedPorts}}|{{join .Config.OnBuild `,`}}",
        "{{if .Config.Entrypoint}}y{{else}}n{{end}}|{{range .Config.OnBuild}}x{{else}}none{{end}}",
        "{{range $k, $v := .Config.ExposedPorts}}{{$k}}={{$v}}{{else}}none{{end}}|{{json .Config.Env}}",
        "{{.Config.Env}}|{{.Config.Image}}|{{.Config.User}}",
        "{{with .Config.Healthcheck}}y{{end}}|{{index .Config.Labels `none`}}|{{.Config.ArgsEscaped}}",
    ],
)
def test_null_is_used_as_docker_does(engine: Engine, name: str, template: str) -> None:
    """What is null is empty to every function and action, and null in JSON."""
    ours = layerfs(engine.root, "inspect", "--type", "image", "--format", template, name)
    assert ours.stdout == engine.cli("image", "inspect", "--format", template, name)


def test_null_of_a_container_is_printed_as_docker_does(engine: Engine) -> None:
    """The lists, maps and pointers of `HostConfig`, and the rest that may be null."""
    names = [item["Id"] for item in engine.containers() if item["Names"] != ["/mounts"]]
    fields = [f".HostConfig.{name}" for name in HOST_CONFIG_FIELDS if name != "Resources"]
    fields += [".ExecIDs", ".State.Health", ".Mounts", ".Args", ".NetworkSettings.SecondaryIPAddresses"]
    template = "\n".join(f"{field} {{{{{field}}}}}" for field in fields)
    ours = layerfs(engine.root, "inspect", "--type", "container", "--format", template, *names)
    assert ours.stdout.split("\n") == engine.cli("container", "inspect", "--format", template, *names).split(
        "\n"
    )


ADDRESS = re.compile("0xc[0-9a-f]+")
"""What Go prints of a pointer inside of a struct."""

STRUCTS = {
    "container": [
        *(
            "{{.State}}",
            '{{printf "%v" .State}}',
            '{{printf "%+v" .State}}',
            "{{.Config}}",
            "{{.GraphDriver}}",
        ),
        *(
            "{{.HostConfig.RestartPolicy}}",
            "{{.HostConfig.LogConfig}}",
            '{{printf "%+v" .HostConfig.LogConfig}}',
        ),
        *("{{.Mounts}}", "{{range .Mounts}}{{.}}{{end}}", "{{.NetworkSettings.NetworkSettingsBase}}"),
        *("{{.SizeRw}}", "{{.SizeRootFs}} {{json .SizeRw}}", "{{if .SizeRw}}y{{else}}n{{end}}", "{{.Node}}"),
        *(
            "{{.ID}}",
            "{{.Id}}",
            "{{.HostConfig.DNS}}",
            "{{.HostConfig.Dns}} {{.State}}",
            "{{.Id}} {{.State}}",
        ),
        *("{{.HostConfig.CPUShares}}", "{{.HostConfig.CpuShares}}", "{{println .State}}", "{{.HostConfig}}"),
        *("{{.HostConfig.Resources}}", "{{.NetworkSettings.DefaultNetworkSettings}}"),
    ],
    "image": [
        *(
            "{{.Config}}",
            '{{printf "%+v" .Config}}',
            "{{.ContainerConfig}}",
            "{{.RootFS}}",
            "{{.GraphDriver}}",
        ),
        *('{{printf "%+v" .RootFS}}', "{{.RootFS.BaseLayer}}", "{{.Metadata}}", "{{.Metadata.LastTagTime}}"),
        *("{{json .Metadata}}", "{{.Id}} {{.Metadata}}", "{{.ID}} {{.RootFS}}", "{{.OsVersion}}"),
    ],
}


MOUNT = re.compile(r"\{(?:bind|volume) [^{}]*\}|map\[Destination:[^\[\]]*\]")
"""A mount of a container, as a struct or as a map."""


@pytest.mark.parametrize("kind", STRUCTS)
@pytest.mark.parametrize("size", [False, True], ids=["", "--size"])
def test_a_whole_struct_is_printed_as_docker_does(engine: Engine, kind: str, *, size: bool) -> None:
    """In the order of its fields; by Go's names of fields it is a struct, by those of JSON a map.

    Where the client prints the address of something, that is printed here.
    """
    options = ["--size"] if size and kind == "container" else []
    if kind == "container":
        names = [item["Id"] for item in engine.containers()]
    else:
        images = [engine.image(item["Id"]) for item in engine.images()]
        names = [item["Id"] for item in images if item["Config"] and not _has_pointers(item)]
    assert len(names) >= 10
    for text in STRUCTS[kind]:
        theirs = engine.cli(kind, "inspect", *options, "--format", text, *names)
        ours = layerfs(engine.root, "inspect", "--type", kind, *options, "--format", text, *names)
        assert (ours.code, ours.stderr) == (0, "")
        for our_line, their_line in zip(ours.stdout.split("\n"), theirs.split("\n"), strict=True):
            parts = [re.escape(part) for part in ADDRESS.split(_with_sorted_mounts(their_line))]
            found = _with_sorted_mounts(our_line)
            assert re.fullmatch("(?:true|false|[0-9]+)".join(parts), found), text


def _with_sorted_mounts(line: str) -> str:
    """The line with its mounts sorted: the Engine lists them in the order of a map of Go, never the same."""
    mounts = iter(sorted(MOUNT.findall(line)))
    return MOUNT.sub(lambda _: next(mounts), line)


def _has_pointers(image: dict[str, Any]) -> bool:
    """Whether addresses would be printed of its configuration."""
    configs = [image["Config"], image["ContainerConfig"] or {}]
    return any(config.get("Healthcheck") or config.get("StopTimeout") is not None for config in configs)


def test_field_that_no_struct_has_is_refused_as_docker_does(engine: Engine) -> None:
    """A misspelt field is an error and no empty answer."""
    for template in ("{{.Config.Cmdd}}", "{{.Cmd}}", "{{.RootFS.layers}}"):
        with pytest.raises(EngineError):
            engine.cli("image", "inspect", "--format", template, "demo")
        assert layerfs(engine.root, "inspect", "--format", template, "demo").code == 2


def test_paths_are_those_of_the_root_read(engine: Engine, dataroot_path: Path) -> None:
    """A relocated root is described with its own paths, and every one of them is there."""
    document = layerfs(dataroot_path, "inspect", "demo:latest").json[0]
    theirs = json.loads(json.dumps(engine.image("demo:latest")).replace(str(engine.root), str(dataroot_path)))
    assert _without_layers(document) == json.dumps(theirs, indent=1)
    for directory in document["GraphDriver"]["Data"]["LowerDir"].split(":"):
        assert (dataroot_path / directory).is_dir()
