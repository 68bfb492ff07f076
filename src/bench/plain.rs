//! The least that anybody must do with a file who wants its conversations: inflate it, and parse ids and texts out of it.
//!
//! Half of the floor. Nothing is checked, mended, kept or remembered here, and nothing of `decode` is used: a slow decoder must not
//! make its own yardstick slow. Text goes through a buffer that grows only for a value that does not fit, and only so far.

use super::error::BenchError;
use flate2::bufread::MultiGzDecoder;
use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes of text that are inflated at a time: enough for a hundred records, little enough for a cache.
const CHUNK_BYTES: usize = 1 << 20;

/// Largest value that is parsed; a larger one is passed over.
const MAX_VALUE_BYTES: usize = 64 << 20;

/// Bytes of text that were inflated and could not be parsed.
pub type Unparsed = u64;

/// Does `work` for every file, on all threads. The first failure ends it.
pub(super) fn each(
    files: &[PathBuf],
    threads: usize,
    work: &(dyn Fn(&Path) -> Result<(), BenchError> + Sync),
) -> Result<(), BenchError> {
    let next = Mutex::new(files.iter());
    std::thread::scope(|scope| {
        let worker = || -> Result<(), BenchError> {
            loop {
                let file = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                match file {
                    Some(file) => work(file)?,
                    None => return Ok(()),
                }
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Reads a file as it lies on disk.
pub(super) fn read(path: &Path) -> Result<(), BenchError> {
    let mut file = File::open(path).map_err(BenchError::file(path))?;
    drain(&mut file).map_err(BenchError::file(path))
}

/// Inflates a file and forgets the text.
pub(super) fn inflate(path: &Path) -> Result<(), BenchError> {
    texts(path, &mut drain).map_err(BenchError::file(path))
}

fn drain(reader: &mut dyn Read) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while reader.read(&mut buffer)? > 0 {
        std::hint::black_box(&buffer);
    }
    Ok(())
}

/// Inflates a file and parses its ids and texts.
///
/// # Errors
/// When the file cannot be read or inflated. What is no JSON is counted, no error.
pub fn minimal_parse(path: &Path) -> Result<Unparsed, BenchError> {
    let mut unparsed = 0;
    let mut parse = |reader: &mut dyn Read| {
        unparsed += parse_values(reader, CHUNK_BYTES, MAX_VALUE_BYTES)?;
        Ok(())
    };
    texts(path, &mut parse).map_err(BenchError::file(path))?;
    Ok(unparsed)
}

/// Hands over each text in a file: one, or those in the entries of a zip file.
fn texts(path: &Path, each: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    use crate::decode::{Container, container_of};
    let mut reader = BufReader::with_capacity(256 << 10, File::open(path)?);
    match container_of(io::BufRead::fill_buf(&mut reader)?) {
        Container::Gzip => each(&mut MultiGzDecoder::new(reader)),
        Container::Zip => {
            let mut archive = zip::ZipArchive::new(reader).map_err(io::Error::other)?;
            for index in 0..archive.len() {
                let mut entry = archive.by_index(index).map_err(io::Error::other)?;
                if entry.is_file() {
                    each(&mut entry)?;
                }
            }
            Ok(())
        }
        _ => each(&mut reader),
    }
}

/// Parses one value after the other, however they are separated. Gives the bytes that were passed over.
fn parse_values(reader: &mut dyn Read, chunk_bytes: usize, max_value_bytes: usize) -> io::Result<u64> {
    let (mut text, mut unparsed, mut bytes) = (Vec::new(), 0, 0);
    let mut wanted = chunk_bytes;
    loop {
        let missing = wanted.saturating_sub(text.len());
        let is_end = reader.take(missing as u64).read_to_end(&mut text)? < missing;
        let done = parse_start(&text, is_end, &mut unparsed, &mut bytes);
        text.drain(..done);
        if is_end {
            break;
        }
        if done > 0 {
            wanted = chunk_bytes.max(text.len() + chunk_bytes / 2);
        } else if wanted < max_value_bytes {
            wanted = (wanted * 2).min(max_value_bytes);
        } else {
            unparsed += text.len() as u64;
            text.clear();
            wanted = chunk_bytes;
        }
    }
    std::hint::black_box(bytes);
    Ok(unparsed)
}

/// Parses the whole values at the start of `text`; gives the place behind the last one.
fn parse_start(text: &[u8], is_end: bool, unparsed: &mut u64, bytes: &mut usize) -> usize {
    let mut at = 0;
    loop {
        at += text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if at == text.len() {
            return at;
        }
        let mut json = Jiter::new(&text[at..]);
        match walk(&mut json, bytes, 0) {
            Ok(()) => at += json.current_index(),
            // The rest of this value is still to come.
            Err(error) if !is_end && is_cut(&error) => return at,
            Err(_) => {
                let line = memchr::memchr(b'\n', &text[at..]).unwrap_or(text.len() - at);
                *unparsed += line as u64;
                at += line;
            }
        }
    }
}

fn is_cut(error: &JiterError) -> bool {
    use JsonErrorType::{EofWhileParsingList, EofWhileParsingObject, EofWhileParsingString, EofWhileParsingValue};
    matches!(
        error.error_type,
        JiterErrorType::JsonError(
            EofWhileParsingList | EofWhileParsingObject | EofWhileParsingString | EofWhileParsingValue
        )
    )
}

/// Levels that are walked through; the format has nine. Below them values are skipped, whose depth jiter bounds.
const MAX_DEPTH: usize = 32;

/// What a program would parse that wanted nothing but the ids and texts, and passed over the rest.
fn walk(json: &mut Jiter<'_>, bytes: &mut usize, depth: usize) -> Result<(), JiterError> {
    const WANTED: [&str; 8] =
        ["recordCollection", "array", "body", "engagements", "conversationId", "transcripts", "text", "string"];
    let is_wanted = |key: &str| WANTED.contains(&key) || key.starts_with("com.liveperson.");
    match json.peek()? {
        Peek::Object if depth < MAX_DEPTH => {
            let mut wanted = json.known_object()?.map(is_wanted);
            while let Some(is_in) = wanted {
                if is_in {
                    walk(json, bytes, depth + 1)?
                } else {
                    json.next_skip()?
                }
                wanted = json.next_key()?.map(is_wanted);
            }
        }
        Peek::Array if depth < MAX_DEPTH => {
            let mut next = json.known_array()?;
            while next.is_some() {
                walk(json, bytes, depth + 1)?;
                next = json.array_step()?;
            }
        }
        Peek::String => *bytes += json.known_str()?.len(),
        _ => json.next_skip()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, passed_over: u64) {
        // Small chunks meet every way to cut a value.
        for chunk in [1, 2, 7, 64, 4096] {
            let unparsed = parse_values(&mut text.as_bytes(), chunk, 4096).expect("memory");
            assert_eq!(unparsed, passed_over, "{text:?} in pieces of {chunk}");
        }
    }

    #[test]
    fn values_are_parsed_however_they_are_cut() {
        check("", 0);
        check("{\"body\":{\"text\":\"é\"}}\n{\"body\":[]}\n", 0);
        check("{\n \"recordCollection\" : [ 1,\n 2 ]\n}", 0);
        check("{\"text\":\"cut", 12);
        check("oops\n{\"text\":\"good\"}\n", 4);
        check(&"[".repeat(300), 300);
    }

    #[test]
    fn a_value_that_is_too_large_costs_bounded_memory_and_is_counted() {
        let text = format!("{{\"text\":\"{}\"}}", "x".repeat(10_000));
        assert_eq!(parse_values(&mut text.as_bytes(), 64, 4096).expect("memory"), text.len() as u64);
    }
}
