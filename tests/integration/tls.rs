//! TLS on both sides: towards agents by SSLRequest and directly, demanded, renewed while sessions
//! run; towards the database with each `sslmode`. Certificates are made on the spot.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pgward::config::Config;
use pgward::server::Server;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::raw::{Raw, startup};
use crate::world::{World, database, scratch_directory, world};

/// A certificate authority.
struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate with its key, PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = named("the authority of these tests");
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn vouch_for(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = named("a server of these tests");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// What a client that trusts this authority wants, with these ALPN protocols.
    fn client(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// OpenSSL takes a certificate that is named like its authority for the authority.
fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

fn install(identity: &Identity, directory: &Path) {
    fs::write(directory.join("server.key"), &identity.key).unwrap();
    fs::write(directory.join("server.pem"), &identity.certificate).unwrap();
}

/// A pgward that is reached in TLS.
pub(crate) struct Encrypted {
    pub(crate) server: Server,
    pub(crate) port: u16,
    /// The authority's certificate, a file.
    pub(crate) authority: PathBuf,
    trusted: Authority,
    certificates: PathBuf,
}

impl Encrypted {
    /// One that demands TLS; `more` is added to its configuration.
    pub(crate) fn with(name: &str, more: &str) -> Self {
        let trusted = Authority::new();
        let certificates = scratch_directory(&format!("{name}-certificates"));
        let identity = trusted.vouch_for(&["localhost", "127.0.0.1"]);
        install(&identity, &certificates);
        let authority = certificates.join("authority.pem");
        fs::write(&authority, &trusted.pem).unwrap();
        let shown = certificates.display();
        let (server, _) = world().another(name, |config| {
            format!(
                "{config}\n[tls]\ncertificate = \"{shown}/server.pem\"\n\
                 key = \"{shown}/server.key\"\nrequired = true\n{more}"
            )
        });
        Self {
            port: server.local_addr().port(),
            server,
            authority,
            trusted,
            certificates,
        }
    }

    fn new(name: &str) -> Self {
        Self::with(name, "")
    }

    fn end(self) {
        world().runtime.block_on(self.server.shutdown());
    }
}

/// One for all clients.
pub(crate) fn shared() -> &'static Encrypted {
    static SHARED: OnceLock<Encrypted> = OnceLock::new();
    SHARED.get_or_init(|| Encrypted::new("clients-tls"))
}

fn log_in(world: &World, raw: Raw) -> Raw {
    let (agent, token) = ("support-bot", world.token("support-bot"));
    raw.log_in(agent, world.database.name(), token)
        .unwrap_or_else(|reply| panic!("{:?}", reply.error()))
}

fn works(raw: &mut Raw) {
    let reply = raw.query("SELECT name FROM products WHERE id = 1");
    assert_eq!(reply.rows().len(), 1, "{:?}", reply.error());
    assert_eq!(raw.query("SELECT ssn FROM customers").code(), "42501");
}

#[test]
fn a_session_in_tls_by_request_and_directly() {
    let world = world();
    let tls = Encrypted::new("tls");
    let (port, authority) = (tls.port, &tls.trusted);
    let mut raw = Raw::open(port);
    assert_eq!(raw.ask_for_tls(), b'S');
    raw.shake_hands(authority.client(&[])).unwrap();
    works(&mut log_in(world, raw));
    let mut raw = Raw::open(port);
    raw.shake_hands(authority.client(&[b"postgresql"])).unwrap();
    works(&mut log_in(world, raw));
    tls.end();
}

#[test]
fn direct_tls_needs_the_protocol_named() {
    let tls = Encrypted::new("alpn");
    let (port, authority) = (tls.port, &tls.trusted);
    for protocols in [&[][..], &[b"http/1.1".as_slice()]] {
        let mut raw = Raw::open(port);
        if raw.shake_hands(authority.client(protocols)).is_ok() {
            raw.send(&startup(&[("user", "support-bot")]));
            assert_eq!(raw.message(), None, "{protocols:?}");
        }
    }
    tls.end();
}

#[test]
fn where_tls_is_demanded_nothing_goes_on_without() {
    let world = world();
    let tls = Encrypted::new("demanded");
    let mut raw = Raw::open(tls.port);
    raw.send(&startup(&[
        ("user", "support-bot"),
        ("database", world.database.name()),
    ]));
    let reply = raw.reply();
    assert!(
        reply.closed && reply.code() == "28000",
        "{:?}",
        reply.error()
    );
    let error = reply.error().unwrap();
    assert!(error.get(b'H').unwrap().contains("sslmode"), "{error:?}");
    tls.end();
}

/// What was put on the wire before TLS must not be taken for what was said in it.
#[test]
fn bytes_from_before_tls_are_not_used() {
    let world = world();
    let tls = Encrypted::new("before");
    let injected = startup(&[("user", "support-bot"), ("database", world.database.name())]);
    let mut raw = Raw::open(tls.port);
    raw.send(&[&[0, 0, 0, 8, 4, 210, 22, 47][..], &injected].concat());
    let reply = raw.reply();
    assert!(reply.closed, "{reply:?}");
    assert_eq!(reply.code(), "08P01");
    tls.end();
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let world = world();
    let tls = Encrypted::new("renewed");
    let (port, authority, certificates) = (tls.port, &tls.trusted, &tls.certificates);
    let connect = || {
        let mut raw = Raw::open(port);
        assert_eq!(raw.ask_for_tls(), b'S');
        let shown = raw.shake_hands(authority.client(&[])).unwrap();
        (raw, shown)
    };
    let (raw, first) = connect();
    let mut old = log_in(world, raw);
    // One that cannot be used leaves the one before in force.
    fs::write(certificates.join("server.pem"), "not a certificate").unwrap();
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(connect().1, first);
    install(&authority.vouch_for(&["localhost"]), certificates);
    let renewed = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        connect().1 != first
    });
    assert!(renewed);
    works(&mut old);
    works(&mut log_in(world, connect().0));
    tls.end();
}

