//! The `options` startup parameter: command-line switches for the server, of which only settings
//! are let through. Values may hold a token: no refusal repeats a word that could be one. What a
//! setting means is decided elsewhere.
//!
//! Source: the behaviour of the server's `pg_split_opts`, `process_postgres_switches` and
//! `ParseLongOption`; Postgres manual, "Message Formats" (StartupMessage, `options`).

use crate::ident::IDENT_BYTES_MAX;
use crate::refusal::Refusal;

/// A name fit to be repeated in an error: a misplaced token is longer, or has other characters.
pub(super) fn shown(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.len() <= IDENT_BYTES_MAX && name.bytes().all(plain) {
        format!("\"{name}\"")
    } else {
        "(name withheld)".to_owned()
    }
}

/// The settings in an `options` startup parameter, in order; where one comes twice, the server lets
/// the last one win. Words are split as Postgres splits them: at white space, a backslash takes the
/// next character as it is. Known are `-c name=value`, `-cname=value` and `--name=value`; a `-` in
/// a name stands for `_`.
///
/// # Errors
/// 0A000 for any other switch, 08P01 for a setting without a value or name, or a word that is no
/// switch.
pub fn split_options(options: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut settings = Vec::new();
    let mut words = split_words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(|| requires_a_value("-c"))?
        } else if let Some(attached) = word.strip_prefix("-c") {
            attached.to_owned()
        } else if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            long.to_owned()
        } else {
            return Err(not_a_setting(&word));
        };
        settings.push(name_and_value(&setting)?);
    }
    Ok(settings)
}

/// The white space of C's `isspace`, which is one character more than Rust's.
const fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

fn split_words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut letters = options.chars().peekable();
    loop {
        while letters.next_if(|letter| is_space(*letter)).is_some() {}
        if letters.peek().is_none() {
            return words;
        }
        let mut word = String::new();
        while let Some(letter) = letters.next_if(|letter| !is_space(*letter)) {
            if letter == '\\' {
                word.extend(letters.next());
            } else {
                word.push(letter);
            }
        }
        words.push(word);
    }
}

fn name_and_value(setting: &str) -> Result<(String, String), Refusal> {
    let (name, value) = setting
        .split_once('=')
        .ok_or_else(|| requires_a_value(&shown(setting)))?;
    if name.is_empty() {
        return Err(Refusal::protocol("a setting in \"options\" has no name"));
    }
    Ok((name.replace('-', "_"), value.to_owned()))
}

fn requires_a_value(what: &str) -> Refusal {
    Refusal::protocol(format!("{what} in \"options\" requires a value"))
        .with_hint("Write -c name=value; inside a value, put a backslash before a space.")
}

fn not_a_setting(word: &str) -> Refusal {
    let mut letters = word.chars();
    let switch = letters
        .next()
        .filter(|first| *first == '-')
        .and(letters.next());
    let refusal = match switch {
        Some(letter) if letter == '-' || letter.is_ascii_alphanumeric() => {
            Refusal::unsupported(format!("switch -{letter} is not supported in \"options\""))
        }
        Some(_) | None => Refusal::protocol("\"options\" has a word that is not a switch"),
    };
    refusal.with_hint("Write -c name=value; inside a value, put a backslash before a space.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_words_as_the_server_does() {
        let cases: [(&str, &[&str]); 14] = [
            ("", &[]),
            (" \t\n\r\x0b\x0c", &[]),
            ("a b", &["a", "b"]),
            ("  a   b  ", &["a", "b"]),
            ("a\tb\nc\x0bd\x0ce\rf", &["a", "b", "c", "d", "e", "f"]),
            (r"a\ b", &["a b"]),
            (r"a\\b", &[r"a\b"]),
            (r"a\\ b", &[r"a\", "b"]),
            (r"a\\\ b", &[r"a\ b"]),
            (r"\a\b", &["ab"]),
            (r"a\", &["a"]),
            (r"a \", &["a", ""]),
            (r#"a "b c" 'd"#, &["a", "\"b", "c\"", "'d"]),
            ("a\u{a0}b\u{2003}c", &["a\u{a0}b\u{2003}c"]),
        ];
        for (options, words) in cases {
            assert_eq!(split_words(options), words, "{options:?}");
        }
    }

    #[test]
    fn reads_the_settings_in_options() {
        let cases: [(&str, &[(&str, &str)]); 15] = [
            ("", &[]),
            ("-c geqo=off", &[("geqo", "off")]),
            ("-cgeqo=off", &[("geqo", "off")]),
            ("--geqo=off", &[("geqo", "off")]),
            ("-c pgward.token=a.b-c_d", &[("pgward.token", "a.b-c_d")]),
            ("--search-path=a-b", &[("search_path", "a-b")]),
            ("-c search-path=a", &[("search_path", "a")]),
            (
                "-c a=1 --b=2 -cc=3 -c a=4",
                &[("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")],
            ),
            ("-c  a=1", &[("a", "1")]),
            ("-c a=", &[("a", "")]),
            ("-c a=b=c", &[("a", "b=c")]),
            (r"-c search_path=a,\ b", &[("search_path", "a, b")]),
            (r"-c a=x\\y", &[("a", r"x\y")]),
            (r"-c a=\'q\'", &[("a", "'q'")]),
            ("-c --a=b", &[("__a", "b")]),
        ];
        for (options, settings) in cases {
            let read = split_options(options).unwrap();
            let read: Vec<(&str, &str)> =
                read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(read, settings, "{options:?}");
        }
    }

    #[test]
    fn refuses_other_switches_by_name() {
        let cases = [
            ("-e", "switch -e is not supported"),
            ("-ec a=b", "switch -e is not supported"),
            ("-c a=b -W 10", "switch -W is not supported"),
            ("--", "switch -- is not supported"),
            ("-c a=b -- --c=d", "switch -- is not supported"),
            ("-é", "not a switch"),
            ("-", "not a switch"),
            ("shop", "not a switch"),
            ("-c a=b c", "not a switch"),
            (r"-c a=b \", "not a switch"),
            ("-c", "-c in \"options\" requires a value"),
            ("-c geqo", "\"geqo\" in \"options\" requires a value"),
            ("--geqo", "\"geqo\" in \"options\" requires a value"),
            ("-c =off", "has no name"),
            ("--=off", "has no name"),
        ];
        for (options, words) in cases {
            let refusal = split_options(options).unwrap_err();
            assert!(
                refusal.message.contains(words),
                "{options:?}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn a_misplaced_token_is_not_repeated() {
        let token = format!("eyJhbGciOiJFZERTQSJ9.{}", "x".repeat(60));
        for options in [
            token.clone(),
            format!("-c {token}"),
            format!("--{token}"),
            format!("-c pgward.token {token}"),
            format!("-c pgward.token= {token}"),
        ] {
            let refusal = split_options(&options).unwrap_err();
            assert!(!format!("{refusal:?}").contains("eyJ"), "{options}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_value_comes_back(value in r"[^\x00]{0,60}") {
            let quoted: String = value
                .chars()
                .flat_map(|letter| {
                    let escape = (letter == '\\' || is_space(letter)).then_some('\\');
                    escape.into_iter().chain([letter])
                })
                .collect();
            let read = split_options(&format!("-c pgward.purpose={quoted}")).unwrap();
            prop_assert_eq!(read, vec![("pgward.purpose".to_owned(), value)]);
        }

        #[test]
        fn no_options_panic(options in r"[-c=\\ a\t]{0,30}|.{0,30}") {
            let _ = split_options(&options);
        }
    }
}
