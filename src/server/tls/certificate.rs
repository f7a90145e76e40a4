//! The certificate and its key: two PEM files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, version};

use crate::auth::keys_file::mode_for_others;
use crate::config::Server;

/// More is no certificate.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// What is spoken behind the handshake. A client that asks for HTTP/2 alone is refused in it.
const ALPN: &[u8] = b"http/1.1";

/// Remaining life of a certificate at which its operator is warned.
const EXPIRES_SOON_MS: u64 = 14 * 86_400_000;

/// A certificate with its key, ready for handshakes. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificate {
    server: Arc<ServerConfig>,
    expires_unix_ms: u64,
}

/// Why a certificate cannot be used: one sentence for the operator, without any of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCertificate(String);

/// A file, and the configuration key that names it.
#[derive(Clone, Copy)]
struct Named<'a> {
    path: &'a Path,
    key: &'static str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.key)
    }
}

impl Named<'_> {
    fn bad(self, why: impl fmt::Display) -> BadCertificate {
        BadCertificate(format!("{self}: {why}"))
    }
}

impl Certificate {
    /// Reads the files that a configuration names; `None` if it names none.
    ///
    /// # Errors
    ///
    /// Fails if a file is missing or is not what it should be, if others can read the key, or if
    /// the two do not belong together. Tell the operator.
    pub fn read(server: &Server) -> Result<Option<Self>, BadCertificate> {
        let (Some(chain), Some(key)) = (&server.tls_certificate, &server.tls_key) else {
            return Ok(None);
        };
        let chain = Named { path: chain, key: "server.tls_certificate" };
        let key = Named { path: key, key: "server.tls_key" };
        let certificates = certificates(chain)?;
        let expires_unix_ms = expiry(&certificates).map_err(|why| chain.bad(why))?;
        let private = private_key(key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| chain.bad(error))?
            .with_no_client_auth()
            .with_single_cert(certificates, private);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                BadCertificate(format!("{key} is not the key of the certificate in {chain}"))
            }
            error => BadCertificate(format!("{chain} and {key} cannot be used: {error}")),
        })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Some(Self { server: Arc::new(config), expires_unix_ms }))
    }

    /// When it ends to be good, in milliseconds since 1970. Those behind it are not looked at.
    #[must_use]
    pub const fn expires_unix_ms(&self) -> u64 {
        self.expires_unix_ms
    }

    /// Whether its operator should see to a new one now.
    #[must_use]
    pub const fn expires_soon(&self, now_unix_ms: u64) -> bool {
        self.expires_unix_ms < now_unix_ms.saturating_add(EXPIRES_SOON_MS)
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }
}

/// The file's bytes, after a look at who else may read them.
fn contents(file: Named<'_>, is_secret: bool) -> Result<Vec<u8>, BadCertificate> {
    let opened = File::open(file.path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => file.bad("there is no such file"),
        _ => file.bad(error),
    })?;
    if is_secret {
        let metadata = opened.metadata().map_err(|error| file.bad(error))?;
        if let Some(mode) = mode_for_others(&metadata) {
            let path = file.path.display();
            let why = format!("others can read it (mode {mode:04o}); run `chmod 600 {path}`");
            return Err(file.bad(why));
        }
    }
    let mut bytes = Vec::new();
    let mut limited = opened.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| file.bad(error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(file.bad("it is larger than 1 MiB, so it is no PEM file of this kind"));
    }
    Ok(bytes)
}

fn certificates(file: Named<'_>) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let bytes = contents(file, false)?;
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| file.bad(format!("it is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(file.bad("it holds no certificate in PEM, which begins with -----BEGIN"));
    }
    Ok(chain)
}

fn private_key(file: Named<'_>) -> Result<PrivateKeyDer<'static>, BadCertificate> {
    let bytes = contents(file, true)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            file.bad("it holds no private key in PEM; one that is encrypted cannot be used")
        }
        error => file.bad(format!("it is not PEM: {error}")),
    })
}

/// When the server's own certificate ends to be good, in milliseconds since 1970.
fn expiry(chain: &[CertificateDer<'_>]) -> Result<u64, String> {
    let own = chain.first().ok_or("there is none")?;
    let (_, parsed) = x509_parser::parse_x509_certificate(own)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Ok(seconds.saturating_mul(1_000))
}
