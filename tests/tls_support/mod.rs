//! Certificates made for a test, and clients that believe them.
#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests talk to the gateway over real sockets"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tickgate::config::Config;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

pub const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A certificate of localhost, signed by itself, and its key.
pub struct Pair {
    der: CertificateDer<'static>,
    pub certificate: String,
    pub key: String,
}

impl Pair {
    pub fn new() -> Self {
        Self::expiring(2999)
    }

    /// One that is good until this year begins.
    pub fn expiring(year: i32) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self { der, certificate: pem, key: key.serialize_pem() }
    }

    /// Writes both files, and returns their paths.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        fs::write(&certificate, &self.certificate).unwrap();
        write_private(&key, &self.key);
        (certificate, key)
    }

    /// Writes both files and has a configuration name them.
    pub fn install(&self, directory: &Path, config: &mut Config) {
        let (certificate, key) = self.write(directory);
        config.server.tls_certificate = Some(certificate);
        config.server.tls_key = Some(key);
    }

    /// A client's side that believes this certificate alone.
    pub fn connector(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        self.connector_for(versions, &[])
    }

    pub fn connector_for(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

pub fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Connects and shakes hands; a small receive buffer, so that little is under way.
pub async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 * 1024)?;
    let stream = socket.connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}
