"""Whom a TLS connection trusts: the same over all transports; the libraries differ by themselves."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache

import certifi

from llmkit.errors import ConfigError, ConnectionFailed

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, whose message names the host.
OTHER_HOST = (62, 64)


def tls_context() -> ssl.SSLContext:
    """Return the context for connections to providers and proxies.

    SSL_CERT_FILE and SSL_CERT_DIR, where one is set, name all that is trusted. Otherwise it is the system's store, where a
    company's own CA stands, and certifi's, since a slim container has no store.

    Raises:
        ConfigError: such a variable names nothing that is there, or no certificates.
    """
    return _context(*(os.environ.get(name) for name in VARIABLES))


@lru_cache(maxsize=1)  # it takes 40 ms, and serves all event loops and threads
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    if not file and not folder:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"the CA certificates cannot be read ({type(error).__name__})",
            hint="Set SSL_CERT_FILE to a PEM file or SSL_CERT_DIR to a folder of PEM files, or unset them.",
        ) from None


def untrusted(error: BaseException) -> ConnectionFailed | None:
    """Return the error to raise if a connection failed because its certificate is not trusted."""
    cause: BaseException | None = error
    # The type itself, since aiohttp's subclass of it does not say why.
    while type(cause) is not ssl.SSLCertVerificationError:
        if cause is None:
            return None
        cause = cause.__cause__ or cause.__context__
    why = "it is for another host" if cause.verify_code in OTHER_HOST else cause.verify_message
    return ConnectionFailed(
        f"the provider's TLS certificate is not trusted: {why}",
        hint="If you have your own CA, set SSL_CERT_FILE to its PEM file, or add it to the system's "
        "certificates. Check base_url, too.",
        can_retry=False,
    )
