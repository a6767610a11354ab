//! For the tests of `upstream`: a stand-in for Postgres that speaks just enough of the protocol,
//! and certificates made on the spot. It shares no wire code with what it tests.

use std::num::NonZeroU32;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::connect::{Link, Security};
use super::stream::{Receiver, Sender};

/// ecdsa-with-SHA256, id-ecPublicKey and prime256v1 (RFC 5758, RFC 5480).
const ECDSA_SHA256: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const PRIME256V1: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// Last arcs of id-ce: subjectAltName and basicConstraints.
const ALT_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;

/// One DER element with its parts put together.
pub(super) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap();
    let mut element = vec![tag];
    match length {
        0..=0x7f => element.push(u8::try_from(length).unwrap()),
        0x80..=0xff => element.extend([0x81, u8::try_from(length).unwrap()]),
        _ => {
            element.push(0x82);
            element.extend(length.to_be_bytes());
        }
    }
    element.extend(content);
    element
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    der(0x03, &[&[0], bytes])
}

fn common_name(name: &str) -> Vec<u8> {
    let pair = der(
        0x30,
        &[
            &der(0x06, &[b"\x55\x04\x03"]),
            &der(0x0c, &[name.as_bytes()]),
        ],
    );
    der(0x30, &[&der(0x31, &[&pair])])
}

fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    der(
        0x30,
        &[
            &der(0x06, &[&[0x55, 0x1d, arc]]),
            flag,
            &der(0x04, &[value]),
        ],
    )
}

fn authority_extension() -> Vec<u8> {
    extension(BASIC_CONSTRAINTS, true, &der(0x30, &[b"\x01\x01\xff"]))
}

fn name_extension(name: &str, address: Option<[u8; 4]>) -> Vec<u8> {
    let address = address.map_or_else(Vec::new, |address| der(0x87, &[&address]));
    let names = der(0x30, &[&der(0x82, &[name.as_bytes()]), &address]);
    extension(ALT_NAME, false, &names)
}

/// An X.509 v3 certificate (RFC 5280 section 4.1), valid from 2020 to 2049.
fn certificate(
    signer: &EcdsaKeyPair,
    issuer: &str,
    subject: &str,
    public: &[u8],
    extensions: &[u8],
) -> Vec<u8> {
    let algorithm = der(0x30, &[&der(0x06, &[ECDSA_SHA256])]);
    let validity = der(
        0x30,
        &[
            &der(0x17, &[b"200101000000Z"]),
            &der(0x17, &[b"491231235959Z"]),
        ],
    );
    let key_algorithm = der(
        0x30,
        &[&der(0x06, &[EC_PUBLIC_KEY]), &der(0x06, &[PRIME256V1])],
    );
    let signed = der(
        0x30,
        &[
            &der(0xa0, &[b"\x02\x01\x02"]),
            b"\x02\x01\x01",
            &algorithm,
            &common_name(issuer),
            &validity,
            &common_name(subject),
            &der(0x30, &[&key_algorithm, &bits(public)]),
            &der(0xa3, &[&der(0x30, &[extensions])]),
        ],
    );
    let signature = signer.sign(&SystemRandom::new(), &signed).unwrap();
    der(0x30, &[&signed, &algorithm, &bits(signature.as_ref())])
}

/// A fresh P-256 key: the pair, and the same as PKCS #8.
fn key() -> (EcdsaKeyPair, Vec<u8>) {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
    (pair, document.as_ref().to_vec())
}

/// A certificate authority.
pub(super) struct Authority {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
}

/// A server certificate with its key (PKCS #8).
pub(super) struct Identity {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let (key, _) = key();
        let public = key.public_key().as_ref();
        let certificate = certificate(&key, "test CA", "test CA", public, &authority_extension());
        Self { key, certificate }
    }

    /// A certificate for a DNS name, and for an address too where one is given.
    pub(super) fn issue(&self, name: &str, address: Option<[u8; 4]>) -> Identity {
        let (pair, key) = key();
        let public = pair.public_key().as_ref();
        let extensions = name_extension(name, address);
        Identity {
            certificate: certificate(&self.key, "test CA", name, public, &extensions),
            key,
        }
    }

    pub(super) fn pem(&self) -> String {
        pem(&self.certificate)
    }
}

/// What `openssl req -x509` makes: a server certificate that is its own authority.
pub(super) fn self_signed(name: &str, address: [u8; 4]) -> Identity {
    let (pair, key) = key();
    let public = pair.public_key().as_ref();
    let extensions = [authority_extension(), name_extension(name, Some(address))].concat();
    Identity {
        certificate: certificate(&pair, name, name, public, &extensions),
        key,
    }
}

pub(super) fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// An open connection in memory, and the database's end of it.
pub(super) fn link(security: Security) -> (Link, Peer<DuplexStream>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(near);
    let link = Link {
        sender: Sender::new(Box::new(write)).unwrap(),
        receiver: Receiver::new(Box::new(read), 1024),
        security,
    };
    (link, Peer { stream: far })
}

