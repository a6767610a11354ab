//! TLS towards agents: a certificate and its key become the configuration that handshakes use. No
//! session is resumed, as Postgres resumes none: the identity behind a connection is proved anew.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use crate::config::Tls;
use crate::session::ALPN;

use super::error::Error;

/// Reads certificate and key.
///
/// # Errors
/// [`Error::Tls`] with the file and what is wrong with it; never any part of the key.
pub(super) fn load(files: &Tls) -> Result<Arc<ServerConfig>, Error> {
    let chain = certificates(&files.certificate)?;
    let key = private_key(&files.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unusable = |error: rustls::Error| fault(&files.certificate, &error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| fault(path, "is not valid PEM"))?;
    if chain.is_empty() {
        return Err(fault(path, "holds no certificate (BEGIN CERTIFICATE)"));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = zeroize::Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| fault(path, "holds no private key (BEGIN PRIVATE KEY)"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|reason| fault(path, &format!("cannot be read: {reason}")))
}

fn fault(path: &Path, fault: &str) -> Error {
    Error::Tls {
        path: path.to_owned(),
        fault: fault.to_owned(),
    }
}
