//! The file under the log: opening it, looking back in it, and writing whole lines to it. Lines
//! wait in memory until they are flushed; when a write breaks off, what was left of a line can be
//! taken away again. This file knows lines, but not what they say.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::chain::LINE_BYTES_MAX;
use super::error::Error;

/// How much is read at a time when looking back from the end, in bytes.
const LOOK_BACK_BYTES: u64 = 64 * 1024;

/// An open log file and the lines that wait to be written to it.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    /// Whether it is a regular file. Pipes and devices cannot be read back, locked or repaired.
    regular: bool,
    fsync: bool,
    pending: Vec<u8>,
    /// How long the file is, as far as this process wrote it.
    length: u64,
    /// How long it is up to the end of the last whole line.
    whole: u64,
}

impl Sink {
    /// Opens the file for appending, makes it (mode 0600) where there is none, and locks it
    /// against other writers.
    pub(super) fn open(path: &Path, fsync: bool) -> Result<Self, Error> {
        let open = |error| Error::Open {
            path: path.display().to_string(),
            error,
        };
        let fresh = !path.exists();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        make_private(&mut options);
        let file = options.open(path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        let regular = metadata.is_file();
        if regular {
            lock(&file, path)?;
        }
        if fresh && fsync {
            sync_directory_of(path).map_err(open)?;
        }
        Ok(Self {
            file,
            regular,
            fsync,
            pending: Vec::new(),
            length: metadata.len(),
            whole: metadata.len(),
        })
    }

    /// Whether it is a regular file.
    pub(super) fn is_regular(&self) -> bool {
        self.regular
    }

    /// How long the file is, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The file, to look back in it.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where the next line goes. Only whole lines may be added.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// How many bytes wait to be written.
    pub(super) fn held(&self) -> usize {
        self.pending.len()
    }

    /// Writes everything that waits; to disk, where that is wanted. After an error the rest still
    /// waits, and the file may end in part of a line.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.regular {
            self.check_undisturbed()?;
        }
        self.write_pending()?;
        if self.fsync { self.sync() } else { Ok(()) }
    }

    /// Forces what is written to disk; pipes and devices have none.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.regular {
            self.file.sync_data()
        } else {
            self.file.flush()
        }
    }

    /// Gives up what waits, and cuts the file back to its last whole line. Best effort: where it
    /// does not succeed, the next start finds the line that is cut short and says so.
    pub(super) fn give_up(&mut self) {
        self.pending = Vec::new();
        let torn = self.regular && self.whole < self.length && self.check_undisturbed().is_ok();
        if torn && self.file.set_len(self.whole).is_ok() {
            self.length = self.whole;
        }
    }

    /// Takes the file as it is now for its right state (after a disturbance was reported).
    pub(super) fn accept_length(&mut self) {
        let length = self.file.metadata().map(|metadata| metadata.len());
        if let Ok(length) = length
            && length != self.length
        {
            self.length = length;
            self.whole = length;
        }
    }

    /// Nobody but this process may change the file, or remove it under it.
    fn check_undisturbed(&self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if is_removed(&metadata) {
            return Err(io::Error::other("the file was removed"));
        }
        if metadata.len() != self.length {
            return Err(io::Error::other(format!(
                "the file has {} bytes, not the {} that were written: something else changed it",
                metadata.len(),
                self.length
            )));
        }
        Ok(())
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = write_some(&mut self.file, &self.pending, &mut written);
        let done = self.pending.get(..written).unwrap_or_default();
        if let Some(last) = done.iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.length.saturating_add(size(last)).saturating_add(1);
        }
        drop(self.pending.drain(..written));
        self.length = self.length.saturating_add(size(written));
        result
    }
}

/// Writes all of `bytes`, and says how far it came also when it fails.
fn write_some(file: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written = written.saturating_add(count).min(bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the last byte of the file ends a line; an empty file has no line to end.
pub(super) fn ends_in_a_line(file: &mut File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else {
        return Ok(true);
    };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}

/// How many line feeds the file has.
pub(super) fn count_lines(file: &mut File) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut lines = 0_u64;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        let found = chunk.iter().filter(|byte| **byte == b'\n').count();
        lines = lines.saturating_add(size(found));
        let used = chunk.len();
        reader.consume(used);
    }
}

