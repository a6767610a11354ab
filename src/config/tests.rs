//! Tests of the configuration: what is written, what it becomes, and what is said of mistakes.

use super::*;

const LEAST: &str = "\
[upstream]
host = \"localhost\"
database = \"shop\"
user = \"pgward\"

[[issuer]]
issuer = \"https://issuer.example\"
audience = [\"pgward\"]
algorithms = [\"EdDSA\"]
jwks_file = \"jwks.json\"

[audit]
path = \"audit.jsonl\"
";

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Error> {
    let look_up = |name: &str| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let path = Path::new("/etc/pgward/pgward.toml");
    Config::parse(path, text.to_owned(), &look_up)
}

fn parse(text: &str) -> Result<Config, Error> {
    parse_with(text, &[])
}

#[test]
fn the_least_there_can_be() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:6543");
    assert_eq!(config.policies, [PathBuf::from("/etc/pgward/policies")]);
    assert_eq!(
        (config.tls, config.tls_required),
        (None, TlsRequired::Remote)
    );
    assert_eq!(config.upstream.database(), "shop");
    assert_eq!(config.issuers.len(), 1);
    assert_eq!(config.audit.path, Path::new("/etc/pgward/audit.jsonl"));
    assert_eq!(config.login, Login::Password);
    assert_eq!(config.catalog_refresh, Duration::from_secs(30));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, Log::default());
}

#[test]
fn every_table_is_read() {
    let text = format!(
        "listen = '0.0.0.0:0'\npolicies = ['a.toml', '/b']\n{LEAST}\n\
         [tls]\ncertificate = 'c.pem'\nkey = '/k.pem'\nrequired = true\n\
         [limits]\nsessions_max = 5\n[catalog]\nrefresh_seconds = 7\n\
         [log]\nlevel = 'debug'\nformat = 'json'\n[oauth]\nmethod = 'password'\n"
    );
    let config = parse(&text).unwrap();
    let policies = [PathBuf::from("/etc/pgward/a.toml"), PathBuf::from("/b")];
    assert_eq!(config.policies, policies);
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/pgward/c.pem"));
    assert_eq!(tls.key, Path::new("/k.pem"));
    assert_eq!(config.tls_required, TlsRequired::Always);
    assert_eq!(config.limits.sessions_max, 5);
    assert_eq!(config.catalog_refresh, Duration::from_secs(7));
    assert_eq!(config.log.format, Format::Json);
}

#[test]
fn the_environment_overrides_the_file() {
    let environment = [
        ("PGWARD_LISTEN", "127.0.0.1:1"),
        ("PGWARD_UPSTREAM_PORT", "5433"),
        ("PGWARD_UPSTREAM_PASSWORD", "secret"),
        ("PGWARD_LOG_LEVEL", "warn"),
        ("PGWARD_TEST_POSTGRES", "is not ours"),
    ];
    let text = LEAST.replace("[[issuer]]", "password_env = \"NOT_SET\"\n\n[[issuer]]");
    let config = parse_with(&text, &environment).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.upstream.port(), 5433);
    assert_eq!(config.log.level, "warn");
    let url = "postgres://other:secret@localhost:5434/elsewhere";
    let config = parse_with(LEAST, &[("PGWARD_UPSTREAM_URL", url)]).unwrap();
    assert_eq!(config.upstream.database(), "elsewhere");
    assert_eq!(config.upstream.port(), 5434);
}

#[test]
fn a_url_stands_alone() {
    let table = "[upstream]\nurl = \"postgres://u:p@localhost/d\"\n";
    let rest = LEAST.split_once("[[issuer]]").unwrap().1;
    let config = parse(&format!("{table}[[issuer]]{rest}")).unwrap();
    assert_eq!(config.upstream.user(), "u");
    let message = parse(&format!("{table}user = \"x\"\n[[issuer]]{rest}"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(":2: [upstream]: `url` stands alone"),
        "{message}"
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    let cases = [
        (
            format!("listen = 'here'\n{LEAST}"),
            ":1: listen: write an address",
        ),
        (format!("liste = ''\n{LEAST}"), ":1: liste: unknown"),
        (
            LEAST.replace("path =", "paht ="),
            ":13: [audit]: unknown field `paht`",
        ),
        (LEAST.replace("[audit]", "[audti]"), "[audti]: unknown"),
        (
            LEAST
                .replace("[audit]", "[oauth]")
                .replace("path = ", "scope = "),
            "audit: missing",
        ),
        (LEAST.replace("EdDSA", "HS256"), ": [[issuer]]: "),
        (
            LEAST.replace("[\"pgward\"]", "[]"),
            "audience must name this server",
        ),
        (
            LEAST.replace("host = \"localhost\"", ""),
            ":1: [upstream]: ",
        ),
        (
            format!("{LEAST}\n[limits]\nsessions_max = 0\n"),
            "sessions_max = 0 is outside",
        ),
        (
            format!("{LEAST}\n[catalog]\nrefresh_seconds = 0\n"),
            ":16: [catalog]: ",
        ),
        (
            format!("{LEAST}\n[tls]\nkey = 'k'\n"),
            "`key` needs `certificate`",
        ),
        (
            format!("{LEAST}\n[tls]\nrequired = true\n"),
            "agents must use TLS",
        ),
        (
            format!("listen = '0.0.0.0:1'\n{LEAST}"),
            "agents must use TLS",
        ),
        (format!("policies = []\n{LEAST}"), "name at least one"),
        (format!("policies = 5\n{LEAST}"), "policies: "),
        (format!("{LEAST}\n[log\n"), "pgward.toml:1"),
    ];
    for (text, expected) in cases {
        let message = parse(&text).unwrap_err().to_string();
        assert!(message.starts_with("/etc/pgward/pgward.toml"), "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let open = format!("listen = '0.0.0.0:1'\n{LEAST}\n[tls]\nrequired = false\n");
    assert_eq!(parse(&open).unwrap().tls_required, TlsRequired::Never);
}

#[test]
fn no_mistake_repeats_a_value() {
    let cases = [
        LEAST.replace("user =", "password = 12345\nuser ="),
        LEAST.replace("user =", "port = \"12345x\"\nuser ="),
        format!("{LEAST}\n[log]\nformat = \"12345\"\n"),
    ];
    for text in cases {
        let message = parse(&text).unwrap_err().to_string();
        assert!(!message.contains("12345"), "{message}");
    }
}
