//! A series → one file in long form, a row per point: CSV for people, Parquet for machines.
//!
//! The file is written beside its place and renamed, so nothing half is ever found under its name, and a file that is there is
//! never written over. Parquet goes out in row groups of bounded size.

use super::RunError;
use super::series::{SeriesFilter, SeriesOptions, SeriesPoint, SeriesReport, SeriesSpan, series};
use crate::archive::Archive;
use crate::decode::{FigureValue, Section};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// Rows of a row group at most.
const GROUP_ROWS: usize = 65_536;
/// Bytes of texts of a row group at most, about.
const GROUP_BYTES: usize = 16 << 20;

/// The columns, in order, of both formats. Texts that are absent are empty in CSV and null in Parquet.
const COLUMNS: [&str; 16] = [
    "stream", "call", "kind", "start", "end", "open", "answered", "skill", "agent", "group", "state", "reason",
    "total_of", "metric", "value", "text",
];

/// The same with their types. Times are UTC.
const SCHEMA: &str = "message point {
    REQUIRED BINARY stream (STRING);
    REQUIRED BINARY call (STRING);
    REQUIRED BINARY kind (STRING);
    REQUIRED INT64 start (TIMESTAMP(MILLIS, true));
    REQUIRED INT64 end (TIMESTAMP(MILLIS, true));
    REQUIRED BOOLEAN open;
    REQUIRED INT64 answered (TIMESTAMP(MILLIS, true));
    OPTIONAL BINARY skill (STRING);
    OPTIONAL BINARY agent (STRING);
    OPTIONAL BINARY group (STRING);
    OPTIONAL BINARY state (STRING);
    OPTIONAL BINARY reason (STRING);
    OPTIONAL BINARY total_of (STRING);
    REQUIRED BINARY metric (STRING);
    OPTIONAL DOUBLE value;
    OPTIONAL BINARY text (STRING);
}";

