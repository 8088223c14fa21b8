"""The bundle's container: parsed as Docker would parse it, and held to what docs/serving.md says of it."""
import re

import pytest
import yaml

from export import saved_model, writing
from export.bundle import FILES, SUMS, damaged, write_sums
from export.container import write_server_files
from export.settings import Container
from synergynet_tf.errors import InputError

DIGEST = "sha256:" + "0123456789abcdef" * 4


def written(folder, name="toy", **given) -> tuple[dict, dict[str, list[str]]]:
    """The service of compose.yaml, and the Dockerfile's instructions."""
    write_server_files(folder, name, Container(**given))
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert list(services) == [name]
    instructions: dict[str, list[str]] = {}
    for line in (folder / "Dockerfile").read_text().splitlines():
        if not line.startswith("#"):
            word, rest = line.split(" ", 1)
            instructions.setdefault(word, []).append(rest)
    return services[name], instructions


def test_the_container_may_do_no_more_than_serve(tmp_path):
    service, instructions = written(tmp_path)
    user, = instructions["USER"]
    assert service["user"] == user
    assert "0" not in user.split(":")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == service["memswap_limit"]
    assert 0 < service["pids_limit"] < 10_000
    assert service["volumes"] == ["./:/bundle:ro"]
    assert all("noexec" in mount for mount in service["tmpfs"])
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "userns_mode"} & set(service)
    assert list(instructions) == ["ARG", "FROM", "ENV", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD"]


def test_the_command_that_the_dockerfile_names_has_the_same_bounds(tmp_path):
    service, _ = written(tmp_path, "MyNet")
    command = " ".join(line.strip("# \\") for line in (tmp_path / "Dockerfile").read_text().splitlines() if line.startswith("#"))
    for expected in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", f"--memory {service['mem_limit']}",
                     f"--memory-swap {service['mem_limit']}", f"--pids-limit {service['pids_limit']}", "build -t mynet-serving",
                     *(f"-p {port}" for port in service["ports"])):
        assert expected in command
    assert " mynet-serving The image" in command       # an image's name has no capital letters


@pytest.mark.parametrize(("given", "host"), [({}, "127.0.0.1"), ({"listen": "0.0.0.0"}, "0.0.0.0"), ({"listen": "::1"}, "[::1]")])
def test_ports_are_open_to_this_machine_alone_unless_asked_otherwise(tmp_path, given, host):
    service, _ = written(tmp_path, **given)
    assert service["ports"] == [f"{host}:8500:8500", f"{host}:8501:8501"]


def test_the_image_is_that_of_the_digest(tmp_path):
    tagged, instructions = written(tmp_path)
    assert re.fullmatch(r"\$\{SERVING_IMAGE:-tensorflow/serving:2\.\d+\.\d+\}", tagged["image"])
    assert instructions["ARG"] == [f"SERVING_IMAGE={tagged['image'][17:-1]}"]
    exact, instructions = written(tmp_path, image_digest=DIGEST)
    assert exact["image"] == f"${{SERVING_IMAGE:-tensorflow/serving@{DIGEST}}}"
    assert instructions["ARG"] == [f"SERVING_IMAGE=tensorflow/serving@{DIGEST}"]
    assert instructions["FROM"] == ["${SERVING_IMAGE}"]


def test_the_same_flags_in_both(tmp_path):
    service, instructions = written(tmp_path)
    assert yaml.safe_load(instructions["CMD"][0]) == service["command"]
    assert yaml.safe_load(instructions["ENTRYPOINT"][0]) == service["entrypoint"]
    assert service["command"][:2] == ["--port=8500", "--rest_api_port=8501"]


@pytest.mark.parametrize(("given", "message"), [
    ({"listen": "everywhere"}, "--listen is 'everywhere'"), ({"listen": "0.0.0.0:8500"}, "--listen is"),
    ({"listen": ""}, "--listen is"), ({"listen": "127.0.0.1\nprivileged: true"}, "--listen is"),
    ({"image_digest": "sha256:abc"}, "--image-digest is 'sha256:abc'"),
    ({"image_digest": DIGEST.upper()}, "--image-digest is"), ({"image_digest": DIGEST + "\n"}, "--image-digest is"),
    ({"image_digest": ""}, "--image-digest is ''"), ({"image_digest": DIGEST[7:]}, "--image-digest is")])
def test_what_is_no_address_and_no_digest(given, message):
    with pytest.raises(InputError, match=message):
        Container(**given)


@pytest.mark.parametrize("arguments", [["--name", "a/b"], ["--name", ""], ["--name", "_a"], ["--name", "é"], ["--name", "a\nb"],
                                       ["--listen", "x"], ["--image-digest", "latest"]])
def test_the_command_refuses_them_before_any_work(arguments, tmp_path, capsys):
    assert saved_model.main(["--run", str(tmp_path), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {arguments[0]} is ")
    assert not (tmp_path / "out").exists()


def test_a_changed_file_of_the_server_is_kept(tmp_path, monkeypatch):
    """Someone lists two versions in models.config: the next export does not undo it."""
    monkeypatch.setattr("export.writing.write_saved_model", lambda folder, *_: folder.mkdir())
    monkeypatch.setattr("export.writing.write_model_card", lambda *_: None)

    def export() -> None:
        writing.export_networks([], [], tmp_path, "toy", None, [])

    export()
    export()
    assert damaged(tmp_path, FILES) == []
    assert set((tmp_path / SUMS).read_text().split()[1::2]) == set(FILES)
    (tmp_path / "models.config").write_text("mine")
    with pytest.raises(InputError, match="models.config: lies there already"):
        export()
    assert (tmp_path / "models.config").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == ["1", "2"]


def test_sums_that_say_too_little_or_nonsense(tmp_path):
    (tmp_path / "saved_model.pb").write_text("a")
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "index").write_text("b")
    write_sums(tmp_path)
    whole = (tmp_path / SUMS).read_text()
    (tmp_path / ".DS_Store").touch()
    assert damaged(tmp_path) == []
    for some in ("", *whole.splitlines(keepends=True)):
        (tmp_path / SUMS).write_text(some)
        assert damaged(tmp_path)                    # a list that was cut off vouches for nothing
    (tmp_path / SUMS).write_text(whole)
    (tmp_path / "assets").write_text("of another")
    assert damaged(tmp_path) == ["assets"]
    assert damaged(tmp_path, ["saved_model.pb"]) == []
    assert damaged(tmp_path, ["absent"]) == ["absent"]
    for nonsense in ("no sums", f"{'0' * 64}  ../outside", "\xff\xfe", f"{'0' * 64}  /etc/passwd", whole * 2):
        (tmp_path / SUMS).write_text(nonsense, encoding="latin-1")
        with pytest.raises(InputError, match="SHA256SUMS"):
            damaged(tmp_path)


def test_sums_of_some_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    write_sums(tmp_path, ["a"])
    assert (tmp_path / SUMS).read_text().split()[1:] == ["a"]
