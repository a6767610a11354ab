//! What the tests of this module share: a key file that goes away by itself, and a small web
//! server that counts. It never leaves the loopback.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::token::{Config, Issuer};

/// A file in the system's directory for such things, removed when dropped.
pub(super) struct TestFile(PathBuf);

impl TestFile {
    pub(super) fn new(text: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "pgward-jwks-{}-{}.json",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let file = Self(std::env::temp_dir().join(name));
        file.write(text, Duration::ZERO);
        file
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces the contents, as if that had happened so much later.
    pub(super) fn write(&self, text: &str, later: Duration) {
        std::fs::write(&self.0, text).unwrap();
        let file = File::options().write(true).open(&self.0).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + later)
            .unwrap();
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An issuer whose keys are in that file.
pub(super) fn file_issuer(name: &str, path: &Path) -> Issuer {
    let mut config: Config = toml::from_str(
        "issuer = ''\naudience = ['db']\nalgorithms = ['EdDSA', 'ES256']\njwks_file = ''",
    )
    .unwrap();
    config.issuer = name.to_owned();
    config.jwks_file = Some(path.to_owned());
    Issuer::new(config).unwrap()
}

/// An issuer whose keys are at that address.
pub(super) fn uri_issuer(name: &str, uri: &str) -> Issuer {
    let mut config: Config = toml::from_str(
        "issuer = ''\naudience = ['db']\nalgorithms = ['EdDSA', 'ES256']\njwks_uri = ''",
    )
    .unwrap();
    config.issuer = name.to_owned();
    config.jwks_uri = Some(uri.to_owned());
    Issuer::new(config).unwrap()
}

/// What the binary does at its start: without it no HTTP client can be built.
pub(super) fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A web server that gives every request the same answer and counts the requests.
#[derive(Clone)]
pub(super) struct TestServer {
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
    port: u16,
}

#[derive(Clone)]
struct Answer {
    text: String,
    after: Duration,
}

impl TestServer {
    pub(super) async fn start(body: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            answer: Arc::new(Mutex::new(Answer {
                text: String::new(),
                after: Duration::ZERO,
            })),
            requests: Arc::new(AtomicUsize::new(0)),
            port: listener.local_addr().unwrap().port(),
        };
        server.answer_with("200 OK", "", body);
        let worker = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(worker.clone().serve(stream));
            }
        });
        server
    }

    pub(super) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/keys", self.port)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The answer from now on; `headers` end in CRLF each.
    pub(super) fn answer_with(&self, status: &str, headers: &str, body: &str) {
        self.answer.lock().unwrap().text = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    /// Every answer from now on takes that long.
    pub(super) fn answer_after(&self, after: Duration) {
        self.answer.lock().unwrap().after = after;
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                Ok(_) | Err(_) => return,
            }
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        tokio::time::sleep(answer.after).await;
        let _ = stream.write_all(answer.text.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}
