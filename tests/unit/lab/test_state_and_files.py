from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from c100k.lab import LabConfig
from c100k.lab.errors import LabChangedError
from c100k.lab.machines import known_nodes
from c100k.lab.node_files import HOST_KEY, ensure_controller_files, ensure_key, write_node_files
from c100k.lab.state import check_unchanged, read_state, state_file, write_if_changed, write_state


@pytest.fixture
def config(tmp_path: Path) -> LabConfig:
    return LabConfig(name="unittest", subnet="10.9.0.0/24", nodes=("n1", "n2"), state_dir=tmp_path / "lab")


def test_the_state_reads_back_as_written(config: LabConfig) -> None:
    assert read_state(config) is None
    write_state(config, "bookworm-abc")
    state = read_state(config)
    assert state is not None
    assert (state.name, state.subnet, state.nodes, state.image) == (
        "unittest",
        "10.9.0.0/24",
        ("n1", "n2"),
        "bookworm-abc",
    )
    check_unchanged(config, state)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "unittest"}', '{"nodes": 3}', "null"])
def test_a_state_that_cannot_be_read_is_as_none(config: LabConfig, text: str) -> None:
    config.state_dir.mkdir()
    state_file(config).write_text(text)
    assert read_state(config) is None


def test_a_lab_with_other_settings_is_not_changed_under_the_user(config: LabConfig, tmp_path: Path) -> None:
    write_state(config, "bookworm-abc")
    state = read_state(config)
    assert state is not None
    asked = LabConfig(name="unittest", subnet="10.8.0.0/24", nodes=("n1", "n2"), state_dir=tmp_path / "lab")
    with pytest.raises(LabChangedError, match=r"subnet 10\.9\.0\.0/24 but was asked for with subnet 10\.8\.0\.0/24"):
        check_unchanged(asked, state)
    asked = LabConfig(name="unittest", subnet="10.9.0.0/24", nodes=("n1",), state_dir=tmp_path / "lab")
    with pytest.raises(LabChangedError, match="nodes n1,n2"):
        check_unchanged(asked, state)


def test_nodes_are_found_by_their_folders_when_the_record_is_lost(config: LabConfig) -> None:
    config.node_dir("n3").mkdir(parents=True)
    assert known_nodes(config) == ["n1", "n2", "n3"]


def test_a_file_that_is_right_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_if_changed(path, "text", 0o600)
    before = path.stat()
    write_if_changed(path, "text", 0o600)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert before.st_mode & 0o777 == 0o600
    write_if_changed(path, "other")
    assert path.read_text() == "other"


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("the host's own")
    (tmp_path / "resolv.conf").symlink_to("target")
    write_if_changed(tmp_path / "resolv.conf", "the machine's")
    assert (tmp_path / "target").read_text() == "the host's own"
    assert (tmp_path / "resolv.conf").read_text() == "the machine's"


def test_a_key_pair_cut_short_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("half")
    (tmp_path / "key.pub").write_text("")
    public = ensure_key(tmp_path / "key", "comment")
    assert public.startswith("ssh-ed25519 ")
    assert ensure_key(tmp_path / "key", "comment") == public


def test_ssh_understands_the_configuration(config: LabConfig) -> None:
    ensure_controller_files(config)
    for name in ("n2", "10.9.0.12"):
        resolved = subprocess.run(
            ["ssh", "-G", "-F", str(config.ssh_config), name], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for line in (
            "hostname 10.9.0.12",
            "user root",
            "stricthostkeychecking true",
            f"identityfile {config.private_key}",
            f"userknownhostsfile {config.known_hosts}",
        ):
            assert line in resolved
        found = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", str(config.known_hosts)], check=False, capture_output=True
        )
        assert found.returncode == 0


def test_the_files_of_a_node_are_the_same_after_a_second_time(config: LabConfig) -> None:
    root = config.root("n1")
    for folder in ("etc/ssh/sshd_config.d", "etc/systemd/network", "root"):
        (root / folder).mkdir(parents=True)
    (root / "etc/machine-id").write_text("")
    ensure_controller_files(config)
    write_node_files(config, "n1")
    first = {path: (path.read_bytes(), path.stat().st_ino) for path in root.rglob("*") if path.is_file()}
    write_node_files(config, "n1")
    assert first == {path: (path.read_bytes(), path.stat().st_ino) for path in root.rglob("*") if path.is_file()}
    assert (root / "etc/hostname").read_text() == "n1\n"
    assert "10.9.0.12\tn2\n" in (root / "etc/hosts").read_text()
    assert len((root / "etc/machine-id").read_text().strip()) == 32
    assert (root / "etc/ssh" / HOST_KEY).stat().st_mode & 0o777 == 0o600
