//! TLS towards a gateway, and whose certificates are believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, version};

use super::connection::Trouble;
use super::url::Url;
use crate::server::MaybeTls;

/// Connects over TLS where a URL asks for it. Clones share what is believed.
#[derive(Clone)]
pub struct Security(Option<TlsConnector>);

impl Security {
    /// Reads whom to believe: the certificates in `ca`, else those that this machine believes.
    ///
    /// The machine's and none that came with this program: an organisation that signs its own
    /// certificates has told its machines so, and a program that was built long ago knows no new
    /// authority.
    ///
    /// # Errors
    ///
    /// Says in one sentence what is wrong with them.
    pub fn new(url: &Url, ca: Option<&PathBuf>) -> Result<Self, String> {
        if !url.tls {
            return match ca {
                Some(_) => Err("--ca is for wss:// alone; this URL begins with ws://".into()),
                None => Ok(Self(None)),
            };
        }
        let roots = ca.map_or_else(believed_here, |path| believed(path))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Some(TlsConnector::from(Arc::new(config)))))
    }

    /// Takes a connection through the handshake, if there is to be one. Has no deadline.
    ///
    /// # Errors
    ///
    /// Says in one sentence why the two do not come together.
    pub async fn secure<S>(&self, url: &Url, stream: S) -> Result<MaybeTls<S>, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(connector) = &self.0 else { return Ok(MaybeTls::Plain(stream)) };
        let name = ServerName::try_from(url.address.host.clone())
            .map_err(|error| Trouble::Lasting(format!("{}: {error}", url.address.host)))?;
        let stream = connector.connect(name, stream).await.map_err(|error| {
            Trouble::Passing(format!(
                "no TLS with {} ({error}); --ca FILE names whose certificates to believe",
                url.address
            ))
        })?;
        Ok(MaybeTls::Tls(Box::new(stream.into())))
    }
}

fn believed(path: &Path) -> Result<RootCertStore, String> {
    let bad = |why: String| format!("{} (--ca): {why}", path.display());
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| bad(format!("it is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("it holds no certificate in PEM".into())) } else { Ok(roots) }
}

fn believed_here() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some that a system believes are too old for any server's certificate to rest on.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this machine believes no certificate authority{why}; name one with --ca FILE"
        ));
    }
    Ok(roots)
}
