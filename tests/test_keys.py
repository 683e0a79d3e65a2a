"""Keys of a cluster: what an independent reader of certificates says of them, and who may read them."""

from __future__ import annotations

import ssl
from pathlib import Path

import dask
import pytest
from click.testing import CliRunner
from cryptography import x509

from cluster.keys import CA_KEY_FILE, make_keys
from cluster.place import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Place, is_exposed, scheduler_address, security
from dedup.errors import ClusterError, UsageError
from jobs.cli import cli


def certificate(folder: Path, name: str = CERTIFICATE_FILE) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


def test_each_host_has_a_certificate_of_the_one_authority(tmp_path: Path) -> None:
    made = make_keys(tmp_path, ["nas", "10.0.0.2"])
    assert made == [tmp_path / "nas", tmp_path / "10.0.0.2"]
    authority = certificate(tmp_path, CA_FILE)
    for folder in made:
        certificate(folder).verify_directly_issued_by(authority)
        assert (folder / CA_FILE).read_bytes() == (tmp_path / CA_FILE).read_bytes()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / CA_FILE))
        context.load_cert_chain(str(folder / CERTIFICATE_FILE), str(folder / KEY_FILE))  # they belong together
    names = certificate(tmp_path / "10.0.0.2").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.2"]


def test_a_host_that_is_added_later_changes_nothing(tmp_path: Path) -> None:
    make_keys(tmp_path, ["nas"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.pem")}
    assert make_keys(tmp_path, ["nas", "attic"]) == [tmp_path / "attic"]
    assert {path: path.read_bytes() for path in before} == before
    certificate(tmp_path / "attic").verify_directly_issued_by(certificate(tmp_path, CA_FILE))


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    make_keys(tmp_path, ["nas"])
    for path in (tmp_path / CA_KEY_FILE, tmp_path / "nas" / KEY_FILE):
        assert path.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "nas" / CA_KEY_FILE).exists()


@pytest.mark.parametrize("host", ["", "..", "a/b", ".hidden", "x" * 65, "müller"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match=r"is not a valid name\. Give a host's name or address"):
        make_keys(tmp_path, ["nas", host])
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_where_they_are(tmp_path: Path) -> None:
    first = CliRunner().invoke(cli, ["cluster", "keys", str(tmp_path / "keys"), "nas"])
    again = CliRunner().invoke(cli, ["cluster", "keys", str(tmp_path / "keys"), "nas"])
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.output == f"nas: {tmp_path}/keys/nas\n"
    assert "kept as it was" in again.output


def test_a_folder_of_keys_admits_nothing_but_tls(tmp_path: Path) -> None:
    make_keys(tmp_path, ["nas"])
    assert security(str(tmp_path / "nas")).require_encryption
    (tmp_path / "nas" / KEY_FILE).unlink()
    with pytest.raises(ClusterError, match=r"key\.pem: cannot be read"):
        security(str(tmp_path / "nas"))


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("tls://10.0.0.1:8786", False),
        ("tls://127.0.0.1:8786", False),
        ("tcp://127.0.0.1:8786", True),
        ("tcp://[::1]:8786", True),
        ("ws://127.0.0.1:8786", True),
        ("wss://10.0.0.1:8786", True),
    ],
)
def test_no_tls_is_refused_unless_it_is_accepted(address: str, exposed: bool) -> None:
    """On a loopback too, which every user of the machine reaches; and over WebSockets, whose workers listen without."""
    assert is_exposed(address, insecure=True) is exposed
    assert Place(address, insecure=True).is_exposed() is exposed
    if exposed:
        for refused in (lambda: is_exposed(address), Place(address).is_exposed):
            with pytest.raises(ClusterError, match=r"no TLS: .* give --tls DIR, or accept the risk with --insecure"):
                refused()
    else:
        assert not Place(address).is_exposed()


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("127.0.0.1", "me@10.0.0.9")])
def test_hosts_without_keys_are_refused_unless_it_is_accepted(tmp_path: Path, hosts: tuple[str, ...]) -> None:
    make_keys(tmp_path, ["nas"])
    with pytest.raises(ClusterError, match=r"--hosts: no TLS: .*--insecure"):
        Place(hosts=hosts).is_exposed()
    assert Place(hosts=hosts, insecure=True).is_exposed()
    assert not Place(hosts=hosts, keys=str(tmp_path / "nas")).is_exposed()


def test_who_takes_keys_from_dasks_settings_listens_with_tls_too(tmp_path: Path) -> None:
    """Even if these settings leave it open: the parent of a worker listens as they say, not as the scheduler does."""
    make_keys(tmp_path, ["nas"])
    keys = tmp_path / "nas"
    files = {"ca-file": CA_FILE} | {f"{role}.cert": CERTIFICATE_FILE for role in ("client", "worker")}
    files |= {f"{role}.key": KEY_FILE for role in ("client", "worker")}
    with dask.config.set({f"distributed.comm.tls.{name}": str(keys / file) for name, file in files.items()}):
        assert security(None, "tls://10.0.0.1:8786").require_encryption
        assert not security(None, "tcp://10.0.0.1:8786").require_encryption


def test_an_authority_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path, ["nas"])
    (tmp_path / CA_KEY_FILE).rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="its authority cannot be used"):
        make_keys(tmp_path, ["attic"])


def test_addresses_and_files(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text('{"address": "tls://nas:1"}')
    assert scheduler_address(str(file)) == "tls://nas:1"
    assert scheduler_address("nas:8786") == "tcp://nas:8786"
    assert scheduler_address("tls://nas:8786") == "tls://nas:8786"