/// The database's end of a connection.
pub(super) struct Peer<S> {
    pub(super) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads the StartupMessage and returns its parameters.
    pub(super) async fn startup(&mut self) -> Vec<(String, String)> {
        let length = usize::try_from(self.stream.read_u32().await.unwrap()).unwrap();
        assert_eq!(self.stream.read_u32().await.unwrap(), 3 << 16);
        let mut body = vec![0; length - 8];
        self.stream.read_exact(&mut body).await.unwrap();
        let text = String::from_utf8(body).unwrap();
        let words: Vec<&str> = text.strip_suffix("\0\0").unwrap().split('\0').collect();
        words
            .chunks_exact(2)
            .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
            .collect()
    }

    /// Reads one message: tag and body.
    pub(super) async fn message(&mut self) -> (u8, Vec<u8>) {
        let tag = self.stream.read_u8().await.unwrap();
        let length = usize::try_from(self.stream.read_u32().await.unwrap()).unwrap();
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).await.unwrap();
        (tag, body)
    }

    /// Sends one message. The other side may be gone already: that is its own test's matter.
    pub(super) async fn send(&mut self, tag: u8, parts: &[&[u8]]) {
        let body = parts.concat();
        let length = u32::try_from(body.len() + 4).unwrap();
        let message = [[tag].as_slice(), &length.to_be_bytes(), &body].concat();
        let _gone = self.stream.write_all(&message).await;
        let _gone = self.stream.flush().await;
    }

    /// Sends an authentication request of that code.
    pub(super) async fn authentication(&mut self, code: u32, data: &[u8]) {
        self.send(b'R', &[&code.to_be_bytes(), data]).await;
    }

    /// Sends an ErrorResponse.
    pub(super) async fn error(&mut self, code: &str, message: &str) {
        let text = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
        self.send(b'E', &[text.as_bytes()]).await;
    }

    /// Sends AuthenticationOk and what follows it, up to ReadyForQuery.
    pub(super) async fn accept(&mut self) {
        self.authentication(0, b"").await;
        self.send(b'S', &[b"client_encoding\0UTF8\0"]).await;
        self.send(b'S', &[b"server_version\x0017.2\0"]).await;
        self.send(b'S', &[b"standard_conforming_strings\0on\0"])
            .await;
        self.send(b'K', &[&77_u32.to_be_bytes(), b"\x01\x02\x03\x04"])
            .await;
        self.send(b'Z', &[b"I"]).await;
    }

    /// The server's side of SCRAM (RFC 5802, RFC 7677). Returns the mechanism the client chose,
    /// or `None` after telling the client that its proof is wrong.
    pub(super) async fn scram(
        &mut self,
        mechanisms: &[&str],
        password: &str,
        end_point: &[u8],
    ) -> Option<String> {
        let offer = format!("{}\0\0", mechanisms.join("\0"));
        self.authentication(10, offer.as_bytes()).await;
        let (_, initial) = self.message().await;
        let initial = String::from_utf8(initial).unwrap();
        let (mechanism, rest) = initial.split_once('\0').unwrap();
        let first = rest.get(4..).unwrap();
        let (gs2, bare) = first.split_at(first.find(",,").unwrap() + 2);
        let nonce = format!("{}server", bare.strip_prefix("n=,r=").unwrap());
        let server_first = format!("r={nonce},s={},i=4096", STANDARD.encode("salt"));
        self.authentication(11, server_first.as_bytes()).await;

        let (_, last) = self.message().await;
        let last = String::from_utf8(last).unwrap();
        let (without_proof, proof) = last.rsplit_once(",p=").unwrap();
        let binding = if gs2.starts_with('p') { end_point } else { b"" };
        let binding = STANDARD.encode([gs2.as_bytes(), binding].concat());
        let exchange = format!("{bare},{server_first},{without_proof}");
        let (proof_wanted, verifier) = scram_answers(password, &exchange);
        if without_proof != format!("c={binding},r={nonce}") || proof != proof_wanted {
            self.error("28P01", "password authentication failed").await;
            return None;
        }
        self.authentication(12, format!("v={verifier}").as_bytes())
            .await;
        Some(mechanism.to_owned())
    }
}

/// The client's proof and the server's signature over an exchange, in base64.
fn scram_answers(password: &str, exchange: &str) -> (String, String) {
    let mut salted = [0_u8; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(4096).unwrap(),
        b"salt",
        password.as_bytes(),
        &mut salted,
    );
    let mac = |key: &[u8], data: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, data.as_bytes()).as_ref().to_vec()
    };
    let client_key = mac(&salted, "Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = mac(stored_key.as_ref(), exchange);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(&signature)
        .map(|(key, signature)| key ^ signature)
        .collect();
    let verifier = mac(&mac(&salted, "Server Key"), exchange);
    (STANDARD.encode(proof), STANDARD.encode(verifier))
}
