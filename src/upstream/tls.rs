//! TLS to the database: which certificates are trusted, and the handshake. Trust comes from the
//! configuration alone; a connection that cannot be made as safe as it says is not made.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientConfig, Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Config, Roots, SslMode};
use super::error::Error;

/// The protocol name Postgres registers for TLS (since Postgres 17; older servers ignore it).
const ALPN: &[u8] = b"postgresql";
/// The variable that names another bundle of trusted certificates, as OpenSSL reads it.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";
/// Where distributions keep the bundle of certificate authorities that the machine trusts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS as the configuration wants it.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Prepares TLS; `None` where the configuration has none. Fails where certificates cannot be
    /// read or the host is no name that a certificate could carry.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, Error> {
        if config.sslmode == SslMode::Disable {
            return Ok(None);
        }
        let name = ServerName::try_from(config.host.clone()).map_err(|_| {
            Error::Config("host is neither a DNS name nor an address, as TLS needs".to_owned())
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Verifier {
            trust: Trust::new(config)?,
            provider: Arc::clone(&provider),
        };
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Config(format!("TLS cannot be used: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        client.alpn_protocols = vec![ALPN.to_vec()];
        // Postgres resumes no session, and a full handshake is what shows the certificate.
        client.resumption = Resumption::disabled();
        Ok(Some(Self {
            connector: TlsConnector::from(Arc::new(client)),
            name,
        }))
    }

    /// The handshake, after the server has agreed to it.
    pub(super) async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// What a server certificate must be.
enum Trust {
    /// Anything: the connection is secret, but the peer may be anyone.
    Anything,
    /// Vouched for.
    Listed {
        roots: RootCertStore,
        /// The same certificates whole: a server may show one of them itself.
        certificates: Vec<CertificateDer<'static>>,
        /// Whether it must carry the host's name too.
        name: bool,
    },
}

impl Trust {
    fn new(config: &Config) -> Result<Self, Error> {
        let pem = match &config.roots {
            Roots::Any => return Ok(Self::Anything),
            Roots::System => system_bundle()?,
            Roots::File(path) => read(path)?,
        };
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Config(format!("sslrootcert is not valid PEM: {error}")))?;
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(certificates.iter().cloned());
        if roots.is_empty() {
            return Err(Error::Config(
                "sslrootcert holds no certificate that can be used".to_owned(),
            ));
        }
        if ignored > 0 {
            tracing::warn!(ignored, "some certificates of sslrootcert cannot be used");
        }
        Ok(Self::Listed {
            roots,
            certificates,
            name: config.sslmode == SslMode::VerifyFull,
        })
    }
}

/// The bundle of the machine.
fn system_bundle() -> Result<Vec<u8>, Error> {
    if let Some(path) = std::env::var_os(BUNDLE_VARIABLE) {
        return read(Path::new(&path));
    }
    BUNDLES
        .iter()
        .find_map(|path| std::fs::read(path).ok())
        .ok_or_else(|| {
            Error::Config(format!(
                "the machine's trusted certificates were not found; set sslrootcert or \
                 {BUNDLE_VARIABLE}"
            ))
        })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// Holds a server certificate against [`Trust`]. Handshake signatures are always verified.
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Listed {
            roots,
            certificates,
            name,
        } = &self.trust
        else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        // A self-signed server certificate is its own authority, which webpki has no notion of:
        // one that the operator listed whole is trusted as it stands.
        let listed = certificates
            .iter()
            .any(|certificate| certificate.as_ref() == end_entity.as_ref());
        if !listed {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if *name {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::Connector;
    use super::super::fake::{Authority, Identity, Peer, pem, self_signed};
    use super::*;

    const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

    fn acceptor(identity: &Identity) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from(identity.certificate.clone())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server with that identity, for one login; the SCRAM mechanism that was used.
    async fn serve(listener: &TcpListener, identity: &Identity) -> Option<String> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0_u8; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"S").await.unwrap();
        let stream = acceptor(identity).accept(stream).await.ok()?;
        let mut peer = Peer { stream };
        peer.startup().await;
        let certificate = &identity.certificate;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let offer = ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
        let used = peer.scram(&offer, "secret", hash.as_ref()).await;
        peer.accept().await;
        used
    }

    /// Connects under `mode`, trusting the certificates in `roots`.
    async fn login(mode: &str, roots: Option<&str>, identity: &Identity) -> Result<String, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let file = std::env::temp_dir().join(format!("pgward-{}-{port}", std::process::id()));
        let mut url = format!("postgres://app:secret@127.0.0.1:{port}/shop?sslmode={mode}");
        if let Some(roots) = roots {
            std::fs::write(&file, roots).unwrap();
            url.push_str(&format!("&sslrootcert={}", file.display()));
        }
        let connector = Connector::new(&Config::from_url(&url).unwrap()).unwrap();
        let (client, server) = tokio::join!(connector.connect(&[]), serve(&listener, identity));
        if roots.is_some() {
            std::fs::remove_file(&file).unwrap();
        }
        client.map(|_upstream| server.unwrap())
    }

    #[tokio::test]
    async fn each_mode_trusts_what_it_says() {
        let authority = Authority::new();
        let roots = authority.pem();
        let strangers = Authority::new().pem();
        let here = authority.issue("db.internal", Some(LOOPBACK));
        let elsewhere = authority.issue("db.internal", None);
        let own = self_signed("db.internal", LOOPBACK);
        let own_pem = pem(&own.certificate);
        for (mode, roots, identity, trusted) in [
            ("require", None, &here, true),
            ("require", None, &own, true),
            ("require", Some(&strangers), &here, false),
            ("verify-ca", Some(&roots), &here, true),
            ("verify-ca", Some(&roots), &elsewhere, true),
            ("verify-ca", Some(&strangers), &here, false),
            ("verify-full", Some(&roots), &here, true),
            ("verify-full", Some(&roots), &elsewhere, false),
            ("verify-full", Some(&own_pem), &own, true),
            ("verify-full", Some(&roots), &own, false),
        ] {
            let outcome = login(mode, roots.map(String::as_str), identity).await;
            match outcome {
                Ok(mechanism) => {
                    assert!(trusted, "{mode}");
                    assert_eq!(mechanism, "SCRAM-SHA-256-PLUS");
                }
                Err(error) => {
                    assert!(!trusted, "{mode}: {error}");
                    assert!(matches!(error, Error::Tls { .. }), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = std::env::temp_dir().join(format!("pgward-empty-{}", std::process::id()));
        let url = format!(
            "postgres://app@db.internal/shop?sslmode=verify-full&sslrootcert={}",
            file.display()
        );
        let config = Config::from_url(&url).unwrap();
        assert!(matches!(Tls::new(&config), Err(Error::File { .. })));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(matches!(Tls::new(&config), Err(Error::Config(_))));
        std::fs::remove_file(&file).unwrap();
    }
}