/// Where the last `count` lines of the file begin, as an offset in bytes.
pub(super) fn last_lines(file: &mut File, count: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut seen = 0_u64;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(LOOK_BACK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        Read::take(&mut *file, end - start).read_to_end(&mut chunk)?;
        for (index, byte) in chunk.iter().enumerate().rev() {
            if *byte != b'\n' {
                continue;
            }
            // The line feed that ends the last line comes first.
            seen = seen.saturating_add(1);
            if seen > count {
                return Ok(start.saturating_add(size(index)).saturating_add(1));
            }
        }
        end = start;
    }
    Ok(0)
}

/// The line that begins at an offset, without its line feed.
pub(super) fn line_at(file: &mut File, offset: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut line = Vec::new();
    BufReader::new(file)
        .take(size(LINE_BYTES_MAX))
        .read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

fn lock(file: &File, path: &Path) -> Result<(), Error> {
    let path = || path.display().to_string();
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path() }),
        // Some network file systems have no locks; the length check still finds a second writer.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(Error::Open {
            path: path(),
            error,
        }),
    }
}

/// Makes a new file's name durable, not only its bytes.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(unix)]
fn make_private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn make_private(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn is_removed(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.nlink() == 0
}

#[cfg(not(unix))]
fn is_removed(_metadata: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::Scratch;

    /// Takes so many bytes, then fails.
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(3);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_write_says_how_far_it_came() {
        let mut narrow = Narrow {
            room: 8,
            taken: Vec::new(),
        };
        let mut written = 0;
        let error = write_some(&mut narrow, b"one\ntwo\nthree\n", &mut written).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(written, 8);
        assert_eq!(narrow.taken, b"one\ntwo\n");
    }

    #[test]
    fn lines_are_written_whole() {
        let scratch = Scratch::new();
        let path = scratch.file("log");
        let mut sink = Sink::open(&path, true).unwrap();
        sink.pending().extend_from_slice(b"one\ntwo\n");
        sink.flush().unwrap();
        assert_eq!((sink.held(), sink.length, sink.whole), (0, 8, 8));
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn giving_up_takes_the_torn_line_away() {
        let scratch = Scratch::new();
        let path = scratch.file("log");
        let mut sink = Sink::open(&path, false).unwrap();
        sink.pending().extend_from_slice(b"one\ntw");
        sink.flush().unwrap();
        sink.pending().extend_from_slice(b"o\n");
        sink.give_up();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        assert_eq!(sink.held(), 0);
    }

    #[test]
    fn a_disturbed_file_is_noticed() {
        let scratch = Scratch::new();
        let path = scratch.file("log");
        let mut sink = Sink::open(&path, false).unwrap();
        sink.pending().extend_from_slice(b"one\n");
        sink.flush().unwrap();
        std::fs::write(&path, b"forged line\n").unwrap();
        sink.pending().extend_from_slice(b"two\n");
        assert!(sink.flush().unwrap_err().to_string().contains("12 bytes"));
        sink.accept_length();
        sink.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"forged line\ntwo\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_private_and_has_one_writer() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let path = scratch.file("log");
        let _sink = Sink::open(&path, false).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o177, 0);
        let second = Sink::open(&path, false);
        assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let scratch = Scratch::new();
        let path = scratch.file("log");
        let long = "x".repeat(100_000);
        std::fs::write(&path, format!("one\n{long}\nthree\n")).unwrap();
        let mut file = File::open(&path).unwrap();
        let cases = [(0, 100_011), (1, 100_005), (2, 4), (3, 0), (9, 0)];
        for (count, offset) in cases {
            assert_eq!(last_lines(&mut file, count).unwrap(), offset, "{count}");
        }
        assert_eq!(line_at(&mut file, 100_005).unwrap(), b"three");
        assert_eq!(line_at(&mut file, 0).unwrap(), b"one");
        assert_eq!(count_lines(&mut file).unwrap(), 3);
        assert!(ends_in_a_line(&mut file, 100_011).unwrap());
        assert!(!ends_in_a_line(&mut file, 2).unwrap());
    }
}
