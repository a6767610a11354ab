//! The fuzz targets, smoke-run: thousands of mutations of good and of hostile inputs, the same ones
//! each time. PGWARD_FUZZ_TIMES=100 runs a hundred times as many, and
//! PGWARD_FUZZ_LAST names a file that keeps the input of a crash;
//! PGWARD_CORPUS names a folder with further SQL, such as `src/test/regress/sql` of Postgres. Guided by
//! coverage they run in `tests/fuzz/libfuzzer`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "what is not as expected ends the test"
)]

mod mutate;
mod targets;

use mutate::Random;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 8) as u32;
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 4) as u32;
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// How many times as many mutations as usual.
fn times() -> usize {
    let asked = std::env::var("PGWARD_FUZZ_TIMES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Where to leave the input before each round, so that a crash can be told from what it leaves.
fn note(input: &[u8]) {
    if let Some(path) = std::env::var_os("PGWARD_FUZZ_LAST") {
        std::fs::write(path, input).unwrap();
    }
}

fn run(name: &str, seeds: &[Vec<u8>], rounds: usize, target: fn(&[u8])) {
    seeds.iter().for_each(|seed| target(seed));
    let rounds = rounds * times();
    let mut random = Random::new(name.len() as u64 * 7919);
    for _ in 0..rounds {
        let input = mutate::bytes(&mut random, seeds);
        note(&input);
        target(&input);
    }
    println!("{name}: {} seeds, {rounds} mutations", seeds.len());
}

#[test]
fn startup() {
    let seeds = [
        packet(80_877_103, b""),
        packet(80_877_104, b""),
        packet(80_877_102, b"\0\0\x30\x39abcd"),
        packet(196_608, b"user\0support-bot\0database\0shop\0\0"),
        packet(
            196_610,
            b"user\0a\0_pq_.x\0y\0options\0-c a=b --c-d=e -c\\ f\0\0",
        ),
        packet(
            196_608,
            b"user\0a\0pgward.token\0a.b.c\0client_encoding\0UTF8\0\0",
        ),
    ];
    run("startup", &seeds, 20_000, targets::startup);
}

#[test]
fn frames() {
    let row = message(b'D', b"\0\x02\0\0\0\x01a\xff\xff\xff\xff");
    let seeds = [
        message(b'Q', b"SELECT 1\0"),
        message(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
        message(b'B', b"p\0s\0\0\x01\0\0\0\x01\0\0\0\x011\0\x01\0\x01"),
        [
            message(b'D', b"Ss\0"),
            message(b'E', b"p\0\0\0\0\x05"),
            message(b'S', b""),
        ]
        .concat(),
        [
            message(b'd', b"a\tb\n"),
            message(b'c', b""),
            message(b'f', b"why\0"),
        ]
        .concat(),
        [
            message(
                b'T',
                b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
            ),
            row,
        ]
        .concat(),
        [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat(),
        message(b'E', b"SERROR\0C42501\0Mno\0\0"),
        [message(b'F', b"\0\0\0\x01"), message(b'X', b"")].concat(),
    ];
    run("frames", &seeds, 20_000, targets::frames);
}

#[test]
fn tokens() {
    let token = targets::trust().token.clone().into_bytes();
    let seeds = [
        token,
        b"eyJhbGciOiJub25lIn0.e30.".to_vec(),
        b"a.b.c".to_vec(),
    ];
    run("tokens", &seeds, 10_000, targets::tokens);
}

#[test]
fn statements() {
    let mut seeds = mutate::statements("attacks");
    seeds.extend(mutate::statements("everyday"));
    seeds.extend(mutate::corpus());
    let rounds = 30_000 * times();
    let mut random = Random::new(4_242);
    let permitted = (0..rounds)
        .filter(|_| {
            let text = mutate::sql(&mut random, &seeds);
            note(text.as_bytes());
            targets::statements(text.as_bytes())
        })
        .count();
    println!("statements: {rounds} mutations by word, {permitted} permitted");
    assert!(
        permitted * 50 > rounds,
        "hardly any mutation is a statement"
    );
    let bytes: Vec<Vec<u8>> = seeds.into_iter().map(String::into_bytes).collect();
    run("statements", &bytes, 10_000, |data| {
        targets::statements(data);
    });
}