/// Gives the database a certificate, as its superuser may.
async fn encrypt_database(url: &str, identity: &Identity) {
    let client = pgward::cli::demo::database::connect(url).await.unwrap();
    for (file, text) in [
        ("server.crt", &identity.certificate),
        ("server.key", &identity.key),
    ] {
        let lines = text.trim_end().replace('\n', "\\n");
        let copy = format!(
            "COPY (SELECT unnest(string_to_array(E'{lines}', E'\\n'))) \
             TO PROGRAM 'umask 077; cat > {file}'"
        );
        client.batch_execute(&copy).await.unwrap();
    }
    for setting in [
        "ssl_cert_file = 'server.crt'",
        "ssl_key_file = 'server.key'",
        "ssl = on",
    ] {
        let text = format!("ALTER SYSTEM SET {setting}");
        client.batch_execute(&text).await.unwrap();
    }
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    for _ in 0..100 {
        let row = client.query_one("SHOW ssl", &[]).await.unwrap();
        if row.get::<_, String>(0) == "on" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the database does not take its certificate");
}

#[test]
fn the_database_is_reached_in_tls() {
    let world = world();
    let database = world.runtime.block_on(database());
    let authority = Authority::new();
    let url: tokio_postgres::Config = database.superuser_url().parse().unwrap();
    let tokio_postgres::config::Host::Tcp(host) = &url.get_hosts()[0] else {
        panic!("the database listens on TCP");
    };
    let identity = authority.vouch_for(&[host]);
    world
        .runtime
        .block_on(encrypt_database(database.superuser_url(), &identity));
    let directory = scratch_directory("upstream-tls");
    fs::write(directory.join("authority.pem"), &authority.pem).unwrap();
    fs::write(directory.join("stranger.pem"), Authority::new().pem).unwrap();
    // sslmode, the authority trusted, another name for the host, whether it connects
    let cases = [
        ("require", None, false, true),
        ("verify-ca", Some("authority.pem"), true, true),
        ("verify-ca", Some("stranger.pem"), false, false),
        ("verify-full", Some("authority.pem"), false, true),
        ("verify-full", Some("authority.pem"), true, false),
        ("verify-full", Some("stranger.pem"), false, false),
        ("disable", None, false, true),
    ];
    for (mode, root, renamed, connects) in cases {
        let mut url = database.app_url().replace("=disable", &format!("={mode}"));
        if let Some(root) = root {
            url = format!("{url}&sslrootcert={}/{root}", directory.display());
        }
        if renamed {
            // The same place by a name that the certificate does not hold.
            let other = if host == "localhost" {
                "127.0.0.1"
            } else {
                "localhost"
            };
            url = url.replace(&format!("@{host}:"), &format!("@{other}:"));
        }
        let home = directory.join(format!("{mode}-{root:?}-{renamed}"));
        fs::create_dir_all(&home).unwrap();
        pgward::cli::demo::write_configuration(&home, &world.key, &url, 0).unwrap();
        let config = Config::load(&home.join("pgward.toml")).unwrap();
        let case = format!("{mode} {root:?} renamed: {renamed}");
        let server = match world.runtime.block_on(Server::start(config)) {
            Ok(server) => server,
            Err(error) => {
                assert!(!connects, "{case}: {error}");
                continue;
            }
        };
        assert!(connects, "{case}");
        let token = world.token("ops-bot");
        let port = server.local_addr().port();
        let mut raw = Raw::login(port, "ops-bot", database.name(), token)
            .unwrap_or_else(|reply| panic!("{case}: {:?}", reply.error()));
        assert_eq!(raw.query("SELECT id FROM products").code(), "", "{case}");
        let ours = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE usename = 'pgward_app' AND application_name LIKE '%ops-bot%'";
        let seen = world.runtime.block_on(async {
            let client = pgward::cli::demo::database::connect(database.superuser_url())
                .await
                .unwrap();
            client.query(ours, &[]).await.unwrap()
        });
        let seen: Vec<bool> = seen.iter().map(|row| row.get(0)).collect();
        assert_eq!(seen, [mode != "disable"], "{case}");
        drop(raw);
        world.runtime.block_on(server.shutdown());
    }
}