/// A format of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesFormat {
    /// RFC 4180 with a head line; times are RFC 3339. A text that a spreadsheet would take for a formula (it begins with
    /// `=`, `+`, `-`, `@`, a tab or a line break and is no number) gets an apostrophe in front.
    Csv,
    /// Parquet with typed columns, compressed with Snappy.
    Parquet,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct SeriesExport {
    /// Rows.
    pub rows: u64,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// What was read.
    pub report: SeriesReport,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SeriesExportError {
    /// The archive refuses.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no figure to write.
    #[error("no figures of {stream} to write")]
    Nothing {
        /// The stream.
        stream: String,
        /// What was read.
        report: Box<SeriesReport>,
    },
    /// Something has the name already.
    #[error("{0} is there already")]
    Taken(String),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Writes the series of a stream to `out`, which must not exist.
///
/// # Errors
/// See [`SeriesExportError`]. Nothing is left under the name then.
pub fn export_series(
    archive: &Archive,
    stream: &str,
    filter: &SeriesFilter,
    options: SeriesOptions,
    format: SeriesFormat,
    out: &Path,
) -> Result<SeriesExport, SeriesExportError> {
    let failed = |source: io::Error| SeriesExportError::Write { path: out.display().to_string(), source };
    if out.symlink_metadata().is_ok() {
        return Err(SeriesExportError::Taken(out.display().to_string()));
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temp = tempfile::Builder::new().prefix(".chatvault-export-").tempfile_in(folder).map_err(failed)?;
    let file = temp.reopen().map_err(failed)?;
    let mut rows = Rows::new(stream, format, file).map_err(failed)?;
    // The first error counts; what comes after it is read for nothing, and not written.
    let mut outcome: io::Result<()> = Ok(());
    let mut take = |span: &SeriesSpan<'_>, point: Option<&SeriesPoint<'_>>| {
        if let (Ok(()), Some(point)) = (&outcome, point) {
            outcome = rows.add(span, point);
        }
    };
    let report = series(archive, stream, filter, options, &mut take)?;
    outcome.map_err(failed)?;
    let (count, file) = rows.finish().map_err(failed)?;
    if count == 0 {
        return Err(SeriesExportError::Nothing { stream: stream.to_owned(), report: Box::new(report) });
    }
    file.sync_all().map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    temp.persist_noclobber(out).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => SeriesExportError::Taken(out.display().to_string()),
        _ => failed(error.error),
    })?;
    Ok(SeriesExport { rows: count, bytes, report })
}

enum Rows {
    Csv { stream: String, count: u64, writer: Box<csv::Writer<BufWriter<File>>> },
    Parquet(Box<ParquetRows>),
}

impl Rows {
    fn new(stream: &str, format: SeriesFormat, file: File) -> io::Result<Rows> {
        let stream = stream.to_owned();
        Ok(match format {
            SeriesFormat::Csv => {
                let mut writer = csv::Writer::from_writer(BufWriter::with_capacity(1 << 18, file));
                writer.write_record(COLUMNS)?;
                Rows::Csv { stream, count: 0, writer: Box::new(writer) }
            }
            SeriesFormat::Parquet => Rows::Parquet(Box::new(ParquetRows::new(stream, file).map_err(of_parquet)?)),
        })
    }

    fn add(&mut self, span: &SeriesSpan<'_>, point: &SeriesPoint<'_>) -> io::Result<()> {
        match self {
            Rows::Parquet(rows) => rows.add(span, point).map_err(of_parquet),
            Rows::Csv { stream, count, writer } => {
                *count += 1;
                let d = point.dimensions;
                let (value, text) = match point.value {
                    FigureValue::Number(value) => (value.to_string(), ""),
                    FigureValue::Text(text) => (String::new(), text),
                };
                let id = |id: &Option<String>| id.clone().unwrap_or_default();
                let ids = [&d.skill, &d.agent, &d.group, &d.state, &d.reason].map(id);
                let time = span.span;
                let moments = [time.start_ms, time.end_ms, point.answered_ms].map(rfc3339);
                let open = if span.is_open { "true" } else { "false" };
                let mut cells: Vec<Cow<'_, str>> = vec![safe(stream), safe(span.call), Cow::Borrowed(time.kind.name())];
                cells.extend([
                    Cow::Borrowed(&*moments[0]),
                    Cow::Borrowed(&*moments[1]),
                    Cow::Borrowed(open),
                    Cow::Borrowed(&*moments[2]),
                ]);
                cells.extend(ids.iter().map(|id| safe(id)));
                cells.push(Cow::Borrowed(d.section.map_or("", Section::name)));
                cells.extend([safe(point.metric), Cow::Borrowed(&*value), safe(text)]);
                Ok(writer.write_record(cells.iter().map(|cell| cell.as_bytes()))?)
            }
        }
    }

    fn finish(self) -> io::Result<(u64, File)> {
        match self {
            Rows::Csv { count, writer, .. } => {
                let buffered = (*writer).into_inner().map_err(|error| io::Error::other(error.to_string()))?;
                Ok((count, buffered.into_inner().map_err(io::IntoInnerError::into_error)?))
            }
            Rows::Parquet(rows) => rows.finish().map_err(of_parquet),
        }
    }
}

fn of_parquet(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

/// RFC 3339 with milliseconds; epoch milliseconds beyond the calendar.
fn rfc3339(at_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => at_ms.to_string(),
    }
}

/// A text that no spreadsheet takes for a formula.
fn safe(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && text.parse::<f64>().is_err();
    if is_formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Texts of a column that may be absent.
#[derive(Default)]
struct Texts {
    values: Vec<ByteArray>,
    levels: Vec<i16>,
}

impl Texts {
    /// Gives its bytes.
    fn push(&mut self, text: Option<&str>) -> usize {
        self.levels.push(i16::from(text.is_some()));
        self.values.extend(text.map(ByteArray::from));
        text.map_or(1, |text| text.len() + 24)
    }
}

struct ParquetRows {
    stream: String,
    writer: SerializedFileWriter<BufWriter<File>>,
    count: u64,
    bytes: usize,
    /// In the order of the schema, by type.
    required: [Vec<ByteArray>; 4],
    times: [Vec<i64>; 3],
    open: Vec<bool>,
    optional: [Texts; 7],
    values: Vec<f64>,
    value_levels: Vec<i16>,
}

impl ParquetRows {
    fn new(stream: String, file: File) -> Result<ParquetRows, ParquetError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(ParquetRows {
            stream,
            writer: SerializedFileWriter::new(file, schema, Arc::new(properties))?,
            count: 0,
            bytes: 0,
            required: Default::default(),
            times: Default::default(),
            open: Vec::new(),
            optional: Default::default(),
            values: Vec::new(),
            value_levels: Vec::new(),
        })
    }

    fn add(&mut self, span: &SeriesSpan<'_>, point: &SeriesPoint<'_>) -> Result<(), ParquetError> {
        let (time, d) = (span.span, point.dimensions);
        for (column, text) in self.required.iter_mut().zip([&*self.stream, span.call, time.kind.name(), point.metric]) {
            self.bytes += text.len() + 24;
            column.push(ByteArray::from(text));
        }
        for (column, at_ms) in self.times.iter_mut().zip([time.start_ms, time.end_ms, point.answered_ms]) {
            column.push(at_ms);
        }
        self.open.push(span.is_open);
        let text = match point.value {
            FigureValue::Number(value) => {
                self.values.push(value);
                None
            }
            FigureValue::Text(text) => Some(text),
        };
        self.value_levels.push(i16::from(text.is_none()));
        let ids = [&d.skill, &d.agent, &d.group, &d.state, &d.reason].map(Option::as_deref);
        let rest = [d.section.map(Section::name), text];
        for (column, text) in self.optional.iter_mut().zip(ids.into_iter().chain(rest)) {
            self.bytes += column.push(text);
        }
        self.count += 1;
        if self.open.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let required = std::mem::take(&mut self.required);
        let (times, open) = (std::mem::take(&mut self.times), std::mem::take(&mut self.open));
        let optional = std::mem::take(&mut self.optional);
        let (values, levels) = (std::mem::take(&mut self.values), std::mem::take(&mut self.value_levels));
        self.bytes = 0;
        let mut group = self.writer.next_row_group()?;
        // The order is that of the schema.
        for texts in &required[..3] {
            write_texts(&mut group, texts, None)?;
        }
        write_times(&mut group, &times[0])?;
        write_times(&mut group, &times[1])?;
        let mut column = next(&mut group)?;
        column.typed::<BoolType>().write_batch(&open, None, None)?;
        column.close()?;
        write_times(&mut group, &times[2])?;
        for texts in &optional[..6] {
            write_texts(&mut group, &texts.values, Some(&texts.levels))?;
        }
        write_texts(&mut group, &required[3], None)?;
        let mut column = next(&mut group)?;
        column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        column.close()?;
        write_texts(&mut group, &optional[6].values, Some(&optional[6].levels))?;
        group.close()?;
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, File), ParquetError> {
        self.flush()?;
        // Writes the footer too.
        let mut buffered = self.writer.into_inner()?;
        buffered.flush()?;
        let file = buffered.into_inner().map_err(|error| ParquetError::External(Box::new(error.into_error())))?;
        Ok((self.count, file))
    }
}

type Group<'g> = SerializedRowGroupWriter<'g, BufWriter<File>>;

fn next<'a>(group: &'a mut Group<'_>) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, ParquetError> {
    group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has fewer columns than are written".to_owned()))
}

fn write_texts(group: &mut Group<'_>, texts: &[ByteArray], levels: Option<&[i16]>) -> Result<(), ParquetError> {
    let mut column = next(group)?;
    debug_assert!(matches!(column.untyped(), ColumnWriter::ByteArrayColumnWriter(_)));
    column.typed::<ByteArrayType>().write_batch(texts, levels, None)?;
    column.close()
}

fn write_times(group: &mut Group<'_>, times: &[i64]) -> Result<(), ParquetError> {
    let mut column = next(group)?;
    debug_assert!(matches!(column.untyped(), ColumnWriter::Int64ColumnWriter(_)));
    column.typed::<Int64Type>().write_batch(times, None, None)?;
    column.close()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, wanted) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+cmd|x", "'+cmd|x"),
            ("-1", "-1"),
            ("-2+3", "'-2+3"),
            ("\t=1", "'\t=1"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(safe(text), wanted);
        }
    }

    #[test]
    fn both_formats_have_the_same_columns() {
        let schema = parse_message_type(SCHEMA).unwrap();
        let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, COLUMNS);
    }
}
