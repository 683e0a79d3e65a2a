"""A private certificate authority and a certificate for each host, for a cluster that speaks TLS."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.place import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from dedup.errors import UsageError, writing

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA_KEY_FILE = "ca-key.pem"
"""Name of the authority's secret key, beside the hosts' folders and never inside: whoever has it can admit a host."""
VALID = datetime.timedelta(days=3650)
_SKEW = datetime.timedelta(days=1)
"""Allowance for a host whose clock is behind."""


def make_keys(folder: Path, hosts: Sequence[str]) -> list[Path]:
    """Makes `folder/HOST/` with ca.pem, cert.pem and key.pem for each host that has none yet, and the authority in
    `folder` if there is none; returns the new folders. Only their owner can read secret keys. Raises UsageError for
    an invalid host name, WriteError if nothing can be written."""
    for host in hosts:
        if not re.fullmatch(r"[0-9A-Za-z:_][0-9A-Za-z.:_-]{0,63}", host):
            raise UsageError("HOST", f"{host!r} is not a valid name", remedy="Give a host's name or address")
    with writing(str(folder), "name another folder"):
        folder.mkdir(parents=True, exist_ok=True)
    authority, authority_key = _authority(folder)
    made = []
    for host in hosts:
        place = folder / host
        if (place / CERTIFICATE_FILE).exists():
            continue
        with writing(str(place), "name another folder"):
            place.mkdir(mode=0o700, exist_ok=True)
        certificate, key = _host_certificate(host, authority, authority_key)
        _write(place / CA_FILE, _pem(authority))
        _write_secret(place / KEY_FILE, key)
        _write(place / CERTIFICATE_FILE, _pem(certificate))  # last: it shows that the others are there
        made.append(place)
    return made


def make_pair(host: str) -> tuple[str, str, str]:
    """A certificate for one host, in memory: those of its authority and its own, and its secret key, as PEM. The
    authority's key is lost, so that there will never be another certificate."""
    authority, authority_key = _new_authority()
    certificate, key = _host_certificate(host, authority, authority_key)
    return _pem(authority).decode(), _pem(certificate).decode(), _secret_pem(key).decode()


def _authority(folder: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """The authority in `folder`, made if there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if (folder / CA_FILE).exists():
        try:
            key = load_pem_private_key((folder / CA_KEY_FILE).read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((folder / CA_FILE).read_bytes())
        except (OSError, ValueError, TypeError) as error:
            remedy = f"Restore {CA_FILE} and {CA_KEY_FILE}, or name another folder"
            raise UsageError(str(folder), f"its authority cannot be used: {error}", remedy=remedy) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            remedy = "Restore the key that this command made, or name another folder"
            raise UsageError(str(folder / CA_KEY_FILE), "not an elliptic-curve key", remedy=remedy)
        return certificate, key
    certificate, key = _new_authority()
    _write_secret(folder / CA_KEY_FILE, key)
    _write(folder / CA_FILE, _pem(certificate))
    return certificate, key


def _new_authority() -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Reprise private authority")
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _signed(builder, key), key


def _host_certificate(
    host: str, authority: x509.Certificate, authority_key: EllipticCurvePrivateKey
) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = _builder(_name(host), authority.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(signer, critical=False)
    return _signed(builder.add_extension(both, critical=False), authority_key), key


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _SKEW).not_valid_after(now + VALID)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Writes the whole file or nothing."""
    new = path.with_name(f"{path.name}.new")
    with writing(str(path), "name another folder"):
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        new.replace(path)


def _write_secret(path: Path, key: EllipticCurvePrivateKey) -> None:
    _write(path, _secret_pem(key), 0o600)


def _secret_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
