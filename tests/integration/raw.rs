//! A Postgres client of the plainest kind: it sends frames and keeps every byte that comes back, so
//! that a test can look for what must not be there, and can break the protocol where it wants to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection};

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

/// Everything that came back up to ReadyForQuery or the end of the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) messages: Vec<Message>,
    /// The connection ended.
    pub(crate) closed: bool,
}

/// An error or notice, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(u8, String)>);

impl Fields {
    pub(crate) fn get(&self, field: u8) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| *name == field);
        found.map(|(_, text)| text.as_str())
    }

    pub(crate) fn code(&self) -> &str {
        self.get(b'C').unwrap_or_default()
    }
}

impl Reply {
    /// The first error.
    pub(crate) fn error(&self) -> Option<Fields> {
        self.messages.iter().find(|m| m.tag == b'E').map(fields)
    }

    pub(crate) fn code(&self) -> String {
        self.error()
            .map(|error| error.code().to_owned())
            .unwrap_or_default()
    }

    /// The rows, text format.
    pub(crate) fn rows(&self) -> Vec<Vec<Option<String>>> {
        let rows = self.messages.iter().filter(|m| m.tag == b'D');
        rows.map(|m| cells(&m.body)).collect()
    }

    /// The command tags.
    pub(crate) fn tags(&self) -> Vec<String> {
        let tags = self.messages.iter().filter(|m| m.tag == b'C');
        tags.map(|m| text(&m.body)).collect()
    }

    /// The transaction status of the last ReadyForQuery.
    pub(crate) fn status(&self) -> Option<char> {
        let ready = self.messages.iter().rev().find(|m| m.tag == b'Z')?;
        ready.body.first().map(|status| char::from(*status))
    }

    /// The order of the messages, one letter each.
    pub(crate) fn letters(&self) -> String {
        self.messages.iter().map(|m| char::from(m.tag)).collect()
    }

    /// Whether these bytes are anywhere in what came back, in whatever case.
    pub(crate) fn contains(&self, needle: &str) -> bool {
        let needle = needle.as_bytes();
        let is_it = |part: &[u8]| part.eq_ignore_ascii_case(needle);
        let mut bodies = self.messages.iter().map(|m| &m.body);
        bodies.any(|body| body.windows(needle.len()).any(is_it))
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .trim_end_matches('\0')
        .to_owned()
}

pub(crate) fn fields(message: &Message) -> Fields {
    let parts = message.body.split(|byte| *byte == 0);
    let parts = parts.filter(|part| !part.is_empty());
    Fields(
        parts
            .map(|part| (part[0], String::from_utf8_lossy(&part[1..]).into_owned()))
            .collect(),
    )
}

fn cells(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut cells = Vec::new();
    while rest.len() >= 4 {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        if length < 0 {
            cells.push(None);
        } else {
            let (cell, after) = rest.split_at(length as usize);
            cells.push(Some(String::from_utf8_lossy(cell).into_owned()));
            rest = after;
        }
    }
    cells
}

/// A frame: tag, length, body.
pub(crate) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(((body.len() + 4) as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A startup packet of protocol 3.0.
pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    startup_of(3 << 16, parameters)
}

pub(crate) fn startup_of(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    [&((body.len() + 4) as u32).to_be_bytes()[..], &body].concat()
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

pub(crate) fn parse(name: &str, sql: &str) -> Vec<u8> {
    let body = [name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat();
    frame(b'P', &body)
}

/// Bind with text parameters.
pub(crate) fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0"].concat();
    body.extend((parameters.len() as u16).to_be_bytes());
    for value in parameters {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    frame(b'B', &body)
}

pub(crate) fn execute(portal: &str, rows: u32) -> Vec<u8> {
    frame(
        b'E',
        &[portal.as_bytes(), b"\0", &rows.to_be_bytes()].concat(),
    )
}

pub(crate) fn describe(kind: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[&[kind], name.as_bytes(), b"\0"].concat())
}

pub(crate) fn close(kind: u8, name: &str) -> Vec<u8> {
    frame(b'C', &[&[kind], name.as_bytes(), b"\0"].concat())
}

pub(crate) fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// Once TLS was begun.
    tls: Option<ClientConnection>,
    /// The process id and key of BackendKeyData.
    pub(crate) key: Option<(u32, Vec<u8>)>,
    /// ParameterStatus as reported at login.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Raw {
    /// An open socket, nothing said yet.
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            tls: None,
            key: None,
            parameters: Vec::new(),
        }
    }

