//! Tests of the whole: handles, thread and file together. Nothing here measures time; where the
//! writer has to be waited for, the test looks again until it has come.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::refusal::SqlState;

use super::testing::{Scratch, Still, config, decision, outcome, session};
use super::*;

fn open(config: &Config) -> Audit {
    Audit::open_at(config, Arc::new(Still)).unwrap()
}

fn read(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| Entry::parse(line).unwrap())
        .collect()
}

fn check(path: &Path, key: Option<&SigningKey>) -> Summary {
    let bytes = std::fs::read(path).unwrap();
    verify(bytes.as_slice(), key.map(SigningKey::public)).unwrap()
}

/// Waits until something is so; fails when it never is.
async fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..5_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it never came");
}

/// Records until the writer has noticed that its file fails.
async fn until_refused(audit: &Audit) -> Failed {
    for number in 0..5_000 {
        if let Err(failed) = audit.record(outcome(number).into()).await {
            return failed;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the log never failed");
}

#[tokio::test]
async fn records_are_written_in_order_and_closed() {
    let scratch = Scratch::new();
    let config = config(&scratch, 1_000, None);
    let audit = open(&config);
    audit.record(session().into()).await.unwrap();
    audit.record(decision(1).into()).await.unwrap();
    audit.record(outcome(1).into()).await.unwrap();
    assert!(!audit.failed());
    audit.close().await.unwrap();

    let entries = read(&config.path);
    let kinds: Vec<&str> = entries
        .iter()
        .map(|entry| match &entry.content {
            Content::Session(_) => "session",
            Content::Decision(_) => "decision",
            Content::Outcome(_) => "outcome",
            Content::Checkpoint(record) => record.reason.word(),
        })
        .collect();
    assert_eq!(kinds, ["start", "session", "decision", "outcome", "close"]);
    assert_eq!(entries[2].content, Content::Decision(Box::new(decision(1))));
    let summary = check(&config.path, None);
    assert!(summary.closed);
    assert_eq!(summary.last_time, "2026-03-01T10:00:00.000000Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_make_one_chain() {
    let scratch = Scratch::new();
    let key = SigningKey::generate().unwrap();
    let mut config = config(&scratch, 100, Some(&key));
    config.queue_records_max = 2;
    config.buffer_ms = 1;
    let audit = open(&config);
    let tasks: Vec<_> = (0..40)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    let mut record = outcome(number);
                    record.session = format!("s{task}");
                    audit.record(record.into()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    audit.close().await.unwrap();

    let summary = check(&config.path, Some(&key));
    assert_eq!(summary.records, 2_000 + 20 + 2);
    let entries = read(&config.path);
    for task in 0..40 {
        let session = format!("s{task}");
        let own: Vec<_> = entries
            .iter()
            .filter_map(|entry| match &entry.content {
                Content::Outcome(record) if record.session == session => Some(record.time),
                Content::Outcome(_)
                | Content::Session(_)
                | Content::Decision(_)
                | Content::Checkpoint(_) => None,
            })
            .collect();
        assert_eq!(own.len(), 50);
        assert!(own.is_sorted(), "{session}");
    }
}

#[tokio::test]
async fn records_reach_the_file_without_a_close() {
    let scratch = Scratch::new();
    for buffer_ms in [0, 1, 20] {
        let mut config = config(&scratch, 1_000, None);
        config.path = scratch.file(&format!("{buffer_ms}.jsonl"));
        config.buffer_ms = buffer_ms;
        let audit = open(&config);
        audit.record(outcome(1).into()).await.unwrap();
        until(|| {
            std::fs::read_to_string(&config.path)
                .unwrap()
                .contains("\"d1\"")
        })
        .await;
        assert!(!check(&config.path, None).closed);
        audit.close().await.unwrap();
    }
}

#[tokio::test]
async fn with_fsync_a_record_is_in_the_file_when_it_is_taken() {
    let scratch = Scratch::new();
    let mut config = config(&scratch, 1_000, None);
    config.fsync = true;
    config.buffer_ms = 10_000;
    let audit = open(&config);
    for number in 1..=5 {
        audit.record(outcome(number).into()).await.unwrap();
        let entries = read(&config.path);
        assert_eq!(
            entries.last().unwrap().content,
            Content::Outcome(outcome(number))
        );
    }
    audit.close().await.unwrap();
}

#[tokio::test]
async fn a_restart_continues_the_chain() {
    let scratch = Scratch::new();
    let key = SigningKey::generate().unwrap();
    let config = config(&scratch, 3, Some(&key));
    for run in 0..4 {
        let audit = open(&config);
        for number in 0..run {
            audit.record(outcome(number).into()).await.unwrap();
        }
        audit.close().await.unwrap();
    }
    let summary = check(&config.path, Some(&key));
    assert_eq!((summary.starts, summary.adopted), (4, 0));
    assert_eq!(summary.records, 4 + 6 + 1 + 4);
    assert!(summary.closed);
}

#[tokio::test]
async fn a_restart_after_an_unclean_stop_says_what_it_adopted() {
    let scratch = Scratch::new();
    let config = config(&scratch, 1_000, None);
    let audit = open(&config);
    for number in 1..=3 {
        audit.record(outcome(number).into()).await.unwrap();
    }
    audit.close().await.unwrap();
    let text = std::fs::read_to_string(&config.path).unwrap();
    let kept: String = text.split_inclusive('\n').take(4).collect();
    std::fs::write(&config.path, kept).unwrap();

    open(&config).close().await.unwrap();
    let summary = check(&config.path, None);
    assert_eq!(
        (summary.starts, summary.adopted, summary.records),
        (2, 3, 6)
    );
    assert!(summary.to_string().contains("3 records had no checkpoint"));
}

#[tokio::test]
async fn a_log_that_does_not_verify_at_its_ends_is_not_continued() {
    let scratch = Scratch::new();
    let config = config(&scratch, 1_000, None);
    let audit = open(&config);
    audit.record(outcome(1).into()).await.unwrap();
    audit.close().await.unwrap();
    let whole = std::fs::read_to_string(&config.path).unwrap();

    let cases = [
        (whole.trim_end().to_owned(), "line 3: cut short"),
        (format!("{whole}{{\"seq\":4,\"ki"), "line 4: cut short"),
        (
            whole.replace("\"close\"", "\"Close\""),
            "line 3: record changed",
        ),
        (
            whole.replace("\"start\"", "\"Start\""),
            "line 1: record changed",
        ),
        (format!("{whole}\n"), "line 4: record changed"),
        ("not a log\n".to_owned(), "line 1: record changed"),
    ];
    for (text, expected) in cases {
        std::fs::write(&config.path, &text).unwrap();
        let error = Audit::open(&config).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.contains("audit.jsonl"), "{error}");
        assert_eq!(std::fs::read_to_string(&config.path).unwrap(), text);
    }

    let tail = whole.split_inclusive('\n').skip(1).collect::<String>();
    std::fs::write(&config.path, tail).unwrap();
    let error = Audit::open(&config).unwrap_err().to_string();
    assert!(error.contains("line 1: checkpoint missing"), "{error}");
}

#[tokio::test]
async fn one_file_has_one_key() {
    let scratch = Scratch::new();
    let key = SigningKey::generate().unwrap();
    let signed = config(&scratch, 10, Some(&key));
    open(&signed).close().await.unwrap();
    let plain = config(&scratch, 10, None);
    assert!(matches!(Audit::open(&plain), Err(Error::OtherKey { .. })));
    let other = SigningKey::generate().unwrap();
    let other = config(&scratch, 10, Some(&other));
    assert!(matches!(Audit::open(&other), Err(Error::OtherKey { .. })));

    let mut missing = config(&scratch, 10, None);
    missing.signing_key = Some(scratch.file("none.pem"));
    let error = Audit::open(&missing).unwrap_err().to_string();
    assert!(error.contains("none.pem"), "{error}");
}

#[tokio::test]
async fn a_forged_last_checkpoint_is_not_continued() {
    let scratch = Scratch::new();
    let key = SigningKey::generate().unwrap();
    let config = config(&scratch, 10, Some(&key));
    let audit = open(&config);
    audit.record(outcome(1).into()).await.unwrap();
    audit.close().await.unwrap();
    let text = std::fs::read_to_string(&config.path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1] = super::testing::forged(&lines[1], "\"rows\":10", "\"rows\":0");
    let lines = super::testing::rebuilt(&lines);
    std::fs::write(&config.path, super::testing::file(&lines)).unwrap();
    let error = Audit::open(&config).unwrap_err().to_string();
    assert!(error.contains("line 3: bad signature"), "{error}");
}

#[tokio::test]
async fn two_writers_cannot_share_a_file() {
    let scratch = Scratch::new();
    let config = config(&scratch, 10, None);
    let first = open(&config);
    assert!(matches!(Audit::open(&config), Err(Error::InUse { .. })));
    first.close().await.unwrap();
    open(&config).close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let scratch = Scratch::new();
    let config = Config::new(scratch.file("no such directory").join("audit.jsonl"));
    let error = Audit::open(&config).unwrap_err();
    assert!(matches!(error, Error::Open { .. }));
    assert!(error.to_string().contains("no such directory"), "{error}");
    let config = Config::new(scratch.path());
    assert!(Audit::open(&config).is_err());
}

#[tokio::test]
async fn a_closed_log_takes_nothing() {
    let scratch = Scratch::new();
    let config = config(&scratch, 10, None);
    let audit = open(&config);
    let clone = audit.clone();
    audit.close().await.unwrap();
    let failed = clone.record(outcome(1).into()).await.unwrap_err();
    assert!(failed.to_string().contains("closed"), "{failed}");
    assert!(clone.failed());
    assert!(clone.close().await.is_err());
    assert_eq!(read(&config.path).len(), 2);
}

#[tokio::test]
async fn the_log_is_closed_when_every_handle_is_gone() {
    let scratch = Scratch::new();
    let config = config(&scratch, 10, None);
    let audit = open(&config);
    audit.record(outcome(1).into()).await.unwrap();
    drop(audit);
    until(|| {
        let bytes = std::fs::read(&config.path).unwrap();
        verify(bytes.as_slice(), None).is_ok_and(|summary| summary.closed)
    })
    .await;
}

#[tokio::test]
async fn the_full_text_is_kept_only_where_it_is_wanted() {
    let scratch = Scratch::new();
    for full_text in [false, true] {
        let mut config = config(&scratch, 10, None);
        config.path = scratch.file(&format!("{full_text}.jsonl"));
        config.full_text = full_text;
        let audit = open(&config);
        assert_eq!(audit.full_text(), full_text);
        let mut record = decision(1);
        record.statement_text = Some("SELECT 'a secret\n'".to_owned());
        audit.record(record.into()).await.unwrap();
        audit.close().await.unwrap();
        let text = std::fs::read_to_string(&config.path).unwrap();
        assert_eq!(text.contains("a secret"), full_text);
        assert_eq!(text.lines().count(), 3);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_stops_everything() {
    for fsync in [true, false] {
        let mut config = Config::new("/dev/full");
        config.fsync = fsync;
        config.buffer_ms = 0;
        let audit = Audit::open(&config).unwrap();
        let failed = if fsync {
            audit.record(decision(1).into()).await.unwrap_err()
        } else {
            until_refused(&audit).await
        };
        assert_eq!(failed.refusal().code, SqlState::SYSTEM_ERROR);
        assert!(audit.failed());
        for number in 0..3 {
            let failed = audit.record(outcome(number).into()).await.unwrap_err();
            assert!(failed.to_string().contains("os error 28"), "{failed}");
        }
        assert!(audit.close().await.is_err());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_may_be_ignored() {
    let mut config = Config::new("/dev/full");
    config.on_failure = OnFailure::Continue;
    config.buffer_ms = 0;
    let audit = Audit::open(&config).unwrap();
    audit.record(decision(1).into()).await.unwrap();
    until(|| audit.failed()).await;
    audit.record(outcome(1).into()).await.unwrap();
    assert!(audit.close().await.is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn a_removed_directory_stops_everything() {
    let scratch = Scratch::new();
    let directory = scratch.file("logs");
    std::fs::create_dir(&directory).unwrap();
    let mut config = Config::new(directory.join("audit.jsonl"));
    config.buffer_ms = 0;
    let audit = open(&config);
    audit.record(outcome(1).into()).await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let failed = until_refused(&audit).await;
    assert!(failed.to_string().contains("removed"), "{failed}");
    assert!(audit.failed());
}

#[tokio::test]
async fn a_file_that_somebody_else_writes_stops_everything() {
    let scratch = Scratch::new();
    let mut config = config(&scratch, 1_000, None);
    config.fsync = true;
    let audit = open(&config);
    audit.record(outcome(1).into()).await.unwrap();
    std::fs::write(&config.path, "").unwrap();
    let failed = audit.record(outcome(2).into()).await.unwrap_err();
    assert!(
        failed.to_string().contains("something else changed it"),
        "{failed}"
    );
    assert_eq!(std::fs::read_to_string(&config.path).unwrap(), "");
}