    /// Logs in with a token in the password's place.
    pub(crate) fn login(port: u16, user: &str, database: &str, token: &str) -> Result<Self, Reply> {
        Self::open(port).log_in(user, database, token)
    }

    /// The same on a connection that is open.
    pub(crate) fn log_in(mut self, user: &str, database: &str, token: &str) -> Result<Self, Reply> {
        let raw = &mut self;
        raw.send(&startup(&[("user", user), ("database", database)]));
        let asked = raw.message();
        assert!(
            matches!(&asked, Some(m) if m.tag == b'R' && m.body == [0, 0, 0, 3]),
            "{asked:?}"
        );
        raw.send(&frame(b'p', &[token.as_bytes(), b"\0"].concat()));
        self.finish_login()
    }

    /// Reads what follows the credential, up to ReadyForQuery.
    pub(crate) fn finish_login(mut self) -> Result<Self, Reply> {
        let reply = self.reply();
        if reply.closed || reply.error().is_some() {
            return Err(reply);
        }
        for message in &reply.messages {
            if message.tag == b'K' {
                let id = u32::from_be_bytes(message.body[..4].try_into().unwrap());
                self.key = Some((id, message.body[4..].to_vec()));
            }
            if message.tag == b'S' {
                let mut parts = message.body.split(|byte| *byte == 0);
                let mut next = || text(parts.next().unwrap_or_default());
                let name = next();
                self.parameters.push((name, next()));
            }
        }
        Ok(self)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already; what it said is still to be read.
        let _ = match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.stream).write_all(bytes),
            None => self.stream.write_all(bytes),
        };
    }

    /// Reads exactly that many bytes.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> std::io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.stream).read_exact(into),
            None => self.stream.read_exact(into),
        }
    }

    /// Asks for TLS with SSLRequest: the byte that is answered.
    pub(crate) fn ask_for_tls(&mut self) -> u8 {
        self.send(&[0, 0, 0, 8, 4, 210, 22, 47]);
        let mut answer = [0];
        self.read(&mut answer).unwrap();
        answer[0]
    }

    /// The TLS handshake: the certificate that the server shows, or why there was none.
    pub(crate) fn shake_hands(&mut self, config: Arc<ClientConfig>) -> std::io::Result<Vec<u8>> {
        let name = "localhost".try_into().unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream)?;
        }
        let shown = tls.peer_certificates().unwrap()[0].to_vec();
        self.tls = Some(tls);
        Ok(shown)
    }

    /// Closes the direction to the server.
    pub(crate) fn send_no_more(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// One message, or `None` at the end of the connection.
    pub(crate) fn message(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.read(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.read(&mut body).ok()?;
        Some(Message { tag: head[0], body })
    }

    /// Everything up to ReadyForQuery. A COPY FROM STDIN that was let through is failed.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = Reply::default();
        loop {
            let Some(message) = self.message() else {
                reply.closed = true;
                return reply;
            };
            let tag = message.tag;
            reply.messages.push(message);
            if tag == b'G' {
                self.send(&frame(b'f', b"not now\0"));
            }
            if tag == b'Z' {
                return reply;
            }
        }
    }

    /// A simple query and all that comes back.
    pub(crate) fn query(&mut self, sql: &str) -> Reply {
        self.send(&query(sql));
        self.reply()
    }

    /// Parse, Bind, Describe, Execute and Sync in one go.
    pub(crate) fn extended(&mut self, sql: &str, parameters: &[&str]) -> Reply {
        let messages = [
            parse("", sql),
            bind("", "", parameters),
            describe(b'P', ""),
            execute("", 0),
            sync(),
        ];
        self.send(&messages.concat());
        self.reply()
    }
}

impl Raw {
    /// Logs in to Postgres itself with SCRAM.
    pub(crate) fn login_scram(url: &tokio_postgres::Config) -> Self {
        use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
        let mut raw = Self::open(url.get_ports()[0]);
        let (user, database) = (url.get_user().unwrap(), url.get_dbname().unwrap());
        raw.send(&startup(&[("user", user), ("database", database)]));
        raw.message().unwrap();
        let password = url.get_password().unwrap();
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        let first = scram.message();
        let length = (first.len() as u32).to_be_bytes();
        let body = [SCRAM_SHA_256.as_bytes(), b"\0", &length, first].concat();
        raw.send(&frame(b'p', &body));
        scram.update(&raw.message().unwrap().body[4..]).unwrap();
        let next = scram.message().to_vec();
        raw.send(&frame(b'p', &next));
        raw.finish_login()
            .unwrap_or_else(|reply| panic!("{:?}", reply.error()))
    }
}
